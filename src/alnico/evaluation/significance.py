"""Whether two models differ by more than chance, by how much, and what difference could have been seen.

Everything is paired: ``a[j]`` and ``b[j]`` are values of two models for the same user (or the same seed).
Differences are a - b throughout, so a positive one speaks for a.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from alnico.errors import ConfigError, DataError
from alnico.evaluation.evaluate import Scores

PairedTest = Literal["wilcoxon", "permutation", "t"]
Alternative = Literal["two-sided", "less", "greater"]

# Random numbers held at a time: 32 MB as float64, whatever the number of users and draws.
_DRAWN_PER_BLOCK = 4_194_304


@dataclass(frozen=True)
class Comparison:
    """Model a against model b on one metric, user by user.

    ``relative_gain`` is difference / mean_b (NaN when mean_b is 0). ``p_value`` is two-sided and not
    corrected for other comparisons (see ``holm``). ``interval`` is the bootstrap interval of the difference
    at ``level``. ``effect_size`` and ``rank_biserial``: see the functions of these names.
    ``smallest_detectable_effect`` is the true difference that this number of users would show with
    probability .8 at the 5 % level.
    """

    metric: str
    n_users: int
    mean_a: float
    mean_b: float
    difference: float
    relative_gain: float
    test: PairedTest
    p_value: float
    level: float
    interval: tuple[float, float]
    effect_size: float
    rank_biserial: float
    smallest_detectable_effect: float
    wins: int
    ties: int
    losses: int


def compare(
    scores_a: Scores,
    scores_b: Scores,
    metric: str,
    rng: np.random.Generator,
    *,
    test: PairedTest = "wilcoxon",
    level: float = 0.95,
    draws: int = 10_000,
) -> Comparison:
    """Everything that can be said about a against b on one metric.

    ``rng`` feeds the bootstrap and the permutation test, ``draws`` is the number of their resamples.
    Raises: DataError if the two do not hold the same users in the same order, or fewer than two; ConfigError
    if either lacks the metric.
    """
    _require_same_users(scores_a.users, scores_b.users)
    a, b = scores_a.of(metric), scores_b.of(metric)
    if len(a) < 2:
        raise DataError(f"comparing two models needs at least two users, found {len(a)}")
    differences = _differences(a, b)
    _, deviation = _mean_and_deviation(differences)
    mean_a, mean_b = scores_a.mean(metric), scores_b.mean(metric)
    return Comparison(
        metric=metric,
        n_users=len(a),
        mean_a=mean_a,
        mean_b=mean_b,
        difference=mean_a - mean_b,
        relative_gain=(mean_a - mean_b) / mean_b if mean_b else math.nan,
        test=test,
        p_value=paired_test(a, b, test, rng=rng, draws=draws),
        level=level,
        interval=bootstrap_interval(a, b, rng, level=level, draws=draws),
        effect_size=effect_size(a, b),
        rank_biserial=rank_biserial(a, b),
        smallest_detectable_effect=smallest_detectable_effect(deviation, len(a)),
        wins=int((differences > 0).sum()),
        ties=int((differences == 0).sum()),
        losses=int((differences < 0).sum()),
    )


def paired_test(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    test: PairedTest = "wilcoxon",
    *,
    alternative: Alternative = "two-sided",
    rng: np.random.Generator | None = None,
    draws: int = 10_000,
) -> float:
    """The p value: how often a difference this large would arise if a and b were interchangeable.

    ``wilcoxon`` ranks the differences (pairs that tie are left out), ``t`` assumes a normal mean,
    ``permutation`` swaps a and b at random in each pair and looks at the mean: it visits every swap when
    there are at most ``draws`` of them, and otherwise draws that many from ``rng``. When all pairs tie, p is
    1. ``alternative`` "less" asks whether a is worse, "greater" whether it is better. Raises: DataError for
    unequal lengths, no pairs, values that are not finite, or a t test of one pair; ConfigError for an
    unknown test or a permutation test that must draw and has no ``rng``.
    """
    differences = _differences(a, b)
    if not differences.any():
        return 1.0
    if test == "wilcoxon":
        return float(stats.wilcoxon(differences[differences != 0], alternative=alternative).pvalue)
    if test == "t":
        return _t_test(differences, alternative)
    if test == "permutation":
        return _permutation_test(differences[differences != 0], alternative, rng, draws)
    raise ConfigError(f"there is no paired test {test!r}; known: permutation, t, wilcoxon")


def not_worse(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    *,
    alpha: float = 0.05,
    test: PairedTest = "wilcoxon",
    rng: np.random.Generator | None = None,
) -> bool:
    """Whether a is not significantly worse than b: the one-sided p of "a is worse" is ``alpha`` or more.

    This is absence of evidence, not a proof of equality: with few users nearly everything is not worse.
    State the smallest detectable effect beside it. Raises: as ``paired_test``.
    """
    return paired_test(a, b, test, alternative="less", rng=rng) >= alpha


def effect_size(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The mean difference in units of the standard deviation of differences (Cohen's d for pairs).

    0 when all pairs tie; infinite when all differ by the same amount. Raises: DataError for fewer than two
    pairs.
    """
    differences = _differences(a, b)
    if len(differences) < 2:
        raise DataError("an effect size needs at least two pairs, found one")
    mean, deviation = _mean_and_deviation(differences)
    if deviation == 0:
        return math.copysign(math.inf, mean) if mean else 0.0
    return mean / deviation


