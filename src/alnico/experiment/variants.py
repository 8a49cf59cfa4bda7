"""Runs of a study by what they vary: the seeds of one variant together, and one variant against another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from alnico.evaluation.evaluate import Scores
from alnico.evaluation.significance import Comparison, compare, holm, paired_test, smallest_detectable_effect
from alnico.experiment.findings import BASELINE_METRIC, best_first
from alnico.experiment.folder import Question, Run
from alnico.experiment.results import OWN_MODEL, Duel, RunRecord, warning
from alnico.experiment.spec import look_up
from alnico.randomness import rng

CLAIMED = ("recall@20", "ndcg@20")
"""The test measures on which a win or a loss is claimed."""


@dataclass(frozen=True)
class Conditions:
    """What rows of one table share: data, split rule without its seed, mask, and the protocol.

    ``kind`` and ``name`` are the protocol's, empty for runs that were made under none.
    """

    data: str
    split: str
    mask: str
    kind: str
    name: str


@dataclass(frozen=True, eq=False)
class StudyRow:
    """One finished run of a study.

    ``label`` is the variant's name in tables, the same for all seeds; ``varied`` are the settings that it changes, by
    dotted name; ``run`` is its folder where that is at hand.
    """

    label: str
    varied: Mapping[str, Any]
    dataset: str
    seed: int
    record: RunRecord
    run: Run | None = None

    @property
    def conditions(self) -> Conditions:
        """What it has to share with another row to stand in one table with it."""
        told = self.record.record
        recipe = told["split"]["recipe"]
        settings = ", ".join(f"{key} {recipe[key]}" for key in sorted(recipe) if key not in ("seed", "rule"))
        stamp = told.get("protocol") or {}
        return Conditions(
            data=str(told["dataset"]["fingerprint"]),
            split=f"{recipe['rule']} ({settings})" if settings else str(recipe["rule"]),
            mask=str(self.record.settings["evaluation"]["mask"]),
            kind=str(stamp.get("kind", "")),
            name=str(stamp.get("name", "")),
        )

    @property
    def dealt(self) -> tuple[str, ...]:
        """The modalities whose content was dealt out anew for this run (``ContentPlan.dealt``)."""
        return tuple(self.setting("content.dealt") or ())

    @property
    def on_intact(self) -> "StudyRow":
        """The same as a run on the data as they were before content was dealt out, to be held against others on them.

        Pairs and split are the same there, and what lists are measured by.
        """
        data = self.record.record["dataset"]
        if not self.dealt:
            return self
        told = {**self.record.record, "dataset": {**data, "fingerprint": data["dealt_from"]}}
        return replace(self, record=replace(self.record, record=told))

    def setting(self, name: str) -> Any:
        """The value of one setting by its dotted name, None where the run has no such setting."""
        return look_up(self.record.settings, name)


@dataclass(frozen=True, eq=False)
class Variant:
    """All seeds of one variant on one data set under the same conditions; at least one row."""

    rows: Sequence[StudyRow]

    @property
    def first(self) -> StudyRow:
        """Its first row; what all seeds share can be read there."""
        return self.rows[0]

    @property
    def label(self) -> str:
        """Its name in tables."""
        return self.first.label

    @property
    def shown(self) -> str:
        """Its name with what tables must say of a model that was reconstructed."""
        said = str((self.first.record.record.get("card") or {}).get("reproduction", ""))
        return f"{self.label} ({said})" if "reconstructed" in said and said not in self.label else self.label

    @property
    def model(self) -> str:
        """The model's name in ``alnico models``."""
        return self.first.record.model

    @property
    def is_own(self) -> bool:
        """Whether it is a MAGNET."""
        return self.model == OWN_MODEL

    def values(self, part: Literal["valid", "test"], metric: str) -> NDArray[np.float64]:
        """The measure of each seed that took it."""
        taken = [row.record.measure(part, metric) for row in self.rows]
        return np.array([value for value in taken if value is not None], dtype=np.float64)

    def mean(self, part: Literal["valid", "test"], metric: str) -> float | None:
        """The mean over seeds, None where none took the measure."""
        values = self.values(part, metric)
        return float(values.mean()) if len(values) else None

    def deviation(self, part: Literal["valid", "test"], metric: str) -> float | None:
        """The sample standard deviation over seeds, None with fewer than two."""
        values = self.values(part, metric)
        return float(values.std(ddof=1)) if len(values) > 1 else None


