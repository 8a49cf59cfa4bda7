"""What a model's card says in tables."""

import pytest

from alnico.model_card import ModelCard
from alnico.models import MODELS


def test_a_reconstruction_is_never_shown_without_saying_so():
    card = ModelCard("CMDL", "a paper", 2024, reproduction="partly reconstructed", remark="guessed")
    assert card.named() == "CMDL (partly reconstructed)"
    assert card.named("our run") == "our run (partly reconstructed)"
    assert card.named("CMDL (partly reconstructed)") == "CMDL (partly reconstructed)"
    assert ModelCard("BPR-MF", "a paper", 2009).named("plain") == "plain"


@pytest.mark.parametrize("name", MODELS)
def test_every_card_names_its_source_and_what_was_filled_in(name):
    card = MODELS[name].card
    assert card.title
    assert card.paper
    assert bool(card.remark) >= (card.reservation is not None)
