import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from alnico.errors import ConfigError, DataError
from alnico.evaluation import significance
from alnico.evaluation.evaluate import Scores
from alnico.evaluation.significance import (
    bootstrap_interval,
    compare,
    effect_size,
    holm,
    not_worse,
    paired_test,
    rank_biserial,
    smallest_detectable_effect,
)

TESTS = ["wilcoxon", "permutation", "t"]
finite = st.floats(-1, 1, allow_nan=False)


def differing_by(*differences):
    """Two columns with these differences."""
    base = np.linspace(0.25, 0.75, len(differences))
    return base + np.array(differences), base


def generator():
    return np.random.default_rng(17)


def test_wilcoxon_of_five_wins():
    # Under the null each sign is a coin: all five the same way has 2 of 2^5 orders.
    a, b = differing_by(0.1, 0.2, 0.3, 0.4, 0.5)
    assert paired_test(a, b) == pytest.approx(2 / 32)
    assert paired_test(a, b, alternative="greater") == pytest.approx(1 / 32)
    assert paired_test(a, b, alternative="less") == pytest.approx(1.0)


def test_permutation_test_of_three_wins_visits_all_eight_swaps():
    # Sums of +-1 +-2 +-3 of size 6 or more: all plus and all minus, 2 of 8.
    assert paired_test(*differing_by(1.0, 2.0, 3.0), "permutation") == pytest.approx(2 / 8)
    # Observed 1 - 2 + 3 = 2; sizes of the sums: 6 6 4 4 2 2 0 0, so 6 of 8 reach 2.
    assert paired_test(*differing_by(1.0, -2.0, 3.0), "permutation") == pytest.approx(6 / 8)
    # Sums at or above 2: 6, 4, 2; at or below 2: all but 6 and 4.
    assert paired_test(*differing_by(1.0, -2.0, 3.0), "permutation", alternative="greater") == 3 / 8
    assert paired_test(*differing_by(1.0, -2.0, 3.0), "permutation", alternative="less") == 6 / 8


def test_permutation_test_is_unmoved_by_pairs_that_tie():
    assert paired_test(*differing_by(1.0, 0.0, 2.0, 0.0, 3.0), "permutation") == pytest.approx(2 / 8)


@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
def test_small_permutation_tests_agree_with_scipy(alternative):
    random = generator()
    a, b = random.random(9), random.random(9)
    # 2^9 = 512 swaps: scipy too visits all of them.
    theirs = stats.permutation_test(
        (a, b),
        lambda x, y, axis: (x - y).mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
        alternative=alternative,
    )
    assert paired_test(a, b, "permutation", alternative=alternative) == pytest.approx(theirs.pvalue)


@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
def test_drawn_permutations_come_close_to_all_of_them(alternative):
    random = generator()
    a, b = random.random(14) + 0.1, random.random(14)
    exact = paired_test(a, b, "permutation", alternative=alternative, draws=2**14)
    drawn = paired_test(a, b, "permutation", alternative=alternative, draws=2**14 - 1, rng=generator())
    # Four standard errors of a share of 16,383 draws are at most 4 * 0.5 / 128 = 0.016.
    assert drawn == pytest.approx(exact, abs=0.016)
    assert drawn != exact


def test_drawn_permutations_do_not_claim_the_impossible():
    a, b = differing_by(*np.linspace(0.1, 0.2, 40))
    # None of 99 draws reaches 40 equal signs; the observed order itself is one of 100.
    assert paired_test(a, b, "permutation", rng=generator(), draws=99) == pytest.approx(1 / 100)


def test_random_draws_give_the_same_numbers_for_the_same_seed_whatever_the_block(monkeypatch):
    random = generator()
    a, b = random.random(50), random.random(50)
    p = paired_test(a, b, "permutation", rng=generator(), draws=500)
    interval = bootstrap_interval(a, b, generator(), draws=500)
    monkeypatch.setattr(significance, "_DRAWN_PER_BLOCK", 800)
    assert paired_test(a, b, "permutation", rng=generator(), draws=500) == p
    assert bootstrap_interval(a, b, generator(), draws=500) == interval


@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
def test_the_t_test_agrees_with_scipy(alternative):
    random = generator()
    a, b = random.random(30), random.random(30)
    expected = stats.ttest_rel(a, b, alternative=alternative).pvalue
    assert paired_test(a, b, "t", alternative=alternative) == pytest.approx(expected)


def test_a_t_test_of_one_same_difference_gives_its_limit():
    a, b = np.full(4, 0.5), np.full(4, 0.25)
    assert paired_test(a, b, "t") == 0.0
    assert paired_test(a, b, "t", alternative="greater") == 0.0
    assert paired_test(a, b, "t", alternative="less") == 1.0


