"""Triplets as the paper prints them, and what becomes of them with other numbers of modalities."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from alnico.contracts import Expert
from alnico.errors import ConfigError
from alnico.models.magnet.config import FAMILIES, MagnetConfig
from alnico.models.magnet.templates import (
    balanced,
    complementary,
    dominant,
    expert_pool,
    renormalised,
    template_table,
)

NAMES = ("image", "text")
PRINTED = {"alpha": 0.6, "beta": 0.2, "delta": 0.5, "epsilon": 0.1, "families": FAMILIES}


def table(names=NAMES, **settings):
    """The template table as nested lists, rounded."""
    return [
        [round(x, 4) for x in row]
        for row in template_table(MagnetConfig(**{**PRINTED, **settings}), names).tolist()
    ]


def test_dominant_triplet_of_the_paper():
    # (1 - .6) [1/2, 1/4, 1/4] + .6 [1, 0, 0]
    assert dominant(0.6, 2) == pytest.approx([0.8, 0.1, 0.1])


def test_balanced_triplet_of_the_paper():
    # [1/3 + .2/6, 1/3 - .2/12, 1/3 - .2/12]
    assert balanced(0.2, 2) == pytest.approx([0.3666667, 0.3166667, 0.3166667])


def test_complementary_triplet_of_the_paper():
    # [.1, .9 * .5, .9 * .5] and [.1, .9 * .8, .9 * .2]
    assert complementary(0.5, 0.1, 2) == pytest.approx([0.1, 0.45, 0.45])
    assert complementary(0.8, 0.1, 2) == pytest.approx([0.1, 0.72, 0.18])


def test_pool_of_nine_in_order():
    assert table(delta=0.8) == [
        [0.8, 0.1, 0.1],
        [0.3667, 0.3167, 0.3167],
        [0.1, 0.72, 0.18],
        [0.1, 0.8, 0.1],
        [0.3167, 0.3667, 0.3167],
        # Global order without the anchor: behaviour is the first auxiliary of both contents.
        [0.72, 0.1, 0.18],
        [0.1, 0.1, 0.8],
        [0.3167, 0.3167, 0.3667],
        [0.72, 0.18, 0.1],
    ]


def test_content_first_puts_behaviour_last_among_auxiliaries():
    rows = table(delta=0.8, auxiliary_order="content_first", families=("complementary",))
    assert rows == [[0.1, 0.72, 0.18], [0.18, 0.1, 0.72], [0.18, 0.72, 0.1]]


def test_one_modality_has_six_experts():
    assert table(("image",), delta=0.8) == [
        [0.8, 0.2],
        [0.5333, 0.4667],
        [0.1, 0.9],
        [0.2, 0.8],
        [0.4667, 0.5333],
        [0.9, 0.1],
    ]


def test_three_modalities_share_the_rest_evenly():
    rows = table(("image", "text", "sound"), delta=0.5, families=("complementary",))
    assert rows[0] == [0.1, 0.45, 0.225, 0.225]
    assert rows[3] == [0.45, 0.225, 0.225, 0.1]
    rows = table(
        ("image", "text", "sound"), delta=0.5, families=("complementary",), auxiliary_order="content_first"
    )
    # The contents keep their order; behaviour comes after them.
    assert rows[3] == [0.225, 0.45, 0.225, 0.1]


@given(
    n_modalities=st.integers(1, 6),
    alpha=st.floats(0, 1),
    beta=st.floats(0, 1),
    delta=st.floats(0, 1),
    epsilon=st.floats(0, 0.99),
    order=st.sampled_from(["global", "content_first"]),
    replicas=st.integers(1, 3),
)
def test_shares_are_never_negative_and_sum_to_one(n_modalities, alpha, beta, delta, epsilon, order, replicas):
    config = MagnetConfig(
        alpha=alpha,
        beta=beta,
        delta=delta,
        epsilon=epsilon,
        auxiliary_order=order,
        replicas=replicas,
        families=FAMILIES,
    )
    shares = template_table(config, [f"m{number}" for number in range(n_modalities)])
    assert shares.shape == (3 * (n_modalities + 1) * replicas, n_modalities + 1)
    assert (shares >= 0).all()
    torch.testing.assert_close(shares.sum(1), torch.ones(len(shares)))


@given(alpha=st.floats(0, 1), beta=st.floats(0.01, 1))
def test_the_anchor_of_dominant_and_balanced_templates_has_the_largest_share(alpha, beta):
    config = MagnetConfig(alpha=alpha, beta=beta, families=("dominant", "balanced"))
    shares = template_table(config, NAMES)
    anchors = ["behaviour", *NAMES]
    for expert, row in zip(expert_pool(config, NAMES), shares, strict=True):
        assert row.argmax() == anchors.index(expert.group)


def test_pool_is_listed_by_replica_group_and_family():
    pool = expert_pool(MagnetConfig(replicas=2, families=("dominant", "complementary")), ("image",))
    assert pool == [
        Expert("behaviour", "dominant", 0),
        Expert("behaviour", "complementary", 0),
        Expert("image", "dominant", 0),
        Expert("image", "complementary", 0),
        Expert("behaviour", "dominant", 1),
        Expert("behaviour", "complementary", 1),
        Expert("image", "dominant", 1),
        Expert("image", "complementary", 1),
    ]
    assert pool[0].label == "behaviour dominant"
    assert pool[4].label == "behaviour dominant #2"


def test_replicas_share_their_templates():
    once = template_table(MagnetConfig(**PRINTED), NAMES)
    thrice = template_table(MagnetConfig(**PRINTED, replicas=3), NAMES)
    assert torch.equal(thrice, once.repeat(3, 1))


def test_without_content_there_is_no_pool():
    with pytest.raises(ConfigError, match="MAGNET needs at least one content modality"):
        template_table(MagnetConfig(), ())


def test_shares_of_absent_parts_go_to_the_present_ones_in_proportion():
    templates = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.72, 0.18]])
    present = torch.tensor([[1.0, 1, 1], [1, 0, 1], [0, 1, 1], [0, 0, 0]])
    shares = renormalised(templates, present).numpy()
    expected = [
        [[0.8, 0.1, 0.1], [0.1, 0.72, 0.18]],
        [[0.8 / 0.9, 0, 0.1 / 0.9], [0.1 / 0.28, 0, 0.18 / 0.28]],
        [[0, 0.5, 0.5], [0, 0.8, 0.2]],
        [[0, 0, 0], [0, 0, 0]],
    ]
    np.testing.assert_allclose(shares, expected, atol=1e-6)
