"""Items that came after training, in a bundle: listed, compared, explained, and told apart from trained ones."""

from pathlib import Path

import numpy as np
import pytest

from alnico.data.features import ItemFeatures, Modality
from alnico.errors import DataError, UnknownIdError
from alnico.graphs.content import nearest_neighbours
from alnico.scorers import RESEMBLED
from alnico.serving.bundle import Bundle
from alnico.serving.folder import load_bundle, save_bundle
from alnico.serving.newcomers import Newcomers, add_items
from exported_bundles import NAMES, Exported

Everything = dict[str, Exported]


def raw(exported: Exported, items: list[int], **absent: list[int]) -> ItemFeatures:
    """The vectors of known items as they came, some taken away."""
    told = {}
    for name, own in exported.run.dataset.features.rows(np.array(items)).items():
        present = np.array(own.present)
        present[absent.get(name, [])] = False
        told[name] = Modality(np.where(present[:, None], own.vectors, np.float32(0)), present)
    return ItemFeatures(len(items), told)


def whole(exported: Exported) -> list[int]:
    """Items that have all content and were taken, most taken first."""
    bundle = exported.bundle
    present = np.all([own.present for own in bundle.content.values()], axis=0)
    return [int(item) for item in np.argsort(-bundle.takers) if present[item]]


def score_of(bundle: Bundle, history: list[int | str], item: int | str) -> float:
    """The score of one item for somebody with these items."""
    answer = bundle.recommend_for(history, bundle.n_items, keep_seen=True)
    return next(listed.score for listed in answer.items if listed.item == item)


@pytest.mark.parametrize("name", NAMES)
def test_known_items_keep_their_scores_and_places(exported: Everything, name: str) -> None:
    one = exported[name]
    larger = add_items(one.bundle, Newcomers(["n1", "n2"], raw(one, whole(one)[:2])))
    assert (larger.n_items, one.bundle.n_items) == (50, 48)
    user = one.bundle.users.names.tolist()[1]
    before = one.bundle.recommend(user, 48)
    after = [listed for listed in larger.recommend(user, 50).items if listed.item not in ("n1", "n2")]
    assert [listed.item for listed in after] == [listed.item for listed in before.items]
    assert [listed.score for listed in after] == pytest.approx(
        [listed.score for listed in before.items], rel=1e-4, abs=1e-6
    )


@pytest.mark.parametrize("name", NAMES)
def test_lists_after_a_round_trip_are_the_same_to_the_bit(
    exported: Everything, tmp_path: Path, name: str
) -> None:
    one = exported[name]
    larger = add_items(one.bundle, Newcomers(["n1", "n2"], raw(one, whole(one)[:2]), {"title": ["A", "B"]}))
    save_bundle(larger, tmp_path / "larger")
    again = load_bundle(tmp_path / "larger")
    for user in larger.users.names.tolist()[:10]:
        assert again.recommend(user, 50) == larger.recommend(user, 50)
    assert again.similar("n1") == larger.similar("n1")
    assert again.card("n2")["title"] == "B"
    # And a third time, with more.
    third = add_items(again, Newcomers(["n3"], raw(one, whole(one)[2:3])))
    assert third.items.names.tolist()[-3:] == ["n1", "n2", "n3"]


@pytest.mark.parametrize(
    ("name", "basis"),
    [
        ("magnet", "content"),
        ("neighbourhood", "content"),
        ("bpr_mf", "like"),
        ("item_knn", "like"),
        ("popularity", "untaken"),
    ],
)
def test_answers_say_what_a_new_items_place_rests_on(exported: Everything, name: str, basis: str) -> None:
    one = exported[name]
    larger = add_items(one.bundle, Newcomers(["new"], raw(one, whole(one)[:1])))
    listed = larger.recommend(one.bundle.users.names.tolist()[0], 50)
    assert {own.basis for own in listed.items if own.item == "new"} == {basis}
    assert {own.basis for own in listed.items if own.item != "new"} <= {"trained", "untaken"}


def test_an_item_like_others_is_scored_like_them(exported: Everything) -> None:
    one = exported["bpr_mf"]
    twin = whole(one)[0]
    larger = add_items(one.bundle, Newcomers(["twin"], raw(one, [twin])))
    scorer = one.bundle.scorer
    cosines = sum(
        np.maximum(own.vectors @ own.vectors[twin], 0) for own in one.bundle.content.values()
    ) / len(one.bundle.content)
    cosines[one.bundle.takers == 0] = 0
    best = np.argsort(-cosines, kind="stable")[:RESEMBLED]
    weights = cosines[best] / cosines[best].sum()
    rows = scorer.items.numpy()[best]
    mean = (rows * weights[:, None]).sum(0)
    length = (np.linalg.norm(rows, axis=1) * weights).sum()
    expected = mean / np.linalg.norm(mean) * length
    np.testing.assert_allclose(larger.scorer.items.numpy()[-1], expected, rtol=1e-5, atol=1e-7)


def test_nearest_neighbours_list_a_new_item_beside_those_it_resembles(exported: Everything) -> None:
    one = exported["item_knn"]
    item = whole(one)[0]
    larger = add_items(one.bundle, Newcomers(["twin"], raw(one, [item])))
    # Somebody who has the like item is offered the twin; its own list is theirs on average.
    near = int(larger.scorer.lists.items[item, 0])
    assert score_of(larger, [one.bundle.items.name(near)], "twin") > 0
    assert larger.scorer.lists.n_items == 49
    assert len(larger.recommend_for(["twin"], 5).items) == 5


