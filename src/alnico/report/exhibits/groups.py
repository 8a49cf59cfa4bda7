"""Dual view against single view by group and user by user: Figure 6."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alnico.diagnostics.difficulty import (
    BUCKETS,
    composition,
    counted,
    literal_buckets,
    relative_buckets,
    scores_by_bucket,
    visibility,
)
from alnico.diagnostics.gains import Gains, gains, relative_gain
from alnico.errors import AlnicoError
from alnico.evaluation.slices import thirds
from alnico.experiment.answer import content_lists
from alnico.experiment.dissection import asked_pairs
from alnico.experiment.folder import Run
from alnico.experiment.variants import Field, StudyRow, Variant, fields, paired_scores
from alnico.report.exhibits.shown import Figures, StudyFigure, of_each_field
from alnico.report.figures.canvas import BLUE, GREEN
from alnico.report.figures.groups import BUCKET_COLOURS, Gain, Groups, UserGains, groups
from alnico.report.study_tables.sheet import StudyTable, place_names
from alnico.report.tables import Table, number, short

METRIC = "ndcg@20"
PRINTED, HALVED = "as printed", "visible pairs halved"


@dataclass(frozen=True, eq=False)
class Views:
    """The two views' variants and the pairs of runs with the same split and seed, dual first."""

    dual: Variant
    single: Variant
    runs: Sequence[tuple[Run, Run]]


def view_groups(rows: Sequence[StudyRow]) -> Figures:
    """Gains of the dual over the single view by difficulty, activity, popularity and user. Implements: Figure 6."""
    return of_each_field(rows, "figure-6", "Figure 6: what the second view gains, and for whom", _of_field)


def _of_field(name: str, title: str, field: Field) -> Sequence[StudyFigure] | str:
    views = views_of(field)
    if views is None:
        return (
            "it needs the run folders of a MAGNET with two views and one with a single view, of the same seed"
        )
    buckets = bucket_means(views)
    return [StudyFigure(name, title, groups(_groups(views, buckets)), _caption(views, buckets))]


def views_of(field: Field) -> Views | None:
    """The field's first MAGNET of each view; None without the folders of a pair of the same split and seed."""
    by_view: dict[str, Variant] = {}
    for variant in field.variants:
        if variant.is_own:
            by_view.setdefault(str(variant.first.setting("model.views")), variant)
    if not {"dual", "single"} <= set(by_view):
        return None
    dual, single = by_view["dual"], by_view["single"]
    others = {(row.seed, row.record.question): row for row in single.rows}
    runs = [
        (row.run, other.run)
        for row in dual.rows
        if (other := others.get((row.seed, row.record.question))) is not None
        and row.run is not None
        and other.run is not None
    ]
    return Views(dual, single, runs) if runs else None


@dataclass(frozen=True)
class BucketMean:
    """One difficulty group: its test pairs, and both views' mean over seeds, None where it has no pairs."""

    kind: str
    name: str
    pairs: int
    dual: float | None
    single: float | None

    @property
    def gain(self) -> float | None:
        """The relative gain of the dual view in percent."""
        if self.dual is None or self.single is None:
            return None
        return relative_gain(self.dual, self.single)


def bucket_means(views: Views) -> list[BucketMean]:
    """Every difficulty group, as printed and with the visible pairs halved; pairs are those of the first seed."""
    pairs: dict[tuple[str, str], int] = {}
    means: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for dual, single in views.runs:
        targets = asked_pairs(dual)
        seen = visibility(dual.split.train, targets, content_lists(dual))
        for kind, buckets in ((PRINTED, literal_buckets(seen)), (HALVED, relative_buckets(seen))):
            sides = [scores_by_bucket(run.test_ranking(), targets, buckets, METRIC) for run in (dual, single)]
            for name, count in counted(buckets).items():
                pairs.setdefault((kind, name), count)
                if count:
                    means.setdefault((kind, name), []).append(
                        (sides[0][name].mean(METRIC), sides[1][name].mean(METRIC))
                    )
    return [
        BucketMean(kind, name, count, *_means(means.get((kind, name), [])))
        for (kind, name), count in pairs.items()
    ]


def _means(values: Sequence[tuple[float, float]]) -> tuple[float | None, float | None]:
    if not values:
        return None, None
    new, old = np.mean(np.array(values), axis=0).tolist()
    return new, old