@dataclass(frozen=True)
class Field:
    """The variants of one data set under the same conditions, in order of first appearance."""

    dataset: str
    conditions: Conditions
    variants: Sequence[Variant] = field(repr=False)

    def named(self, label: str) -> Variant | None:
        """The variant of this name."""
        return next((variant for variant in self.variants if variant.label == label), None)

    @property
    def own(self) -> Variant | None:
        """The MAGNET that the others are held against: the best by mean validation.

        Those that change no setting come before ablations and sweeps, and of these those with two views.
        """
        found = [variant for variant in self.variants if variant.is_own]
        whole = [variant for variant in found if not variant.first.varied] or found
        dual = [variant for variant in whole if variant.first.setting("model.views") != "single"]
        return max(
            dual or whole, key=lambda variant: variant.mean("valid", BASELINE_METRIC) or 0.0, default=None
        )

    @property
    def unchanged(self) -> Variant:
        """The variant that changes no setting, or else the first."""
        return next((variant for variant in self.variants if not variant.first.varied), self.variants[0])

    @property
    def baselines(self) -> list[Variant]:
        """Other models than MAGNET, best mean validation first."""
        others = [variant for variant in self.variants if not variant.is_own]
        return sorted(others, key=lambda variant: -(variant.mean("valid", BASELINE_METRIC) or 0.0))

    @property
    def strongest(self) -> Variant | None:
        """The baseline that ``best_first`` names by validation; None without baselines that validated."""
        values = {variant: variant.values("valid", BASELINE_METRIC).tolist() for variant in self.baselines}
        return next(iter(best_first(values)), None)


def fields(rows: Sequence[StudyRow]) -> list[Field]:
    """Rows by data set and conditions, within them by variant (label and what it varies), as they first appear."""
    grouped: dict[tuple[str, Conditions], dict[tuple[str, str], list[StudyRow]]] = {}
    for row in rows:
        variant = (row.label, str(sorted(row.varied.items())))
        grouped.setdefault((row.dataset, row.conditions), {}).setdefault(variant, []).append(row)
    return [
        Field(dataset, conditions, [Variant(own) for own in variants.values()])
        for (dataset, conditions), variants in grouped.items()
    ]


@dataclass(frozen=True)
class Contrast:
    """One variant against another on one measure, first minus second.

    ``users`` compares user by user, each user's values averaged over the seeds (and splits) that both variants have.
    ``seeds_p`` is the two-sided p of Student's paired test over the ``n_seeds`` seeds that both have, None with fewer
    than two. Neither is corrected.
    """

    first: str
    second: str
    second_model: str
    users: Comparison
    n_seeds: int
    seeds_p: float | None


def contrast(first: Variant, second: Variant, metric: str) -> Contrast | None:
    """The first variant against the second; None where they share no seed on one split or lack the measure."""
    both = paired_scores(first, second, metric)
    if both is None:
        return None
    a, b = _seed_means(first, second, metric)
    return Contrast(
        first.shown,
        second.shown,
        second.model,
        compare(*both, metric, rng(0, "comparison")),
        len(a),
        paired_test(a, b, "t") if len(a) > 1 else None,
    )


def paired_scores(first: Variant, second: Variant, metric: str) -> tuple[Scores, Scores] | None:
    """Per-user values of both variants over the users of the splits that both answered with the same seed.

    Within a split the runs of the seeds that both have are averaged; over splits each user's values are. None where
    they share no seed on one split or either lacks the measure.
    """
    sides = [
        {
            (row.record.question, row.seed): row.record.scores
            for row in variant.rows
            if metric in row.record.scores.values
        }
        for variant in (first, second)
    ]
    seeds: dict[Question, list[int]] = {}
    for split, seed in sides[0]:
        if (split, seed) in sides[1]:
            seeds.setdefault(split, []).append(seed)
    if not seeds:
        return None
    users = np.concatenate([sides[0][split, shared[0]].users for split, shared in seeds.items()])
    listed, place = np.unique(users, return_inverse=True)
    means = []
    for side in sides:
        values = [
            np.mean([side[split, seed].of(metric) for seed in shared], axis=0)
            for split, shared in seeds.items()
        ]
        means.append(np.bincount(place, np.concatenate(values)) / np.bincount(place))
    return Scores(listed, {metric: means[0]}), Scores(listed, {metric: means[1]})


