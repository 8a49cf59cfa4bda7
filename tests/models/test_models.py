"""Models and finished models by name."""

import pytest
import torch

from alnico.contracts import ScorerState
from alnico.errors import ConfigError, StorageError
from alnico.models import MODELS, model_class, restore
from alnico.scorers import DotScorer


def test_models_are_found_by_name():
    assert all(model_class(name) is model for name, model in MODELS.items())


def test_an_unknown_model_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match=r"there is no model 'lightgnc'; did you mean 'lightgcn'\?"):
        model_class("lightgnc")


def test_finished_models_are_restored_by_kind():
    scorer = DotScorer(torch.ones(1, 2), torch.ones(3, 2))
    assert isinstance(restore(scorer.state()), DotScorer)


def test_an_unknown_kind_of_finished_model_is_named():
    with pytest.raises(StorageError, match="kind 'dto' is unknown to this version; did you mean 'dot'"):
        restore(ScorerState("dto", {}, {}))