@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
def test_wilcoxon_leaves_out_pairs_that_tie(alternative):
    random = generator()
    a, b = random.integers(0, 4, 60) / 4, random.integers(0, 4, 60) / 4
    expected = stats.wilcoxon(a, b, zero_method="wilcox", alternative=alternative).pvalue
    assert paired_test(a, b, alternative=alternative) == pytest.approx(expected)


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
def test_two_equal_models_differ_by_nothing(test, alternative):
    same = np.array([0.1, 0.5, 0.9])
    assert paired_test(same, same, test, alternative=alternative) == 1.0


@pytest.mark.parametrize("test", TESTS)
def test_differences_that_only_rounding_made_are_ties(test):
    # 1 - 2/3 and 1/3 are the same number with another last bit.
    a, b = np.full(6, 1 - 2 / 3), np.full(6, 1 / 3)
    assert (a != b).all()
    assert paired_test(a, b, test) == 1.0
    assert effect_size(a, b) == 0.0


@pytest.mark.parametrize("test", TESTS)
@settings(max_examples=25, deadline=None)
@given(values=st.lists(st.tuples(finite, finite), min_size=2, max_size=8), data=st.data())
def test_a_p_value_is_a_probability_and_ignores_order_and_side(test, values, data):
    a, b = np.array(values).T
    p = paired_test(a, b, test)
    assert 0 <= p <= 1
    order = data.draw(st.permutations(range(len(a))))
    assert paired_test(a[order], b[order], test) == pytest.approx(p, abs=1e-9)
    assert paired_test(b, a, test) == pytest.approx(p, abs=1e-9)


@pytest.mark.parametrize("test", TESTS)
def test_one_pair_says_little(test):
    a, b = np.array([1.0]), np.array([0.5])
    if test == "t":
        with pytest.raises(DataError, match="needs at least two pairs"):
            paired_test(a, b, test)
    else:
        # Both orders of the pair are equally far from zero.
        assert paired_test(a, b, test) == 1.0


def test_a_permutation_test_that_must_draw_wants_a_generator():
    a, b = differing_by(*np.linspace(0.1, 0.2, 40))
    with pytest.raises(ConfigError, match="40 differing pairs must draw its permutations; give a seeded rng"):
        paired_test(a, b, "permutation")


def test_values_that_cannot_be_paired_are_refused():
    with pytest.raises(DataError, match="found 3 and 2 values"):
        paired_test(np.zeros(3), np.zeros(2))
    with pytest.raises(DataError, match="found 0 and 0 values"):
        paired_test(np.zeros(0), np.zeros(0))
    with pytest.raises(DataError, match="NaN or infinite"):
        paired_test(np.array([0.1, np.nan]), np.zeros(2))


def test_not_worse_is_true_until_the_one_sided_test_speaks():
    better, worse = differing_by(0.1, 0.2, 0.3, 0.4, 0.5)
    # One-sided p of "a is worse" is 1/32 = .031 for five losses.
    assert not not_worse(worse, better)
    assert not_worse(worse, better, alpha=0.03)
    assert not_worse(better, worse)
    assert not_worse(worse, worse)
    # Four losses give 1/16 = .0625: too few to say.
    assert not_worse(worse[:4], better[:4])


def test_effect_size_is_the_mean_in_standard_deviations():
    # Differences 1, 2, 3: mean 2, sample standard deviation 1.
    assert effect_size(*differing_by(1.0, 2.0, 3.0)) == pytest.approx(2.0)
    assert effect_size(*differing_by(-1.0, -2.0, -3.0)) == pytest.approx(-2.0)


def test_effect_size_without_spread_is_nothing_or_without_bound():
    same = np.full(4, 0.5)
    assert effect_size(same, same) == 0.0
    assert effect_size(same, np.full(4, 0.25)) == math.inf
    assert effect_size(np.full(4, 0.25), same) == -math.inf
    with pytest.raises(DataError, match="at least two pairs, found one"):
        effect_size(same[:1], same[:1])


def test_rank_biserial_of_a_hand_worked_value():
    # Sizes 3, 1, 2 have ranks 3, 1, 2; wins 3 + 2, losses 1, total 6.
    assert rank_biserial(*differing_by(3.0, -1.0, 2.0, 0.0)) == pytest.approx(4 / 6)
    # Equal sizes share their rank: 2, 2, 2, of which one is lost.
    assert rank_biserial(*differing_by(1.0, -1.0, 1.0)) == pytest.approx(2 / 6)
    assert rank_biserial(np.zeros(3), np.zeros(3)) == 0.0