def rank_biserial(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Rank sum of the pairs that a wins minus that of those it loses, over their total; from -1 to 1.

    Ranks go by the size of the difference; pairs that tie are left out; 0 when all tie.
    Source: Kerby, Comprehensive Psychology 3, 2014.
    """
    differences = _differences(a, b)
    differences = differences[differences != 0]
    if not len(differences):
        return 0.0
    ranks = stats.rankdata(np.abs(differences))
    return float(np.sign(differences) @ ranks / ranks.sum())


def bootstrap_interval(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    draws: int = 10_000,
) -> tuple[float, float]:
    """The interval that holds the middle ``level`` of the mean differences when users are drawn anew.

    Percentile bootstrap: each draw takes as many users as there are, with replacement. Raises: DataError as
    ``paired_test``; ConfigError for a level outside (0, 1) or no draws.
    """
    _require_share(level, "level")
    _require_draws(draws)
    differences = _differences(a, b)
    n = len(differences)
    moved = differences[differences != 0]
    if not len(moved):
        return 0.0, 0.0
    # Most users tie in practice and add nothing: draw how many of the n are not ties, then only those.
    sizes = rng.binomial(n, len(moved) / n, size=draws)
    width = max(1, int(sizes.max()))
    sums = np.empty(draws)
    for rows in _blocks(draws, width):
        drawn = moved[rng.integers(len(moved), size=(rows.stop - rows.start, width), dtype=np.uint32)]
        drawn[np.arange(width) >= sizes[rows, None]] = 0
        sums[rows] = drawn.sum(axis=1)
    low, high = np.quantile(sums / n, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def smallest_detectable_effect(deviation: float, n: int, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The true mean difference that a two-sided paired test finds with probability ``power``.

    (z_{1 - alpha/2} + z_{power}) * deviation / sqrt(n), with z the quantiles of the normal distribution,
    ``deviation`` the standard deviation of the paired differences and ``n`` the number of pairs. In the unit
    of the metric. To state it before a comparison, take the deviation from validation or from another pair
    of models. Raises: ConfigError if alpha or power lies outside (0, 1), n is not positive or the deviation
    is not a number from 0 upward.
    """
    _require_share(alpha, "alpha")
    _require_share(power, "power")
    if n < 1 or not (math.isfinite(deviation) and deviation >= 0):
        raise ConfigError(
            f"the smallest detectable effect needs at least one pair and a deviation of 0 or more; "
            f"found {n} pairs and deviation {deviation}"
        )
    return float((stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power)) * deviation / math.sqrt(n))


def holm(p_values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """The p values corrected for being several, in the order given: compare each with alpha as it is.

    Holm's step-down rule: with m values sorted upward, the i-th becomes the largest of (m - j + 1) p_j over
    j up to i, at most 1. Keeps the chance of any false finding below alpha whatever the dependence between
    tests. Raises: DataError for a value outside [0, 1]. Source: Holm, Scandinavian Journal of Statistics
    6(2), 1979.
    """
    given = np.asarray(p_values, dtype=np.float64)
    outside = ~((given >= 0) & (given <= 1))
    if outside.any():
        raise DataError(
            f"p values lie between 0 and 1, but number {int(outside.argmax())} is {given[outside][0]}"
        )
    order = np.argsort(given, kind="stable")
    stepped = np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1))
    corrected = np.empty_like(given)
    corrected[order] = np.minimum(stepped, 1)
    return corrected


