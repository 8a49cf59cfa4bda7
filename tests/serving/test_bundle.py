"""Bundles answer as the run does, by themselves."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from alnico.data.dataset import ItemCards
from alnico.errors import ConfigError, UnknownIdError, UnsupportedError
from alnico.experiment.answer import explain_pair, named, recommend
from alnico.kernels import routed_stages
from alnico.models.magnet.scorer import MagnetScorer
from alnico.ranking import Ranking, Seen
from alnico.serving.answers import Filters, category_names, price_of
from alnico.serving.bundle import BEHAVIOUR, Bundle
from alnico.serving.export import bundle_of, compared
from alnico.serving.folder import load_bundle, save_bundle
from alnico.serving.manifest import Stages
from exported_bundles import NAMES, Exported
from finished_runs import Finished

Everything = dict[str, Exported]


def names(answer):
    """The items of a list."""
    return [listed.item for listed in answer.items]


@pytest.mark.parametrize("name", NAMES)
def test_lists_are_those_of_the_run_to_the_bit(exported: Everything, name: str) -> None:
    bundle, run = exported[name].bundle, exported[name].run
    for user in bundle.users.names.tolist():
        asked = recommend(run, [user], 12)
        answer = bundle.recommend(user, 12)
        assert names(answer) == asked["item_id"].to_list()
        assert [listed.score for listed in answer.items] == asked["score"].to_list()
        assert [listed.rank for listed in answer.items] == list(range(1, 13))
        assert answer.basis == "trained"


@pytest.mark.parametrize("name", ["magnet", "neighbourhood"])
def test_explanations_are_those_of_the_run(exported: Everything, name: str) -> None:
    bundle, run = exported[name].bundle, exported[name].run
    user = bundle.users.names.tolist()[4]
    item = bundle.recommend(user, 1).items[0].item
    told, expected = bundle.explain(user, item), named(run, explain_pair(run, user, item))
    # Vectors of length one give the cosines of the vectors as they came, but for the last bits.
    for mine, theirs in zip(told.pop("witnesses"), expected.pop("witnesses"), strict=True):
        for key, value in mine.pop("similarity").items():
            other = theirs["similarity"][key]
            assert value is other is None or value == pytest.approx(other, abs=1e-6)
        del theirs["similarity"]
        assert mine == theirs
    assert told.pop("basis") in ("trained", "untaken")
    assert told == expected


def test_a_bundle_needs_nothing_of_the_run(finished: Finished, tmp_path: Path) -> None:
    shutil.copytree(finished.data, tmp_path / "data")
    shutil.copytree(finished.shop / "images", tmp_path / "images")
    bundle = bundle_of(finished.magnet)
    save_bundle(bundle, tmp_path / "bundle")
    shutil.rmtree(tmp_path / "data")
    shutil.rmtree(tmp_path / "images")
    again = load_bundle(tmp_path / "bundle")
    user = again.users.names.tolist()[0]
    assert names(again.recommend(user, 5)) == names(bundle.recommend(user, 5))
    assert again.card(again.items.name(0))["title"] == finished.magnet.dataset.cards.get("title", 0)


def test_pictures_are_small_jpegs_and_missing_ones_are_none(exported: Everything) -> None:
    bundle = exported["magnet"].bundle
    with_image = [bool(text) for text in bundle.cards.columns["image"]]
    assert [picture is not None for picture in bundle.pictures] == with_image
    assert 0 < sum(with_image) < len(with_image)
    picture = bundle.picture(bundle.items.name(with_image.index(True)))
    assert picture is not None
    assert picture[:3] == b"\xff\xd8\xff"


def test_somebody_known_by_items_alone_is_served_as_a_folded_user(exported: Everything) -> None:
    for name in NAMES:
        bundle = exported[name].bundle
        user = bundle.users.names.tolist()[5]
        history = bundle.history(user)
        answer = bundle.recommend_for(history, 8)
        assert answer.basis == "history"
        assert not set(names(answer)) & set(history)
        folded = bundle.scorer.fold_in([bundle.numbers_of(history)])
        best = folded.top(
            np.zeros(1, np.int64), exported[name].run.seen.by_one(1, 0, bundle.history_of(5)), 8
        )
        assert names(answer) == bundle.items.of(best.items[0]).tolist()
    # Nearest neighbours know users by nothing else: the same list as for the user.
    knn = exported["item_knn"].bundle
    user = knn.users.names.tolist()[5]
    assert names(knn.recommend_for(knn.history(user), 8)) == names(knn.recommend(user, 8))


def test_somebody_unknown_gets_what_most_users_took(exported: Everything) -> None:
    bundle = exported["magnet"].bundle
    answer = bundle.recommend_for([], 5)
    order = np.lexsort((np.arange(bundle.n_items), -bundle.takers))[:5]
    assert answer.basis == "popularity"
    assert names(answer) == bundle.items.of(order).tolist()
    assert "these are the items that most users took" in answer.notes[0]


def test_without_histories_nothing_tells_who_had_what(finished: Finished, tmp_path: Path) -> None:
    whole, bare = bundle_of(finished.item_knn), bundle_of(finished.item_knn, histories=False)
    save_bundle(bare, tmp_path / "bare")
    again = load_bundle(tmp_path / "bare")
    assert not (tmp_path / "bare" / "histories.safetensors").exists()
    assert again.scorer.state().tensors["history"].numel() == 0
    user = again.users.names.tolist()[0]
    assert again.history(user) == []
    with pytest.raises(
        UnsupportedError, match="this bundle was exported without them; send the user's items"
    ):
        again.recommend(user)
    assert names(again.recommend_for(whole.history(user))) == names(whole.recommend(user))
    magnet = bundle_of(finished.magnet, histories=False)
    told = magnet.recommend(user, 5)
    assert told.notes == ("the bundle holds no histories: items that the user has may be listed",)
    assert names(told) == names(bundle_of(finished.magnet).recommend(user, 5, keep_seen=True))
    assert magnet.explain(user, told.items[0].item)["witnesses"] == []


def test_filters_leave_places_to_the_next_best(exported: Everything) -> None:
    bundle = exported["magnet"].bundle
    user = bundle.users.names.tolist()[3]
    everything = names(bundle.recommend(user, bundle.n_items))
    kept = everything[1::3]
    assert names(bundle.recommend(user, 4, Filters(allow=(*kept, "gone")))) == kept[:4]
    assert (
        names(bundle.recommend(user, 4, Filters(deny=tuple(kept))))
        == [item for item in everything if item not in kept][:4]
    )
    category = bundle.categories[0]
    own = [item for item in everything if category in category_names(bundle.card(item)["category"])]
    assert names(bundle.recommend(user, 100, Filters(categories=(category.upper(),)))) == own
    assert names(bundle.recommend(user, 5, Filters(allow=()))) == []
    assert names(bundle.recommend_for([], 3, Filters(categories=(category,)))) != names(
        bundle.recommend_for([], 3)
    )


def test_prices_are_bounds(exported: Everything) -> None:
    bundle = exported["magnet"].bundle
    prices = tuple(str(item) if item % 4 else "" for item in range(bundle.n_items))
    priced = replace(bundle, cards=ItemCards({**bundle.cards.columns, "price": prices}))
    listed = priced.recommend_for([], 100, Filters(least_price=10, most_price=20))
    assert sorted(priced.items.numbers(names(listed)).tolist()) == [
        item for item in range(10, 21) if item % 4
    ]


@pytest.mark.parametrize(
    ("text", "price"),
    [("12.50", 12.5), ("$ 1,299.00", 1299), ("7,95 €", 7.95), ("1,200", 1200), ("", None), ("ask us", None)],
)
def test_prices_are_read_from_what_shops_write(text: str, price: float | None) -> None:
    found = price_of(text)
    assert np.isnan(found) if price is None else found == price


def test_similar_items_come_from_the_lists(exported: Everything) -> None:
    bundle = exported["magnet"].bundle
    item = int(np.argmax(bundle.takers))
    for source in bundle.sources:
        lists = bundle.neighbours[source]
        answer = bundle.similar(bundle.items.name(item), source, 5)
        near = [other for other in lists.items[item].tolist() if other >= 0][:5]
        assert sorted(names(answer)) == sorted(bundle.items.of(near).tolist())
        assert [listed.score for listed in answer.items] == pytest.approx(
            [max(weight, 0) for weight in lists.weights[item, : len(near)].tolist()]
        )
    blended = bundle.similar(bundle.items.name(item), k=bundle.n_items)
    shares = {}
    for lists in bundle.neighbours.values():
        for other, weight in zip(lists.items[item].tolist(), lists.weights[item].tolist(), strict=True):
            if other >= 0:
                shares[bundle.items.name(other)] = (
                    shares.get(bundle.items.name(other), 0) + max(weight, 0) / 3
                )
    assert {listed.item: listed.score for listed in blended.items} == pytest.approx(shares)
    assert [listed.score for listed in blended.items] == sorted(shares.values(), reverse=True)
    deny = Filters(deny=(blended.items[0].item,))
    assert names(bundle.similar(bundle.items.name(item), k=3, filters=deny)) == names(blended)[1:4]


def test_behaviour_is_who_took_both(exported: Everything) -> None:
    bundle, train = exported["bpr_mf"].bundle, exported["bpr_mf"].run.split.train
    item = int(np.argmax(bundle.takers))
    other = int(bundle.neighbours[BEHAVIOUR].items[item, 0])
    mine, theirs = (set(train.users[train.items == one].tolist()) for one in (item, other))
    cosine = len(mine & theirs) / np.sqrt(len(mine) * len(theirs))
    assert bundle.neighbours[BEHAVIOUR].weights[item, 0] == pytest.approx(cosine)


def test_emphasis_moves_a_list_and_even_emphasis_does_not(exported: Everything) -> None:
    bundle = exported["magnet"].bundle
    user = bundle.users.names.tolist()[2]
    plain = bundle.recommend(user, 20)
    assert bundle.recommend(user, 20, emphasis={"image": 1.0}) == plain
    louder = bundle.recommend(user, 20, emphasis={"image": 5.0, "text": 0.0})
    assert [one.score for one in louder.items] != [one.score for one in plain.items]
    # All parts twice as loud are as loud as before, one beside the other.
    twice = bundle.recommend(user, 20, emphasis=dict.fromkeys(("behaviour", "image", "text"), 2.0))
    assert names(twice) == names(plain)
    silent = bundle.explain(user, plain.items[0].item, emphasis={"image": 0.0, "text": 0.0})
    assert silent["without"]["image"] == pytest.approx(silent["score"])
    assert silent["without"]["text"] == pytest.approx(silent["score"])
    with pytest.raises(ConfigError, match="the model has no part 'sound'"):
        bundle.recommend(user, emphasis={"sound": 1.5})
    with pytest.raises(ConfigError, match="the weight of 'image' must be a number of at least 0; found -1"):
        bundle.recommend(user, emphasis={"image": -1})
    with pytest.raises(UnsupportedError, match="bpr_mf has no parts that could be turned up or down"):
        exported["bpr_mf"].bundle.recommend(user, emphasis={"image": 2})


def test_an_unknown_somebody_is_explained_by_the_items(exported: Everything) -> None:
    bundle = exported["magnet"].bundle
    user = bundle.users.names.tolist()[6]
    history = bundle.history(user)
    first = bundle.recommend_for(history, 1).items[0]
    told = bundle.explain_for(history, first.item)
    assert told["user"] is None
    assert told["rank"] == 1
    assert told["score"] == pytest.approx(first.score, rel=1e-4)
    assert {witness["item"]["item_id"] for witness in told["witnesses"]} <= set(history)
    # Whoever has exactly these items in training shares with them what the user shares.
    shared = {w["item"]["item_id"]: w["shared_users"] for w in bundle.explain(user, first.item)["witnesses"]}
    for witness in told["witnesses"]:
        name = witness["item"]["item_id"]
        assert witness["shared_users"] == shared.get(name, witness["shared_users"])


def test_senseless_questions_are_one_sentence(exported: Everything) -> None:
    bundle = exported["bpr_mf"].bundle
    user = bundle.users.names.tolist()[0]
    item = bundle.items.names.tolist()[0]
    with pytest.raises(UnknownIdError, match="user 'nobody' is not among"):
        bundle.recommend("nobody")
    with pytest.raises(UnknownIdError, match="item 'nothing' is not among"):
        bundle.recommend_for(["nothing"])
    with pytest.raises(ConfigError, match="k must be at least 1; found 0"):
        bundle.recommend(user, 0)
    with pytest.raises(ConfigError, match="items cannot be compared by 'imag'; did you mean 'image'"):
        bundle.similar(item, "imag")
    with pytest.raises(UnsupportedError, match="bpr_mf cannot explain its scores; a bundle of magnet can"):
        bundle.explain(user, item)
    assert len(bundle.recommend(user, 10**9, keep_seen=True).items) == bundle.n_items


def test_card_tells_what_the_bundle_is(exported: Everything) -> None:
    one = exported["magnet"]
    card = (one.folder / "card.md").read_text()
    assert card.startswith("# magnet\n")
    for told in (
        one.run.record["dataset"]["fingerprint"],
        f"{one.run.result['test']['ndcg@20']:.4f}",
        "The licence of the data is not known",
        "40 users, 48 items",
        'name = "magnet"',
    ):
        assert told in card


def test_warm_up_changes_nothing(exported: Everything) -> None:
    for name in NAMES:
        bundle: Bundle = exported[name].bundle
        before = bundle.recommend(bundle.users.name(0), 5)
        bundle.warm_up()
        assert bundle.recommend(bundle.users.name(0), 5) == before


def test_pictures_are_never_larger_than_a_page_shows(exported: Everything, tmp_path: Path) -> None:
    (tmp_path / "small.jpg").write_bytes(
        next(picture for picture in exported["magnet"].bundle.pictures if picture)
    )
    with Image.open(tmp_path / "small.jpg") as picture:
        assert max(picture.size) <= 192


# -- two stages --------------------------------------------------------------------------------------------


def staged(bundle: Bundle, **stages: Any) -> Bundle:
    """The same bundle, whose catalogue counts as large."""
    facts = bundle.facts.model_copy(update={"stages": Stages(above=0, **stages)})
    return replace(bundle, facts=facts)


@pytest.fixture
def always_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists in two stages begin with candidates however few items there are."""
    monkeypatch.setattr(routed_stages, "FEW", 0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("always_candidates")
def test_in_two_stages_lists_are_the_same_to_the_bit(exported: Everything, name: str) -> None:
    exact = exported[name].bundle
    large = staged(exact)
    assert not exact.in_two_stages
    assert large.in_two_stages == (name in ("magnet", "neighbourhood"))
    category = exact.cards.columns["category"][0]
    filters = (
        Filters(),
        Filters(categories=(category,)),
        Filters(most_price=30.0),
        Filters(deny=tuple(exact.items.names.tolist()[:20])),
        Filters(allow=tuple(exact.items.names.tolist()[5:9])),
        Filters(allow=()),
    )
    for user in exact.users.names.tolist()[:6]:
        for chosen in filters:
            for keep_seen in (False, True):
                asked = (user, 5, chosen)
                expected = exact.recommend(*asked, keep_seen=keep_seen)
                assert large.recommend(*asked, keep_seen=keep_seen) == expected
    history = exact.items.names.tolist()[:3]
    assert large.recommend_for(history, 5) == exact.recommend_for(history, 5)


@pytest.mark.usefixtures("always_candidates")
def test_recall_of_two_stages_is_measured_on_users_drawn_once(exported: Everything) -> None:
    large = staged(exported["magnet"].bundle)
    assert compared(large).facts.stages == Stages(above=0, recall=1.0, k=20, users=40)
    assert compared(large, 7).facts.stages.users == 7


class LosingTheFirst(MagnetScorer):
    """Two stages that miss the best item of every list."""

    def top_of_few(self, users: NDArray[np.int64], seen: Seen, k: int) -> Ranking:
        found = self.top(users, seen, k + 1)
        return Ranking(users, found.items[:, 1:], found.scores[:, 1:])


def test_two_stages_that_miss_items_are_not_used(exported: Everything) -> None:
    sound = exported["magnet"].bundle
    losing = replace(sound, scorer=LosingTheFirst.from_state(sound.scorer.state()))
    measured = compared(staged(losing, k=10))
    # One of ten is missed in every list.
    assert measured.facts.stages.recall == pytest.approx(0.9)
    assert not measured.in_two_stages
    user = sound.users.names.tolist()[0]
    assert measured.recommend(user, 5) == sound.recommend(user, 5)
    assert staged(sound, recall=0.99).in_two_stages


def test_the_card_and_the_stored_facts_tell_of_two_stages(finished: Finished, tmp_path: Path) -> None:
    bundle = bundle_of(finished.magnet, stages=Stages(above=47))
    save_bundle(bundle, tmp_path / "bundle")
    assert load_bundle(tmp_path / "bundle").facts.stages == Stages(above=47, recall=1.0, k=20, users=40)
    told = "lists in two stages (above 47 items): recall@20 against exact lists 1.0000, measured on 40 users"
    assert told in (tmp_path / "bundle" / "card.md").read_text()
    assert bundle_of(finished.magnet, stages=Stages(above=48)).facts.stages.recall is None