def test_the_bootstrap_of_two_users_has_a_known_law():
    # Differences 0 and 1: the mean of two draws is 0, 1/2, 1 with probabilities 1/4, 1/2, 1/4. The middle
    # 40 % is therefore 1/2, the middle 90 % reaches from 0 to 1.
    a, b = np.array([0.0, 1.0]), np.zeros(2)
    assert bootstrap_interval(a, b, generator(), level=0.4) == (0.5, 0.5)
    assert bootstrap_interval(a, b, generator(), level=0.9) == (0.0, 1.0)


def test_the_bootstrap_agrees_with_scipy():
    random = generator()
    # Three in four pairs tie, as in practice.
    d = np.where(random.random(400) < 0.25, random.normal(0.2, 1, 400), 0.0)
    theirs = stats.bootstrap((d,), np.mean, method="percentile", n_resamples=9_999, rng=generator())
    # The error of a 2.5 % quantile of 10,000 means of deviation s is about .027 s; allow five times that.
    allowed = 5 * 0.027 * d.std() / math.sqrt(len(d))
    assert bootstrap_interval(d, np.zeros(400), generator()) == pytest.approx(
        tuple(theirs.confidence_interval), abs=allowed
    )


def test_the_bootstrap_interval_covers_the_truth_about_as_often_as_it_says():
    random = generator()
    truth, n_worlds, n = 0.1, 300, 60
    covered = 0
    for _ in range(n_worlds):
        low, high = bootstrap_interval(random.normal(truth, 1, n), np.zeros(n), random, draws=400)
        covered += low <= truth <= high
    # Expected .94 (the percentile interval is slightly short at n = 60), standard error .014.
    assert 0.89 <= covered / n_worlds <= 0.98


def test_the_bootstrap_of_equal_models_is_a_point():
    same = np.array([0.2, 0.7])
    assert bootstrap_interval(same, same, generator()) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"level": 1.0}, "level must lie strictly between 0 and 1, found 1.0"),
        ({"level": 0.0}, "level must lie strictly between 0 and 1, found 0.0"),
        ({"draws": 0}, "at least one draw is needed, found 0"),
    ],
)
def test_a_bootstrap_setting_out_of_range_is_refused(setting, message):
    with pytest.raises(ConfigError, match=message):
        bootstrap_interval(np.ones(3), np.zeros(3), generator(), **setting)


def test_smallest_detectable_effect_of_a_hand_worked_value():
    # z(.975) = 1.959964, z(.8) = 0.841621; their sum 2.801585 times 0.1 / sqrt(100).
    assert smallest_detectable_effect(0.1, 100) == pytest.approx(0.02801585, abs=1e-8)
    # z(.995) = 2.575829, z(.9) = 1.281552; their sum 3.857381 times 2 / sqrt(16).
    assert smallest_detectable_effect(2.0, 16, alpha=0.01, power=0.9) == pytest.approx(1.9286905, abs=1e-6)


def test_the_smallest_detectable_effect_is_found_in_four_of_five_worlds():
    n, n_worlds = 100, 1_500
    effect = smallest_detectable_effect(1.0, n)
    worlds = generator().normal(effect, 1, (n_worlds, n))
    found = np.mean([paired_test(world, np.zeros(n), "t") < 0.05 for world in worlds])
    # Student's t in place of the normal costs .005 of the .8; standard error .0104, three of them allowed.
    assert found == pytest.approx(0.795, abs=0.031)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"deviation": 1.0, "n": 0}, "found 0 pairs"),
        ({"deviation": -1.0, "n": 5}, "deviation -1.0"),
        ({"deviation": math.nan, "n": 5}, "deviation nan"),
        ({"deviation": 1.0, "n": 5, "alpha": 0.0}, "alpha must lie strictly between 0 and 1, found 0.0"),
        ({"deviation": 1.0, "n": 5, "power": 1.0}, "power must lie strictly between 0 and 1, found 1.0"),
    ],
)
def test_a_detectable_effect_of_impossible_numbers_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        smallest_detectable_effect(**arguments)


def test_holm_of_a_hand_worked_example():
    # Sorted .005 .01 .03 .04, times 4 3 2 1: .02 .03 .06 .04; the last may not fall below .06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_stops_at_one_and_keeps_a_single_value():
    assert holm([0.6, 0.7]) == pytest.approx([1.0, 1.0])
    assert holm([0.03]) == pytest.approx([0.03])
    assert holm([]).shape == (0,)