def _groups(views: Views, buckets: Sequence[BucketMean]) -> Groups:
    run = views.runs[0][0]
    train, targets = run.split.train, asked_pairs(run)
    relative = relative_buckets(visibility(train, targets, content_lists(run)))
    users, _ = targets.pairs()
    activity = thirds(train.user_degrees[targets.users])
    members = {name: np.isin(users, targets.users[rows]) for name, rows in activity.items()}
    both = paired_scores(views.dual, views.single, METRIC)
    assert both is not None
    everybody = gains(*both, METRIC)
    values, shares = everybody.distribution()
    printed, halved = (
        [Gain(one.name, one.gain, one.pairs, BUCKET_COLOURS[one.name]) for one in buckets if one.kind == kind]
        for kind in (PRINTED, HALVED)
    )
    return Groups(
        literal=printed,
        relative=halved,
        thirds=_third_gains(views),
        composition=composition(relative, members),
        by_activity=_by_activity(run, everybody),
        everybody=_user_gains("all", everybody),
        distribution=(values.tolist(), shares.tolist()),
        metric=short(METRIC),
    )


def _gain_of(means: Sequence[tuple[float, float]]) -> float | None:
    new, old = _means(means)
    return None if new is None or old is None else relative_gain(new, old)


def _third_gains(views: Views) -> list[Gain]:
    told = []
    for kind, colour in (("activity", BLUE), ("popularity", GREEN)):
        for third in ("low", "middle", "high"):
            slices = [
                (dual.result["slices"][f"{kind} {third}"], single.result["slices"][f"{kind} {third}"])
                for dual, single in views.runs
            ]
            means = [
                (new[METRIC], old[METRIC])
                for new, old in slices
                if new.get(METRIC) is not None and old.get(METRIC) is not None
            ]
            name = f"{'act.' if kind == 'activity' else 'pop.'}\n{third}"
            told.append(Gain(name, _gain_of(means), int(slices[0][0]["targets"]), colour))
    return told


def _by_activity(run: Run, everybody: Gains) -> list[UserGains]:
    groups_of = thirds(run.split.train.user_degrees[everybody.users])
    told = []
    for name, rows in groups_of.items():
        inside = np.zeros(len(everybody.users), dtype=np.bool_)
        inside[rows] = True
        told.append(_user_gains(name, everybody.of(inside)))
    return told


def _user_gains(name: str, told: Gains) -> UserGains:
    moved = told.differences[told.differences != 0]
    return UserGains(name, moved.tolist(), told.better, told.equal, told.worse)


def _caption(views: Views, buckets: Sequence[BucketMean]) -> str:
    contrast = {variant.first.setting("model.contrast") for variant in (views.dual, views.single)}
    lead = f"{views.dual.label} against {views.single.label}, {len(views.runs)} "
    told = [
        lead + ("seed" if len(views.runs) == 1 else "seeds"),
        "gains of group means in percent; under each group its test pairs",
    ]
    easy = sum(one.pairs for one in buckets if one.kind == PRINTED and one.name == BUCKETS[0])
    printed = "As printed, easy is v ≥ .5, medium below it, hard v = 0"
    if not easy:
        printed += "; no pair is easy by that"
    told.append(
        f"{printed}. Beside it the visible pairs in halves by the share of the places that the history could fill"
    )
    told.append("box plots leave out users without a difference; their shares stand below")
    if contrast != {0}:
        told.append(
            f"the paper makes this comparison without view contrast; here λ_ctr is {sorted(map(str, contrast))}"
        )
    return ". ".join(part[0].upper() + part[1:] for part in told) + "."


def group_tables(rows: Sequence[StudyRow]) -> list[StudyTable]:
    """The numbers behind the difficulty panels of Figure 6; data sets without both views at hand are left out."""
    tables = []
    found = fields(rows)
    for place, field in zip(place_names(found), found, strict=True):
        views = views_of(field)
        if views is None:
            continue
        try:
            buckets = bucket_means(views)
        except AlnicoError:
            # The figure of the same part says why.
            continue
        lines = [
            (
                one.kind,
                one.name,
                f"{one.pairs:,}",
                number(one.dual),
                number(one.single),
                number(one.gain, 2),
            )
            for one in buckets
        ]
        tables.append(
            StudyTable(
                f"figure-6-{place}",
                f"Figure 6 in numbers: test {short(METRIC)} by difficulty on {place}",
                Table(("groups", "bucket", "pairs", "dual view", "single view", "gain %"), tuple(lines)),
                ("Held-out items of one group at a time, lists whole; means over users, then over seeds.",),
            )
        )
    return tables
