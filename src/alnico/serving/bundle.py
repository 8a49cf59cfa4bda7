"""A finished model that answers by itself: ids, cards, neighbours and histories are with it.

How a service uses it::

    from alnico.serving.folder import load_bundle, save_bundle
    from alnico.serving.newcomers import Newcomers, add_items

    bundle = load_bundle(folder)                 # checks every file; StorageError says what is wrong
    bundle.recommend("u7", 20, Filters(...))     # an Answer: items with ranks, scores and what they rest on
    bundle.recommend_for(["i1", "i9"], 20)       # somebody known by these items alone
    bundle.similar("i1", by="image")             # by "behaviour", a modality, or "blended"
    bundle.explain("u7", "i1")                   # plain values for JSON; explain_for(history, item) likewise
    bundle.card("i1"), bundle.picture("i1")      # texts, and the bytes of a small JPEG or None
    larger = add_items(bundle, Newcomers(...))   # a new bundle; this one stays as it is

A bundle never changes, so threads may share it and a new one may take its place between two requests. Unknown ids raise
UnknownIdError, what a model cannot do UnsupportedError, senseless settings ConfigError; all are AlnicoErrors whose text
can be shown. ``facts`` tell what it is, ``warm_up`` compiles and packs what the first request would wait for: call it
before a bundle takes another's place. Time grows with k, so a service sets a limit to it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from alnico.contracts import ExplainingScorer, Scorer
from alnico.data.dataset import ItemCards
from alnico.data.features import ItemFeatures
from alnico.data.ids import IdMap
from alnico.data.interactions import Interactions
from alnico.data.neighbours import ItemNeighbours
from alnico.diagnostics.explain import explain
from alnico.errors import ConfigError, UnsupportedError, nearest
from alnico.experiment.answer import in_outside_ids
from alnico.ranking import Ranking, Seen, ranking_from_scores
from alnico.serving.answers import (
    EVERYTHING,
    Answer,
    Basis,
    Filters,
    Listed,
    category_names,
    first_of_each,
    price_of,
)
from alnico.serving.manifest import Facts

BEHAVIOUR, BLENDED = "behaviour", "blended"
STANDINGS: tuple[Basis, ...] = ("trained", "content", "like", "nothing", "untaken")
"""What an item's place rests on, by the number that ``Bundle.standing`` has for it."""
TRAINED, BY_CONTENT, LIKE_OTHERS, BY_NOTHING, UNTAKEN = range(len(STANDINGS))