def _differences(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """a - b, with differences that are equal in exact arithmetic made equal.

    1 - 2/3 and 1/3 differ in their last bit; left alone, that breaks ties between ranks and makes a win of a
    tie.
    """
    if a.shape != b.shape or not len(a):
        raise DataError(
            f"a paired comparison needs pairs of values, found {len(a)} and {len(b)} values; "
            "give both sides one value for each user"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise DataError("a paired comparison needs finite values; one of the values given is NaN or infinite")
    scale = max(np.abs(a).max(), np.abs(b).max())
    if scale == 0:
        return np.zeros(len(a))
    differences: NDArray[np.float64] = np.round((a - b) / scale, 12) * scale
    return differences


def _mean_and_deviation(differences: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and sample standard deviation; the deviation is exactly 0 when all are equal."""
    if (differences == differences[0]).all():
        return float(differences[0]), 0.0
    return float(differences.mean()), float(differences.std(ddof=1))


def _t_test(differences: NDArray[np.float64], alternative: Alternative) -> float:
    """Student's test of a zero mean; without any spread it gives its limit."""
    n = len(differences)
    if n < 2:
        raise DataError("a t test needs at least two pairs, found one")
    mean, deviation = _mean_and_deviation(differences)
    statistic = mean / (deviation / math.sqrt(n)) if deviation else math.copysign(math.inf, mean)
    if alternative == "two-sided":
        return float(2 * stats.t.sf(abs(statistic), n - 1))
    return float(stats.t.cdf(statistic, n - 1) if alternative == "less" else stats.t.sf(statistic, n - 1))


def _permutation_test(
    differences: NDArray[np.float64], alternative: Alternative, rng: np.random.Generator | None, draws: int
) -> float:
    """The sign-flip test on the sum of differences.

    scipy.stats.permutation_test does the same, by sorting random numbers pair by pair; one random bit for
    each pair and a matrix product is what makes 10,000 draws over all users of a data set cheap.
    """
    _require_draws(draws)
    sizes = np.abs(differences)
    observed, total = differences.sum(), sizes.sum()
    # Sums that tie with the observed one must count as at least as large, whatever their last bits.
    slack = 1e-10 * total
    exact = 2 ** len(differences) <= draws
    extreme = n_sums = 0
    for signs in _all_signs(len(differences)) if exact else _random_signs(len(differences), rng, draws):
        sums = 2 * (signs @ sizes) - total
        if alternative == "two-sided":
            extreme += int((np.abs(sums) >= abs(observed) - slack).sum())
        elif alternative == "greater":
            extreme += int((sums >= observed - slack).sum())
        else:
            extreme += int((sums <= observed + slack).sum())
        n_sums += len(sums)
    # A drawn test counts the observed order among the draws, or it could claim a p of 0.
    return extreme / n_sums if exact else (extreme + 1) / (n_sums + 1)


def _all_signs(n: int) -> Iterator[NDArray[np.float64]]:
    """Every choice of n signs in blocks of rows: 1 for plus, 0 for minus."""
    for rows in _blocks(2**n, n):
        numbers = np.arange(rows.start, rows.stop)
        yield ((numbers[:, None] >> np.arange(n)) & 1).astype(np.float64)


def _random_signs(n: int, rng: np.random.Generator | None, draws: int) -> Iterator[NDArray[np.float64]]:
    """``draws`` random choices of n signs in blocks of rows."""
    if rng is None:
        raise ConfigError(
            f"a permutation test of {n} differing pairs must draw its permutations; give a seeded rng"
        )
    n_bytes = math.ceil(n / 8)
    for rows in _blocks(draws, n):
        bits = rng.integers(256, size=(rows.stop - rows.start, n_bytes), dtype=np.uint8)
        yield np.unpackbits(bits, axis=1, count=n).astype(np.float64)


def _blocks(n_rows: int, width: int) -> Iterator[slice]:
    """Consecutive ranges of rows so short that a table of them stays within the memory bound."""
    step = max(1, _DRAWN_PER_BLOCK // width)
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def _require_same_users(a: NDArray[np.int64], b: NDArray[np.int64]) -> None:
    if np.array_equal(a, b):
        return
    alone = np.setxor1d(a, b)
    found = (
        f"user number {int(alone[0])} stands on one side only"
        if len(alone)
        else "they stand in another order"
    )
    raise DataError(
        f"two models can be compared on the same users only, but the first has {len(a)} users, the second "
        f"{len(b)}, and {found}; evaluate both on the same split"
    )


def _require_share(value: float, name: str) -> None:
    if not 0 < value < 1:
        raise ConfigError(f"{name} must lie strictly between 0 and 1, found {value}")


def _require_draws(draws: int) -> None:
    if draws < 1:
        raise ConfigError(f"at least one draw is needed, found {draws}")
