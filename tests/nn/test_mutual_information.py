"""Bounds on mutual information against plain double loops, and whom their gradient reaches."""

import math

import numpy as np
import pytest
import torch

from alnico.nn.mutual_information import (
    PairCritic,
    PairCritics,
    PairOrder,
    PairScores,
    club_upper_bound,
    nce_lower_bound,
)


def scores(left, right, scale):
    """The table of one critic."""
    return PairScores(left, right, scale, PairOrder.of(left, right))


def table(left, right, scale):
    """f of every left row (down) with every right row (across), written out."""
    return scale * torch.relu(left[:, None] + right[None, :])


def plain_lower(left, right, scale):
    """mean_r f_rr - mean_s log mean_r exp f_rs, in loops."""
    f, n = table(left, right, scale), len(left)
    own = sum(f[r, r] for r in range(n)) / n
    logs = [(sum(f[r, s].exp() for r in range(n)) / n).log() for s in range(n)]
    return own - sum(logs) / n


def plain_upper(left, right, scale):
    """mean_r f_rr - mean_rs f_rs, in loops."""
    f, n = table(left, right, scale), len(left)
    return sum(f[r, r] for r in range(n)) / n - sum(f[r, s] for r in range(n) for s in range(n)) / n**2


BOUNDS = pytest.mark.parametrize(
    ("bound", "plain"), [(nce_lower_bound, plain_lower), (club_upper_bound, plain_upper)]
)


def test_bounds_of_two_rows_by_hand():
    # Sums 1 + 0, 1 - 2 / -3 + 0, -3 - 2: f is 2 for the first own pair and 0 for all others.
    told = scores(torch.tensor([1.0, -3.0]), torch.tensor([0.0, -2.0]), torch.tensor(2.0))
    # Own pairs 2 and 0; columns (2, 0) and (0, 0).
    expected = 1 - math.log((math.exp(2) + 1) / 2) / 2
    assert nce_lower_bound(told).item() == pytest.approx(expected)
    assert club_upper_bound(told).item() == pytest.approx(1 - 2 / 4)


# All pairs above zero, none, some; what is exactly zero, and rows that are there twice; a falling critic.
SIDES = {
    "all": (lambda rng: rng.uniform(1, 2, 6), lambda rng: rng.uniform(0, 1, 6), 1.5),
    "none": (lambda rng: rng.uniform(-2, -1, 6), lambda rng: rng.uniform(-1, 0, 6), 1.5),
    "some": (lambda rng: rng.standard_normal(7), lambda rng: rng.standard_normal(7), 2.0),
    "falling": (lambda rng: rng.standard_normal(7), lambda rng: rng.standard_normal(7), -2.0),
    "large": (lambda rng: 300 * rng.standard_normal(5), lambda rng: 300 * rng.standard_normal(5), 3.0),
    "ties": (lambda rng: np.array([1.0, -1, 1, 0, -1]), lambda rng: np.array([-1.0, 1, 0, -1, 0]), 0.7),
    "one": (lambda rng: np.array([0.3]), lambda rng: np.array([0.4]), 0.7),
}


