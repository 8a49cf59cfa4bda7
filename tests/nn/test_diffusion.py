"""Noise added in steps has the stated law, and going back undoes it."""

import math

import numpy as np
import pytest
import torch

from alnico.nn.diffusion import Denoiser, Diffusion

HALF = Diffusion(2, 0.5)  # a_1 = .75, a_2 = .5


def rows(n, width, seed=0):
    """Normal vectors."""
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed))


def test_each_row_gets_the_noise_of_its_own_step():
    found = HALF.noised(torch.full((3, 1), 2.0), torch.tensor([0, 1, 2]), torch.full((3, 1), 4.0))
    expected = [2.0, 2 * math.sqrt(0.75) + 4 * math.sqrt(0.25), 2 * math.sqrt(0.5) + 4 * math.sqrt(0.5)]
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-6)


def test_noised_vectors_have_the_stated_mean_and_variance():
    diffusion, n = Diffusion(5, 0.3), 40000
    for step in (1, 5):
        found = diffusion.noised(torch.full((n, 1), 2.0), torch.full((n,), step), rows(n, 1, seed=step))
        spread = 0.3 * step / 5
        assert found.mean().item() == pytest.approx(2 * math.sqrt(1 - spread), abs=4 * math.sqrt(spread / n))
        # The variance of a variance of normal numbers is 2 spread^2 / n.
        assert found.var().item() == pytest.approx(spread, abs=4 * spread * math.sqrt(2 / n))


def test_a_step_back_by_hand():
    # From step 2: share added 1 - .5 / .75 = 1/3. Mean (sqrt .75 / 3 guess + sqrt(2/3) .25 noisy) / .5.
    noisy, guess = torch.tensor([[3.0]]), torch.tensor([[2.0]])
    mean = (math.sqrt(0.75) / 3 * 2 + math.sqrt(2 / 3) * 0.25 * 3) / 0.5
    assert HALF.previous(noisy, guess, 2).item() == pytest.approx(mean, rel=1e-6)
    # Variance 1/3 * .25 / .5 = 1/6.
    moved = HALF.previous(noisy, guess, 2, torch.ones(1, 1)).item()
    assert moved == pytest.approx(mean + math.sqrt(1 / 6), rel=1e-6)


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])
def test_a_step_back_with_the_true_vector_has_the_law_of_the_step_before(step):
    diffusion = Diffusion(5, 0.4)
    zero, one = torch.zeros(1, 1), torch.ones(1, 1)
    # Mean: from the mean of x_t to that of x_(t-1).
    mean = diffusion.previous(one * diffusion.kept(step) ** 0.5, one, step)
    assert mean.item() == pytest.approx(diffusion.kept(step - 1) ** 0.5, rel=1e-5)
    # Variance: what is left of that of x_t, and what is added.
    left = diffusion.previous(one, zero, step).item() ** 2 * (1 - diffusion.kept(step))
    added = diffusion.previous(zero, zero, step, one).item() ** 2
    assert left + added == pytest.approx(1 - diffusion.kept(step - 1), abs=1e-6)


@pytest.mark.parametrize("with_noise", [False, True])
def test_all_steps_back_with_a_perfect_denoiser_give_the_vector_again(with_noise):
    diffusion, true = Diffusion(5, 0.4), rows(6, 3)
    moved = diffusion.noised(true, torch.full((6,), 5), rows(6, 3, seed=1))
    assert (moved - true).abs().max() > 0.5
    for step in range(5, 0, -1):
        noise = rows(6, 3, seed=step) if with_noise and step > 1 else None
        moved = diffusion.previous(moved, true, step, noise)
    torch.testing.assert_close(moved, true)


def test_importance_by_hand():
    # Signal to noise 3 and 1: a drop of 2 beside the 1 of the first step, mean 1.5.
    torch.testing.assert_close(HALF.importance(), torch.tensor([2 / 3, 4 / 3]))
    assert Diffusion(1, 0.1).importance().tolist() == [1.0]


def test_a_guess_by_hand():
    denoiser = Denoiser(HALF, 1)
    with torch.no_grad():
        for layer, weight, bias in ((denoiser.enter, 2.0, 0.1), (denoiser.leave, 3.0, 0.5)):
            layer.weight.fill_(weight)
            layer.bias.fill_(bias)
        denoiser.steps.weight.copy_(torch.tensor([[0.2], [0.4]]))
    found = denoiser.guess(torch.tensor([[1.0], [1.0]]), torch.tensor([2, 1]))[:, 0].tolist()
    expected = [1 + 3 * math.tanh(2 + 0.1 + told) + 0.5 for told in (0.4, 0.2)]
    assert found == pytest.approx(expected, rel=1e-6)


def idle(diffusion, width):
    """A denoiser that guesses what it sees."""
    denoiser = Denoiser(diffusion, width)
    torch.nn.init.zeros_(denoiser.leave.weight)
    torch.nn.init.zeros_(denoiser.leave.bias)
    return denoiser


def test_steps_back_by_hand():
    denoiser = idle(HALF, 1)
    # Step 2 takes x to (sqrt .75 / 3 + sqrt(2/3) .25) / .5 of it, step 1 gives the guess, which is x itself.
    back = (math.sqrt(0.75) / 3 + math.sqrt(2 / 3) * 0.25) / 0.5
    one = torch.ones(1, 1)
    assert denoiser.denoised(one).item() == pytest.approx(back, rel=1e-6)
    # With two steps of noise first, whose mean is sqrt .5.
    assert denoiser.denoised(one, 2).item() == pytest.approx(math.sqrt(0.5) * back, rel=1e-6)


def test_only_noisy_steps_draw():
    denoiser, true = Denoiser(Diffusion(3, 0.4), 2), rows(4, 2)
    state = torch.get_rng_state()
    still = denoiser.denoised(true, 1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(denoiser.denoised(true, 1), still, rtol=0, atol=0)
    assert not torch.equal(denoiser.denoised(true, 1, noisy=True), still)


def test_loss_is_the_weighted_error_of_guesses_and_moves_the_network_alone():
    denoiser, true = idle(HALF, 2), rows(50, 2).requires_grad_()
    torch.manual_seed(3)
    step, noise = torch.randint(1, 3, (50,)).numpy(), torch.randn(50, 2).numpy()
    spread = np.where(step == 1, 0.25, 0.5)[:, None]
    known = true.detach().numpy()
    error = np.sqrt(1 - spread) * known + np.sqrt(spread) * noise - known
    expected = (np.where(step == 1, 2 / 3, 4 / 3) * (error**2).mean(1)).mean()
    torch.manual_seed(3)
    loss = denoiser.loss(true)
    assert loss.item() == pytest.approx(float(expected), rel=1e-5)
    loss.backward()
    assert true.grad is None
    assert denoiser.leave.weight.grad.abs().sum() > 0


def test_the_network_learns_to_take_noise_away():
    torch.manual_seed(0)
    denoiser = Denoiser(Diffusion(5, 0.5), 4)
    # All vectors lie on one line: what is off it is noise.
    true = torch.randn(256, 1) * torch.ones(1, 4)
    optimiser = torch.optim.Adam(denoiser.parameters(), lr=0.02)
    for _ in range(150):
        optimiser.zero_grad()
        denoiser.loss(true).backward()
        optimiser.step()
    step = torch.full((256,), 5)
    noisy = denoiser.diffusion.noised(true, step, torch.randn_like(true))
    before, after = ((x - true).pow(2).mean().item() for x in (noisy, denoiser.guess(noisy, step)))
    assert after < before / 2