def test_neighbour_lists_are_those_of_a_search_over_all(exported: Everything) -> None:
    one = exported["magnet"]
    items = whole(one)[:3]
    rng = np.random.default_rng(0)
    told = {
        name: Modality(own.vectors + 0.1 * rng.standard_normal(own.vectors.shape).astype("f4"), own.present)
        for name, own in raw(one, items).items()
    }
    larger = add_items(one.bundle, Newcomers(["a", "b", "c"], ItemFeatures(3, told)))
    for name, lists in one.bundle.neighbours.items():
        if name == "behaviour":
            continue
        expected = nearest_neighbours(larger.content[name], lists.k)
        for mine, right, same in zip(
            larger.neighbours[name].weights, expected.weights, larger.content[name].present, strict=True
        ):
            if same:
                np.testing.assert_allclose(mine, right[: len(mine)], atol=1e-5)
    new = larger.similar("a", "image", 1).items[0]
    assert new.item == one.bundle.items.name(items[0])
    assert "a" in [listed.item for listed in larger.similar(one.bundle.items.name(items[0]), "image").items]
    assert larger.similar("a", "behaviour").notes == ("nothing is known of this item by behaviour",)


@pytest.mark.parametrize("name", ["magnet", "neighbourhood", "bpr_mf"])
def test_missing_content_is_no_obstacle_and_none_at_all_keeps_an_item_off_the_lists(
    exported: Everything, name: str
) -> None:
    one = exported[name]
    content = raw(one, whole(one)[:3], image=[0, 2], text=[1, 2])
    larger = add_items(one.bundle, Newcomers(["text only", "image only", "nothing"], content))
    user = one.bundle.users.names.tolist()[0]
    listed = [own.item for own in larger.recommend(user, 51, keep_seen=True).items]
    assert {"text only", "image only"} <= set(listed)
    assert "nothing" not in listed
    assert larger.basis_of(50) == "nothing"
    assert larger.similar("nothing").items == ()
    assert larger.similar("text only", "image").items == ()
    # A history of nothing but it is no history.
    assert larger.recommend_for(["nothing"], 3).basis == "popularity"
    if name != "bpr_mf":
        assert larger.explain(user, "image only")["reliance"]["text"] == 0


def test_vectors_of_some_modalities_are_enough(exported: Everything) -> None:
    one = exported["magnet"]
    content = raw(one, whole(one)[:1])
    alone = add_items(one.bundle, Newcomers(["n"], content.only("text")))
    masked = add_items(one.bundle, Newcomers(["n"], raw(one, whole(one)[:1], image=[0])))
    user = one.bundle.users.names.tolist()[0]
    assert alone.recommend(user, 49) == masked.recommend(user, 49)


def test_new_items_are_explained_and_stand_in_histories(exported: Everything) -> None:
    one = exported["magnet"]
    item = whole(one)[0]
    larger = add_items(one.bundle, Newcomers(["twin"], raw(one, [item])))
    near = one.bundle.similar(one.bundle.items.name(item), "image", 1).items[0].item
    told = larger.explain_for([near], "twin")
    assert told["basis"] == "content"
    witness = told["witnesses"][0]
    assert witness["similarity"]["image"] == pytest.approx(
        one.bundle.similar(one.bundle.items.name(item), "image", 1).items[0].score, abs=1e-5
    )
    assert witness["shared_users"] == 0
    assert larger.recommend_for(["twin"], 3).basis == "history"


def test_ids_keep_their_kind_and_must_be_new(exported: Everything) -> None:
    one = exported["bpr_mf"]
    known = one.bundle.items.names.tolist()[0]
    with pytest.raises(DataError, match="is in the bundle already; new items need ids of their own"):
        add_items(one.bundle, Newcomers([known], raw(one, [0])))
    with pytest.raises(DataError, match="item id 'n' stands twice"):
        add_items(one.bundle, Newcomers(["n", "n"], raw(one, [0, 1])))
    with pytest.raises(DataError, match="1 new items have 2 rows of vectors"):
        add_items(one.bundle, Newcomers(["n"], raw(one, [0, 1])))
    with pytest.raises(DataError, match="1 new items have 2 values of title"):
        add_items(one.bundle, Newcomers(["n"], raw(one, [0]), {"title": ["A", "B"]}))


def test_vectors_of_another_kind_are_refused(exported: Everything) -> None:
    one = exported["magnet"]
    narrow = ItemFeatures(1, {"image": Modality(np.ones((1, 3), np.float32), np.ones(1, bool))})
    with pytest.raises(DataError, match=r"'image' vectors have width 3, those of the bundle .* same encoder"):
        add_items(one.bundle, Newcomers(["n"], narrow))
    with pytest.raises(DataError, match="the bundle knows no modality 'imago'; did you mean 'image'"):
        add_items(one.bundle, Newcomers(["n"], ItemFeatures(1, {"imago": narrow["image"]})))
    broken = np.array(raw(one, whole(one)[:1])["text"].vectors)
    broken[0, 0] = np.nan
    content = ItemFeatures(1, {"text": Modality(broken, np.ones(1, bool))})
    with pytest.raises(
        DataError, match="a new item's 'text' vector holds a value that is not a finite number"
    ):
        add_items(one.bundle, Newcomers(["n"], content))


def test_the_old_bundle_stays_as_it_is(exported: Everything) -> None:
    one = exported["magnet"]
    user = one.bundle.users.names.tolist()[0]
    before = one.bundle.recommend(user, 48)
    add_items(one.bundle, Newcomers(["n"], raw(one, [0])))
    assert one.bundle.recommend(user, 48) == before
    with pytest.raises(UnknownIdError):
        one.bundle.similar("n")