@given(p_values=st.lists(st.floats(0, 1), min_size=1, max_size=10))
def test_holm_lies_between_the_raw_values_and_bonferroni_and_keeps_their_order(p_values):
    raw = np.array(p_values)
    corrected = holm(raw)
    assert (corrected >= raw).all()
    assert (corrected <= np.minimum(1, raw * len(raw)).clip(raw.max())).all()
    assert (np.diff(corrected[np.argsort(raw, kind="stable")]) >= 0).all()


@pytest.mark.parametrize("wrong", [1.5, -0.1, math.nan])
def test_holm_refuses_what_is_no_probability(wrong):
    with pytest.raises(DataError, match=f"number 1 is {wrong}"):
        holm([0.5, wrong])


def scores_of(values, users=None):
    users = np.arange(len(values)) if users is None else np.array(users)
    return Scores(users, {"recall@20": np.array(values, dtype=np.float64)})


def test_a_comparison_of_a_hand_worked_example():
    a, b = scores_of([1.0, 0.5, 0.5, 0.0]), scores_of([0.5, 0.5, 0.0, 0.25])
    found = compare(a, b, "recall@20", generator(), test="permutation")
    assert (found.metric, found.test, found.n_users) == ("recall@20", "permutation", 4)
    # Differences .5, 0, .5, -.25.
    assert (found.wins, found.ties, found.losses) == (2, 1, 1)
    assert (found.mean_a, found.mean_b, found.difference) == (0.5, 0.3125, 0.1875)
    # .1875 / .3125.
    assert found.relative_gain == pytest.approx(0.6)
    # Sums of +-.5 +-.5 +-.25 at least .75 in size: 1.25 and .75 with either sign, 4 of 8.
    assert found.p_value == pytest.approx(4 / 8)
    # Ranks of .5, .5, .25: 2.5, 2.5, 1.
    assert found.rank_biserial == pytest.approx(4 / 6)
    # Squares around the mean .1875: .09765625, .03515625, .09765625, .19140625, in all .421875; over 3.
    deviation = math.sqrt(0.421875 / 3)
    assert found.effect_size == pytest.approx(0.1875 / deviation)
    assert found.smallest_detectable_effect == pytest.approx(2.801585 * deviation / 2, rel=1e-6)
    low, high = found.interval
    assert found.level == 0.95
    assert -0.25 <= low < 0.1875 < high <= 0.5


def test_a_model_compared_with_itself_has_no_difference():
    same = scores_of([0.5, 0.0, 1.0])
    found = compare(same, same, "recall@20", generator())
    assert (found.p_value, found.difference, found.interval) == (1.0, 0.0, (0.0, 0.0))
    assert (found.effect_size, found.rank_biserial, found.smallest_detectable_effect) == (0.0, 0.0, 0.0)
    assert (found.wins, found.ties, found.losses) == (0, 3, 0)


def test_a_gain_over_nothing_is_undefined():
    assert math.isnan(
        compare(scores_of([0.5, 1.0]), scores_of([0.0, 0.0]), "recall@20", generator()).relative_gain
    )


def test_models_of_other_users_cannot_be_compared():
    a = scores_of([0.5, 1.0, 0.0])
    with pytest.raises(
        DataError, match="first has 3 users, the second 2, and user number 2 stands on one side"
    ):
        compare(a, scores_of([0.5, 1.0]), "recall@20", generator())
    with pytest.raises(DataError, match="they stand in another order"):
        compare(a, scores_of([0.5, 1.0, 0.0], users=[1, 0, 2]), "recall@20", generator())


def test_a_comparison_needs_the_metric_on_both_sides_and_two_users():
    with pytest.raises(ConfigError, match="metric 'ndcg@20' was not computed here"):
        compare(scores_of([0.5, 1.0]), scores_of([0.5, 1.0]), "ndcg@20", generator())
    with pytest.raises(DataError, match="at least two users, found 1"):
        compare(scores_of([0.5]), scores_of([0.5]), "recall@20", generator())


@pytest.mark.slow
def test_ten_thousand_draws_over_twenty_thousand_users_stay_quick():
    random = generator()
    a, b = random.random(20_000), random.random(20_000)
    # No pair ties: the worst case. A guard against a loop over draws, not a measurement.
    assert 0 < paired_test(a, b, "permutation", rng=random) <= 1
    low, high = bootstrap_interval(a, b, random)
    # The half width of a 95 % interval is 1.96 * sqrt(1/6) / sqrt(20,000) = .00566.
    assert (high - low) / 2 == pytest.approx(0.00566, rel=0.1)
