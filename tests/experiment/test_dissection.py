"""A finished MAGNET taken apart, held against the method written plainly."""

import numpy as np
import pytest
import torch

import plain
import worlds
from alnico.diagnostics.faithfulness import damage
from alnico.errors import UnsupportedError
from alnico.experiment.dissection import averaged, faithfulness_of, nodes
from alnico.models.magnet.config import MagnetConfig
from alnico.models.magnet.model import Magnet
from alnico.models.magnet.scorer import MagnetScorer

WORLD = worlds.scattered(seed=5, idle_users=1)
TRAIN = WORLD.split.train


def scorer_of(**changes: object) -> MagnetScorer:
    """MAGNET with all its parts, its parameters moved at random."""
    config = MagnetConfig(**{**plain.WHOLE, "width": 4, "neighbours": 3, "induced": 4, **changes})
    found = plain.shaken(Magnet.build(config, WORLD.data, np.random.default_rng(0))).scorer()
    assert isinstance(found, MagnetScorer)
    return found


@pytest.fixture(scope="module")
def scorer() -> MagnetScorer:
    """With cues as they are."""
    return scorer_of(cue_scale="none")


def test_fused_nodes_by_the_sum_over_experts(scorer: MagnetScorer) -> None:
    rows = np.array([0, 3, 14])
    found = nodes(scorer, TRAIN, "items", rows)
    for place, item in enumerate(rows.tolist()):
        owners = TRAIN.users[TRAIN.items == item].tolist()
        # Item 14 is nobody's: its routing is even.
        routing = (
            scorer.explain_pairs(torch.tensor(owners), torch.full((len(owners),), item)).routing.mean(0)
            if owners
            else torch.full((9,), 1 / 9)
        )
        assert found.routing[place] == pytest.approx(routing.tolist(), abs=1e-6)
        parts = torch.stack([scorer.items.z[item], *scorer.items.cues[item]])
        fused = torch.zeros(4)
        for mass, template in zip(routing, scorer.templates, strict=True):
            shares = template * scorer.items.present[item]
            if shares.sum() > 0:
                fused += mass * (shares / shares.sum()) @ parts
        assert found.after[place] == pytest.approx(fused.tolist(), abs=1e-5)
        assert found.before[place].tolist() == parts.flatten().tolist()


def test_long_histories_are_averaged_over_some_of_their_pairs(
    scorer: MagnetScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alnico.experiment.dissection.PAIRS_PER_NODE", 1)
    rows = np.arange(TRAIN.n_users)
    found = nodes(scorer, TRAIN, "users", rows)
    for user in range(TRAIN.n_users):
        items = torch.from_numpy(TRAIN.of_user(user).copy())
        each = scorer.explain_pairs(torch.full_like(items, user), items).routing.double()
        alike = [np.allclose(found.routing[user], row, atol=1e-6) for row in each.numpy()]
        assert any(alike) or not len(items)


def test_averaged_part_is_the_same_for_all_who_have_it(scorer: MagnetScorer) -> None:
    for column, part in enumerate(scorer.parts):
        flat = averaged(scorer, part)
        for side, old in ((flat.users, scorer.users), (flat.items, scorer.items)):
            has = old.present[:, column] > 0
            own, before = (table.z if column == 0 else table.cues[:, column - 1] for table in (side, old))
            torch.testing.assert_close(own[has], before[has].mean(0).expand(int(has.sum()), -1))
            torch.testing.assert_close(own[~has], before[~has])
            other = 0 if column else 1
            untouched = (table.z if other == 0 else table.cues[:, 0] for table in (side, old))
            torch.testing.assert_close(*untouched)


def test_averaging_content_leaves_the_routing_as_it_is(scorer: MagnetScorer) -> None:
    users, items = torch.tensor([0, 1, 2]), torch.tensor([3, 4, 5])
    whole = scorer.explain_pairs(users, items)
    flat = averaged(scorer, "image").explain_pairs(users, items)
    torch.testing.assert_close(whole.routing, flat.routing)
    assert not torch.allclose(whole.expert_scores, flat.expert_scores)


def test_faithfulness_of_a_model_covers_all_pairs(scorer: MagnetScorer) -> None:
    asked = worlds.targets(WORLD.answers.items())
    told = faithfulness_of(scorer, asked)
    assert told.pairs == len(WORLD.answers)
    for named in (told.by_score, told.by_lead):
        assert sum(one.pairs for one in named) == told.pairs
        assert all(0 <= one.share <= 1 for one in named)
    assert faithfulness_of(scorer, asked) == told


def test_experts_that_read_one_part_lose_nothing_by_another() -> None:
    alone = scorer_of(cue_scale="none", alpha=1.0, families=("dominant",))
    # Where all parts are present, expert e reads part e alone.
    whole = np.flatnonzero((alone.items.present > 0).all(1).numpy())
    users = np.flatnonzero((alone.users.present > 0).all(1).numpy())[: len(whole)]
    items = whole[: len(users)]
    done = damage(alone, {part: averaged(alone, part) for part in alone.parts}, users, items)
    off = ~torch.eye(3, dtype=torch.bool)
    assert float(done.falls[:, off].abs().max()) < 1e-6
    assert float(done.falls[:, ~off].abs().min()) > 0


def test_model_without_a_mixture_is_refused() -> None:
    single = scorer_of(mixture=False)
    with pytest.raises(UnsupportedError, match="nothing is routed"):
        nodes(single, TRAIN, "items", np.array([0]))
    with pytest.raises(UnsupportedError, match="nothing is routed"):
        faithfulness_of(single, worlds.targets(WORLD.answers.items()))