@BOUNDS
@pytest.mark.parametrize("case", SIDES)
def test_bounds_have_value_and_gradient_of_plain_loops(bound, plain, case):
    make_left, make_right, scale = SIDES[case]
    rng = np.random.default_rng(0)
    given = [torch.tensor(make(rng), requires_grad=True) for make in (make_left, make_right)]
    given.append(torch.tensor(scale, dtype=torch.float64, requires_grad=True))
    if case == "large":
        # Exponentials of the plain loop overflow: twice the differences of what is highest remain.
        f = table(*given)
        own = f.diagonal().mean()
        expected = own - (f.logsumexp(0) - math.log(5)).mean() if bound is nce_lower_bound else own - f.mean()
    else:
        expected = plain(*given)
    found = bound(scores(*given))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    for ours, theirs in zip(
        torch.autograd.grad(3 * found, given), torch.autograd.grad(3 * expected, given), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@BOUNDS
def test_critics_of_several_batches_are_told_apart(bound, plain):
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(2, 3, 2, 5, generator=generator)
    scale = torch.tensor([1.0, -2.0, 0.5])[:, None].expand(3, 2)
    found = bound(scores(left, right, scale))
    expected = [[plain(left[c, b], right[c, b], scale[c, b]) for b in range(2)] for c in range(3)]
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(bound(scores(left, right, scale).only(slice(1, None))), found[1:])


def test_a_critic_reads_the_concatenated_pair():
    critic = PairCritic(2, 3)
    x, y = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    left, right, scale = critic((x[:, :2], y), learns=True)
    joined = torch.cat([x[:, None, :2].expand(4, 4, 2), y[None].expand(4, 4, 3)], 2)
    expected = critic.scale(torch.relu(critic.read(joined)))[..., 0]
    torch.testing.assert_close(table(left, right, scale), expected)


def test_a_last_constant_of_the_critics_would_cancel():
    left, right = torch.randn(2, 6, generator=torch.Generator().manual_seed(0))
    f = table(left, right, torch.tensor(1.5)) + 4
    told = scores(left, right, torch.tensor(1.5))
    expected = f.diagonal().mean() - (f.logsumexp(0) - math.log(6)).mean()
    torch.testing.assert_close(nce_lower_bound(told), expected)
    torch.testing.assert_close(club_upper_bound(told), f.diagonal().mean() - f.mean())


def test_one_of_the_two_tables_moves_the_rows_and_the_other_the_critics():
    torch.manual_seed(0)
    critics = PairCritics([(2, 3), (2, 2)])
    x, y, z = (torch.randn(5, width, requires_grad=True) for width in (2, 3, 2))
    place = torch.tensor([[0, 1, 1], [4, 2, 3]])
    judged, learnt = critics([(x, y), (x, z)], place)
    rows, own = [x, y, z], list(critics.parameters())
    for told, reached in ((judged, rows), (learnt, own)):
        for bound in (nce_lower_bound, club_upper_bound):
            gradients = torch.autograd.grad(
                bound(told).sum(), [*rows, *own], allow_unused=True, retain_graph=True
            )
            found = [tensor for tensor, g in zip([*rows, *own], gradients, strict=True) if g is not None]
            assert [id(tensor) for tensor in found] == [id(tensor) for tensor in reached]
    torch.testing.assert_close(nce_lower_bound(judged), nce_lower_bound(learnt), rtol=0, atol=0)
    # Row 1 of the tables stands twice in the first batch.
    left, right, scale = critics.critics[0]((x, y), learns=False)
    expected = plain_lower(left[place[0]], right[place[0]], scale)
    torch.testing.assert_close(nce_lower_bound(judged)[0, 0], expected)


def test_a_fitted_critic_comes_near_the_information():
    # x and y agree in sign: log 2 = .693 of information. With f = w relu(x + y - 1), w large, the lower bound has f
    # of w in one half of the own pairs and in a quarter of all: it reaches log 2 / 2 + ... by halves.
    sign = torch.tensor([1.0, -1.0]).repeat(50)
    bounds = [
        nce_lower_bound(scores(sign, sign - 1, torch.tensor(scale))).item() for scale in (0.1, 1.0, 9.0)
    ]
    # Columns of positive y: log mean = log((e^w + 1) / 2); of negative ones 0; own pairs w / 2.
    expected = [w / 2 - math.log((math.exp(w) + 1) / 2) / 2 for w in (0.1, 1.0, 9.0)]
    np.testing.assert_allclose(bounds, expected, rtol=1e-4)
    assert bounds[2] == pytest.approx(math.log(2) / 2, abs=1e-3)
    independent = torch.tensor([1.0, 1.0, -1.0, -1.0]).repeat(25)
    for scale in (0.1, 1.0, 9.0):
        assert nce_lower_bound(scores(sign, independent - 1, torch.tensor(scale))).item() <= 0
        assert club_upper_bound(scores(sign, independent - 1, torch.tensor(scale))).item() == pytest.approx(
            0, abs=1e-6
        )
