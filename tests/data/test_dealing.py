"""Content that is dealt out anew: what an item carries is another's, and everything that follows from it too."""

import logging

import numpy as np
import pytest

import worlds
from alnico.data.dataset import Dataset
from alnico.data.dealing import dealt_out, left_bare
from alnico.data.features import ItemFeatures
from alnico.data.ids import IdMap
from alnico.errors import DataError
from alnico.graphs.content import nearest_neighbours

N_ITEMS = 12
ABSENT = (2, 7)


def catalogue() -> Dataset:
    """Items with images, two of them without, and texts; the nearest by image are given, as they are computed."""
    rng = np.random.default_rng(3)
    content = worlds.features(
        N_ITEMS,
        image=worlds.modality(rng.standard_normal((N_ITEMS, 3)), absent=ABSENT),
        text=worlds.modality(np.eye(N_ITEMS)),
    )
    lists = {"image": nearest_neighbours(content["image"], 4)}
    return Dataset(
        "shop",
        worlds.interactions([(0, 1), (1, 2)], 2, N_ITEMS),
        content,
        IdMap.range(2, "user"),
        IdMap.range(N_ITEMS, "item"),
        neighbours=lists,
    )


def test_vectors_change_hands_among_the_items_that_have_them() -> None:
    whole = catalogue()
    dealt = dealt_out(whole, "image", np.random.default_rng(0)).features
    mine, theirs = (sorted(map(tuple, one["image"].vectors.tolist())) for one in (whole.features, dealt))
    assert mine == theirs
    assert dealt["image"].present.tolist() == whole.features["image"].present.tolist()
    changed = (dealt["image"].vectors != whole.features["image"].vectors).any(axis=1)
    assert np.flatnonzero(~changed).tolist() == list(ABSENT)
    assert dealt["text"] is whole.features["text"]
    assert dealt.names == whole.features.names


def test_given_lists_go_with_the_vectors() -> None:
    # The nearest by the vectors that are carried now are what the lists say after dealing, if they said so before.
    whole = catalogue()
    for share in (1.0, 0.5):
        dealt = dealt_out(whole, "image", np.random.default_rng(1), share)
        found = nearest_neighbours(dealt.features["image"], 4)
        np.testing.assert_array_equal(dealt.neighbours["image"].items, found.items)
        np.testing.assert_allclose(dealt.neighbours["image"].weights, found.weights, atol=1e-6)
        assert not np.array_equal(found.items, whole.neighbours["image"].items)


def test_lists_by_hand() -> None:
    # Of four items the last has no image. Whoever carries the image of 0 takes its list over, with 1 and 2 named by
    # their new holders; what the list says of item 3, which keeps what it has, stays.
    images = worlds.modality([[1.0], [2], [3], [0]], absent=[3])
    lists = worlds.neighbour_lists([[(1, 0.9), (2, 0.8)], [(0, 0.7), (3, 0.1)], [(1, 0.6)], [(2, 0.2)]], 2)
    whole = Dataset(
        "four",
        worlds.interactions([(0, 1)], 1, 4),
        ItemFeatures(4, {"image": images}),
        IdMap.range(1, "user"),
        IdMap.range(4, "item"),
        neighbours={"image": lists},
    )
    dealt = dealt_out(whole, "image", np.random.default_rng(0))
    holder = {int(vector): item for item, (vector,) in enumerate(dealt.features["image"].vectors)}
    told, weights = dealt.neighbours["image"].items, dealt.neighbours["image"].weights
    assert told[holder[1]].tolist() == [holder[2], holder[3]]
    assert told[holder[2]].tolist() == [holder[1], 3]
    assert told[holder[3]].tolist() == [holder[2], -1]
    assert told[3].tolist() == [holder[3], -1]
    np.testing.assert_allclose(weights[holder[2]], [0.7, 0.1])


def test_same_stream_deals_alike() -> None:
    whole = catalogue()
    first, again, other = (dealt_out(whole, "image", np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert first.fingerprint == again.fingerprint
    assert len({whole.fingerprint, first.fingerprint, other.fingerprint}) == 3


def test_item_without_content_is_nobodys_neighbour() -> None:
    whole = catalogue()
    bare = left_bare(whole, "image", np.array([0, 5]))
    assert not bare.features["image"].present[[0, 5]].any()
    told = bare.neighbours["image"]
    assert (told.items[[0, 5]] == -1).all()
    assert not np.isin(told.items, [0, 5]).any()
    for item in set(range(N_ITEMS)) - {0, 5}:
        before = [
            other for other in whole.neighbours["image"].items[item].tolist() if other not in (0, 5, -1)
        ]
        kept = told.items[item].tolist()
        assert kept == before + [-1] * (4 - len(before))
    assert bare.features["text"] is whole.features["text"]


def test_graph_of_no_modality_is_left_out_with_a_notice(caplog: pytest.LogCaptureFixture) -> None:
    whole = catalogue()
    mixed = Dataset(
        whole.name,
        whole.interactions,
        whole.features,
        whole.users,
        whole.items,
        neighbours={**whole.neighbours, "mixed": whole.neighbours["image"]},
    )
    with caplog.at_level(logging.INFO, logger="alnico"):
        assert list(dealt_out(mixed, "text", np.random.default_rng(0)).neighbours) == ["image"]
    assert "item graph mixed is left out: it is named after no modality" in caplog.text


def test_what_cannot_be_dealt_out_is_refused() -> None:
    with pytest.raises(
        DataError, match="no modality 'audio' whose content could be dealt out; found image, text"
    ):
        dealt_out(catalogue(), "audio", np.random.default_rng(0))
    lonely = worlds.features(2, image=worlds.modality([[1.0], [0]], absent=[1]))
    alone = Dataset(
        "two",
        worlds.interactions([(0, 1)], 1, 2),
        lonely,
        IdMap.range(1, "user"),
        IdMap.range(2, "item"),
    )
    with pytest.raises(DataError, match="1 of the items with 'image' should get the content of another"):
        dealt_out(alone, "image", np.random.default_rng(0))