def _seed_means(
    first: Variant, second: Variant, metric: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Test means of the seeds that both have on the same split, paired."""
    sides = [
        {
            (row.seed, row.record.question): value
            for row in variant.rows
            if (value := row.record.measure("test", metric)) is not None
        }
        for variant in (first, second)
    ]
    shared = [key for key in sides[0] if key in sides[1]]
    a, b = ([side[key] for key in shared] for side in sides)
    return np.array(a, dtype=np.float64), np.array(b, dtype=np.float64)


@dataclass(frozen=True)
class Verdict:
    """A contrast with p values corrected by Holm for all that were made together, over users and over seeds."""

    contrast: Contrast
    duel: Duel
    seeds_p_holm: float | None


def contrasts(pairs: Sequence[tuple[Variant, Variant]], metric: str) -> list[Verdict]:
    """Each pair of variants, first minus second, corrected for being several; pairs without a common split are left
    out."""
    made = [told for first, second in pairs if (told := contrast(first, second, metric)) is not None]
    by_users = holm([told.users.p_value for told in made])
    seeded = [told for told in made if told.seeds_p is not None]
    by_seeds = dict(
        zip(map(id, seeded), holm([told.seeds_p or 0.0 for told in seeded]).tolist(), strict=True)
    )
    return [
        Verdict(
            told,
            Duel(told.first, told.second, told.second_model, told.users, float(p)),
            by_seeds.get(id(told)),
        )
        for told, p in zip(made, by_users, strict=True)
    ]


@dataclass(frozen=True)
class Detectable:
    """The smallest true difference that would be found with probability .8, stated before the comparison.

    ``first`` and ``second`` are the variants from whose differences the spread was taken.
    """

    effect: float
    n_users: int
    first: str
    second: str


def detectable(field: Field, metric: str) -> Detectable | None:
    """What the users of this field could show; the spread is that of the two best baselines by validation.

    With one baseline it is that of MAGNET against it. None where no two variants share a split.
    """
    pairs = list(zip(field.baselines[:1], field.baselines[1:2], strict=False))
    if not pairs and field.own is not None and field.strongest is not None:
        pairs = [(field.own, field.strongest)]
    for first, second in pairs:
        both = paired_scores(first, second, metric)
        if both is not None and len(both[0]) > 1:
            differences = both[0].of(metric) - both[1].of(metric)
            effect = smallest_detectable_effect(float(differences.std(ddof=1)), len(differences))
            return Detectable(effect, len(differences), first.shown, second.shown)
    return None


@dataclass(frozen=True)
class Standing:
    """Who is ahead on one measure, in a plain sentence, and whether that is another model than MAGNET."""

    sentence: str
    is_behind: bool


def standing(field: Field) -> list[Standing]:
    """Who is ahead on each claimed measure; empty where there is no MAGNET or no other model."""
    own = field.own
    if own is None or not field.baselines:
        return []
    return [_standing(field, own, metric) for metric in CLAIMED if own.mean("test", metric) is not None]


def _standing(field: Field, own: Variant, metric: str) -> Standing:
    mine = own.mean("test", metric) or 0.0
    means = [(variant.mean("test", metric), variant) for variant in field.baselines]
    ahead = sorted(
        ((value, variant) for value, variant in means if value is not None and value > mine),
        key=lambda one: -one[0],
    )
    fought = [verdict.duel for verdict in contrasts([(own, other) for other in field.baselines], metric)]
    if not ahead:
        told = [f"{field.dataset}, {metric}: no other model is ahead of {own.label} in the mean."]
        warned = warning(fought)
        if warned:
            told.append(warned)
        elif len(fought) == len(field.baselines):
            told.append("Every other model is significantly worse.")
        else:
            told.append("Not every other model could be compared with it user by user.")
        return Standing(" ".join(told), False)
    worse = [duel.second for duel in fought if duel.verdict == "worse"]
    names = ", ".join(
        f"{variant.shown} ({value:.4f}, {'significantly' if variant.shown in worse else 'not significantly'})"
        for value, variant in ahead
    )
    verb = "is" if len(ahead) == 1 else "are"
    return Standing(f"{field.dataset}, {metric}: {names} {verb} ahead of {own.label} ({mine:.4f}).", True)


def claimable(field: Field) -> dict[str, list[Verdict]]:
    """MAGNET against every other model, by measure; empty where there is no MAGNET."""
    own = field.own
    if own is None:
        return {}
    return {metric: contrasts([(own, other) for other in field.baselines], metric) for metric in CLAIMED}