DEMANDED_RECALL = 0.99
"""Least share of the exact lists that two stages have to find, or every list is made in one."""
REMEMBERED = 8
"""Models with some emphasis that a bundle keeps for the next question."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """Everything that answers need; rows of all tables are items in the order of ``items``.

    ``content`` are the items' vectors scaled to length one; ``neighbours`` are lists by "behaviour" (who took both)
    and by each modality, weights being similarities; ``histories`` the training items of each user, oldest first, None
    where they were left out; ``takers`` counts each item's training users; ``standing`` says for each item what its
    place rests on (``STANDINGS``); ``pictures`` are small JPEG files. Items added later stand at the end.
    """

    facts: Facts
    scorer: Scorer
    users: IdMap
    items: IdMap
    cards: ItemCards
    content: ItemFeatures
    neighbours: Mapping[str, ItemNeighbours]
    histories: Interactions | None
    takers: NDArray[np.int64]
    standing: NDArray[np.int8]
    pictures: tuple[bytes | None, ...]
    encoders: Mapping[str, torch.Tensor] = field(default_factory=dict)
    _turned_models: dict[tuple[tuple[str, float], ...], ExplainingScorer] = field(
        default_factory=dict, init=False, repr=False
    )

    @property
    def n_items(self) -> int:
        """Number of items, added ones included."""
        return len(self.items)

    @property
    def sources(self) -> tuple[str, ...]:
        """What ``similar`` can go by, "blended" apart."""
        return tuple(self.neighbours)

    # -- lists -----------------------------------------------------------------------------------------

    def recommend(
        self,
        user: int | str,
        k: int = 10,
        filters: Filters = EVERYTHING,
        *,
        keep_seen: bool = False,
        emphasis: Mapping[str, float] | None = None,
    ) -> Answer:
        """The k best items for a user of the training, without those of the training history unless ``keep_seen``.

        ``emphasis`` makes parts (behaviour or a modality) count so many times as much, where the model can.
        """
        number = self.users.number(user)
        if self.histories is None and self.scorer.holds_histories:
            raise UnsupportedError(
                f"{self.facts.model} knows users by their histories alone and this bundle was exported without "
                "them; send the user's items instead"
            )
        notes = []
        history = self.history_of(number)
        if self.histories is None and not keep_seen:
            notes.append("the bundle holds no histories: items that the user has may be listed")
        seen = np.zeros(0, np.int64) if keep_seen else history
        return self._answer(self._turned(emphasis), number, seen, k, filters, "trained", notes)

    def recommend_for(
        self,
        history: Sequence[int | str],
        k: int = 10,
        filters: Filters = EVERYTHING,
        *,
        keep_seen: bool = False,
        emphasis: Mapping[str, float] | None = None,
    ) -> Answer:
        """The k best items for somebody who was not in training and has these items; without any, the most taken."""
        numbers = self.numbers_of(history)
        told = numbers[self.standing[numbers] != BY_NOTHING]
        seen = np.zeros(0, np.int64) if keep_seen else numbers
        if not len(told):
            scores = torch.from_numpy(self.takers.astype(np.float32))[None]
            left_out = self._left_out(seen, filters)
            ranking = ranking_from_scores(
                scores, np.zeros(1, np.int64), Seen.by_one(1, 0, left_out), self._length(k)
            )
            note = "nothing is known of the user: these are the items that most users took"
            return Answer(self._listed(ranking), "popularity", (note,))
        folded = self._turned(emphasis).fold_in([told])
        return self._answer(folded, 0, seen, k, filters, "history", [])

    def similar(
        self, item: int | str, by: str = BLENDED, k: int = 10, filters: Filters = EVERYTHING
    ) -> Answer:
        """The k items most like one: by behaviour, by a modality, or blended (their mean); scores are similarities.

        Lists are as long as those that were stored, so filters may leave fewer than k.
        """
        number, length = self.items.number(item), self._length(k)
        if by != BLENDED and by not in self.neighbours:
            raise ConfigError(f"items cannot be compared by {by!r}{nearest(by, [BLENDED, *self.neighbours])}")
        sources = list(self.neighbours) if by == BLENDED else [by]
        found: dict[int, float] = {}
        for name in sources:
            lists = self.neighbours[name]
            for other, weight in zip(
                lists.items[number].tolist(), lists.weights[number].tolist(), strict=True
            ):
                if other >= 0:
                    found[other] = found.get(other, 0.0) + max(weight, 0.0) / len(sources)
        allowed = self._allowed(filters)
        best = sorted(
            (-weight, other) for other, weight in found.items() if allowed is None or allowed[other]
        )
        listed = tuple(
            Listed(rank, self.items.name(other), -weight, self.basis_of(other))
            for rank, (weight, other) in enumerate(best[:length], 1)
        )
        notes = [] if found else [f"nothing is known of this item by {' or '.join(sources)}"]
        return Answer(listed, "similarity", tuple(notes))

    # -- reasons ---------------------------------------------------------------------------------------

    def explain(
        self, user: int | str, item: int | str, *, emphasis: Mapping[str, float] | None = None
    ) -> dict[str, Any]:
        """Why a user of the training gets this item: plain values in outside ids.

        Raises UnsupportedError for a model that cannot explain.
        """
        number = self.users.number(user)
        scorer = self._explaining(emphasis)
        return self._explained(scorer, number, self.items.number(item), self.history_of(number), user)

    def explain_for(
        self, history: Sequence[int | str], item: int | str, *, emphasis: Mapping[str, float] | None = None
    ) -> dict[str, Any]:
        """Why somebody who has these items gets this one; see ``explain``. ``user`` is None in the answer."""
        numbers, scorer = self.numbers_of(history), self._explaining(emphasis)
        folded = scorer.fold_in([numbers])
        assert isinstance(folded, ExplainingScorer)
        return self._explained(folded, 0, self.items.number(item), numbers, None)

    def _explained(
        self,
        scorer: ExplainingScorer,
        user: int,
        item: int,
        history: NDArray[np.int64],
        name: int | str | None,
    ) -> dict[str, Any]:
        lists = {
            modality: self.neighbours[modality].first(min(self.facts.induced, self.neighbours[modality].k))
            for modality in (self.content if self.facts.induced else ())
        }
        told = explain(scorer, user, item, self._train, self.content, lists, history=history)
        plain = in_outside_ids(told, name, self.items, self.cards)
        return {**plain, "basis": self.basis_of(item)}

    def _explaining(self, emphasis: Mapping[str, float] | None) -> ExplainingScorer:
        scorer = self._turned(emphasis)
        if not isinstance(scorer, ExplainingScorer):
            raise UnsupportedError(f"{self.facts.model} cannot explain its scores; a bundle of magnet can")
        return scorer

    # -- facts about one thing -------------------------------------------------------------------------

    def history_of(self, user: int) -> NDArray[np.int64]:
        """Training items of a user, by inside numbers; none where the bundle has no histories."""
        return np.zeros(0, np.int64) if self.histories is None else self.histories.of_user(user)

    def history(self, user: int | str) -> list[int | str]:
        """Training items of a user in outside ids, oldest first; none where the bundle has no histories."""
        return [self.items.name(item) for item in self.history_of(self.users.number(user)).tolist()]

    def numbers_of(self, history: Sequence[int | str]) -> NDArray[np.int64]:
        """Inside numbers of these items, each once."""
        return np.array(first_of_each([self.items.number(name) for name in history]), np.int64)

    def basis_of(self, item: int) -> Basis:
        """What the place of an item, by inside number, rests on."""
        standing = int(self.standing[item])
        return "untaken" if standing == TRAINED and not self.takers[item] else STANDINGS[standing]

    def card(self, item: int | str) -> dict[str, str]:
        """The columns of the item table for one item; empty where unknown. ``image`` is where the picture was."""
        number = self.items.number(item)
        return {column: self.cards.get(column, number) for column in self.cards.columns}

    def picture(self, item: int | str) -> bytes | None:
        """A small JPEG file of the item, or None."""
        return self.pictures[self.items.number(item)]

    def warm_up(self) -> None:
        """Compile and pack what the first answers need."""
        if self.n_items and len(self.users):
            self._top(self.scorer, 0, np.zeros(0, np.int64), 1)
            self._top(self.scorer.fold_in([np.zeros(1, np.int64)]), 0, np.zeros(0, np.int64), 1)

    # -- arithmetic ------------------------------------------------------------------------------------

    def _turned(self, emphasis: Mapping[str, float] | None) -> Scorer:
        if not emphasis or all(weight == 1 for weight in emphasis.values()):
            return self.scorer
        if not isinstance(self.scorer, ExplainingScorer):
            raise UnsupportedError(
                f"{self.facts.model} has no parts that could be turned up or down; a bundle of magnet has"
            )
        key = tuple(sorted(emphasis.items()))
        found = self._turned_models.get(key)
        if found is None:
            found = self.scorer.emphasising(emphasis)
            if len(self._turned_models) >= REMEMBERED:
                self._turned_models.clear()
            self._turned_models[key] = found
        return found

    def _answer(
        self,
        scorer: Scorer,
        user: int,
        seen: NDArray[np.int64],
        k: int,
        filters: Filters,
        basis: Basis,
        notes: Sequence[str],
    ) -> Answer:
        ranking = self._top(scorer, user, self._left_out(seen, filters), self._length(k))
        return Answer(self._listed(ranking), basis, tuple(notes))

    @property
    def in_two_stages(self) -> bool:
        """Whether lists begin with candidates: the catalogue is large, the model can, and nothing was missed."""
        stages = self.facts.stages
        is_sound = stages.recall is None or stages.recall >= DEMANDED_RECALL
        return self.scorer.ranks_in_stages and self.n_items > stages.above and is_sound

    def _top(self, scorer: Scorer, user: int, left_out: NDArray[np.int64], k: int) -> Ranking:
        own = Seen.by_one(scorer.n_users, user, left_out)
        top = scorer.top_of_few if self.in_two_stages else scorer.top
        return top(np.array([user]), own, k)

    def _length(self, k: int) -> int:
        if k < 1:
            raise ConfigError(f"k must be at least 1; found {k}")
        return min(k, self.n_items)

    def _left_out(self, seen: NDArray[np.int64], filters: Filters) -> NDArray[np.int64]:
        """Items that may not be listed: seen, filtered away, or without anything to go by."""
        allowed = self._allowed(filters)
        others = (
            self._unplaced if allowed is None else np.flatnonzero(~allowed | (self.standing == BY_NOTHING))
        )
        return np.union1d(seen, others)

    def _listed(self, ranking: Ranking) -> tuple[Listed, ...]:
        pairs = zip(ranking.items[0].tolist(), ranking.scores[0].tolist(), strict=True)
        found = [(item, score) for item, score in pairs if item >= 0]
        return tuple(
            Listed(rank, self.items.name(item), score, self.basis_of(item))
            for rank, (item, score) in enumerate(found, 1)
        )

    def _allowed(self, filters: Filters) -> NDArray[np.bool_] | None:
        """Whether each item passes; None where nothing is filtered."""
        if filters == EVERYTHING:
            return None
        passes = np.ones(self.n_items, np.bool_)
        if filters.allow is not None:
            passes[:] = False
            passes[self._known(filters.allow)] = True
        passes[self._known(filters.deny)] = False
        if filters.categories:
            own = np.zeros(self.n_items, np.bool_)
            for category in filters.categories:
                own[self._by_category.get(category.strip().casefold(), [])] = True
            passes &= own
        if filters.least_price is not None:
            passes &= self._prices >= filters.least_price
        if filters.most_price is not None:
            passes &= self._prices <= filters.most_price
        return passes

    def _known(self, names: Sequence[int | str]) -> NDArray[np.int64]:
        numbers = self.items.numbers_or_absent(names)
        return numbers[numbers >= 0]

    @cached_property
    def _unplaced(self) -> NDArray[np.int64]:
        return np.flatnonzero(self.standing == BY_NOTHING)

    @cached_property
    def _train(self) -> Interactions:
        if self.histories is not None:
            return self.histories
        nobody = np.zeros(0, np.int64)
        return Interactions(nobody, nobody, len(self.users), self.n_items)

    @cached_property
    def _by_category(self) -> dict[str, list[int]]:
        """Items of each category."""
        found: dict[str, list[int]] = {}
        for item, text in enumerate(self.cards.columns.get("category", ())):
            for name in category_names(text):
                found.setdefault(name, []).append(item)
        return found

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """All categories, in lower case, sorted."""
        return tuple(sorted(self._by_category))

    def in_category(self, category: str) -> NDArray[np.int64]:
        """Items of a category, by inside numbers, ascending; case does not matter."""
        return np.array(self._by_category.get(category.strip().casefold(), []), np.int64)

    @cached_property
    def _prices(self) -> NDArray[np.float64]:
        """Prices; not a number where there is none."""
        return np.array(
            [price_of(text) for text in self.cards.columns.get("price", [""] * self.n_items)], np.float64
        )
