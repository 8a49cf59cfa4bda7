"""What the runs of a part say together: the strongest baseline, the trial that validation chooses, and what choosing on
the test part would have claimed."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal, TypeVar

from pydantic import BaseModel

from alnico.experiment.results import KEPT_METRICS, OWN_MODEL

Key = TypeVar("Key", bound=Hashable)

BASELINE_METRIC = "ndcg@20"
"""The validation measure by which a table's strongest baseline is found."""
ORACLE = "chosen on the test part: not a result, but what a search that looks there would have claimed"


@dataclass(frozen=True)
class Tried:
    """A finished run in a part: its variant, its model, its data set, its result.json."""

    variant: str
    model: str
    dataset: str
    result: Mapping[str, Any]

    def measure(self, part: Literal["valid", "test"], metric: str) -> float | None:
        """The mean of one measure; None where it was not taken, or over nobody."""
        value = self.result[part].get(metric)
        return None if value is None else float(value)


class Choice(BaseModel, frozen=True, extra="forbid"):
    """A variant that stands out on a data set, and by what: means over its runs of different seeds."""

    variant: str
    by: str
    """Part and measure that chose it."""
    value: float
    """Its mean there."""
    test: Mapping[str, float]
    """Its test means."""
    runs: int
    """Runs that the means are over."""
    among: int
    """Variants that it was chosen from."""
    mark: str | None = None
    """What has to stand beside it wherever it is shown."""


class Findings(BaseModel, frozen=True, extra="forbid"):
    """What a part says of one data set; None where there is nothing to choose from, or it was not asked for."""

    strongest_baseline: Choice | None = None
    chosen: Choice | None = None
    oracle: Choice | None = None

    def sentences(self, part: str, dataset: str) -> list[str]:
        """Each of them as a sentence."""
        told = []
        for what, choice in self:
            if choice is not None:
                test = ", ".join(f"{name} {value:.4f}" for name, value in choice.test.items())
                mark = f" ({choice.mark})" if choice.mark else ""
                told.append(
                    f"{part}, {dataset}: {what.replace('_', ' ')} of {choice.among} is {choice.variant}, "
                    f"{choice.by} {choice.value:.4f}; test {test}{mark}"
                )
        return told


def findings(tried: Sequence[Tried], metric: str, *, is_grid: bool, oracle: bool) -> dict[str, Findings]:
    """By data set, what the finished runs of a part say.

    Variants count where ``best_first`` says so. A grid has a chosen trial, by validation ``metric``; with ``oracle``
    also the one that test ``metric`` would have chosen, which is marked as such.
    """
    found = {}
    for dataset in dict.fromkeys(one.dataset for one in tried):
        here = [one for one in tried if one.dataset == dataset]
        baselines = [one for one in here if one.model != OWN_MODEL]
        found[dataset] = Findings(
            strongest_baseline=_best(baselines, "valid", BASELINE_METRIC),
            chosen=_best(here, "valid", metric) if is_grid else None,
            oracle=_best(here, "test", metric, ORACLE) if is_grid and oracle else None,
        )
    return found


def best_first(values: Mapping[Key, Sequence[float]]) -> list[Key]:
    """Variants by the mean of their seeds' values, best first, equal ones as they come; empty where none has a value.

    Those count that have as many values as the one with the most: a mean over fewer seeds is no equal.
    """
    most = max(map(len, values.values()), default=0)
    whole = [key for key, own in values.items() if len(own) == most > 0]
    return sorted(whole, key=lambda key: -fmean(values[key]))


def _best(
    tried: Sequence[Tried], part: Literal["valid", "test"], metric: str, mark: str | None = None
) -> Choice | None:
    by_variant: dict[str, list[Tried]] = {}
    for one in tried:
        if one.measure(part, metric) is not None:
            by_variant.setdefault(one.variant, []).append(one)
    values = {
        name: [value for one in runs if (value := one.measure(part, metric)) is not None]
        for name, runs in by_variant.items()
    }
    best = best_first(values)
    if not best:
        return None
    variant = best[0]
    runs = by_variant[variant]
    tested = {name: [one.measure("test", name) for one in runs] for name in KEPT_METRICS}
    return Choice(
        variant=variant,
        by=f"{part} {metric}",
        value=fmean(values[variant]),
        test={
            name: fmean(value for value in values if value is not None)
            for name, values in tested.items()
            if None not in values
        },
        runs=len(runs),
        among=len(best),
        mark=mark,
    )
