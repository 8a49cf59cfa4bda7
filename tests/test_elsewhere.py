"""The device that is not there is as strict as a GPU."""

import numpy as np
import pytest
import torch

from alnico.kernels.place import by_torch, plain_torch
from elsewhere import elsewhere


def test_numbers_elsewhere_are_those_of_the_processor():
    torch.manual_seed(3)
    near = torch.rand(4, 2).cumsum(0)
    torch.manual_seed(3)
    with elsewhere() as device:
        far = torch.rand(4, 2, device=device).cumsum(0)
        assert far.device == device
        assert torch.equal(far.cpu(), near)
        assert torch.tensor([1.5, 2.0], device=device).sum().item() == 3.5


def test_gradients_pass_through_and_stay_elsewhere():
    with elsewhere() as device:
        weights = torch.nn.Parameter(torch.ones(3, device=device))
        (weights * torch.arange(3, device=device)).sum().backward()
        assert weights.grad.device == device
        assert weights.grad.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "mix",
    [
        lambda far: far + torch.ones(3),
        lambda far: torch.ones(3)[far.long()],
        lambda far: far.index_select(0, torch.arange(2)),
        lambda far: torch.stack([far.sum(), torch.zeros(())]),
        lambda far: torch.rand(3, device=far.device, generator=torch.Generator()),
    ],
    ids=["sum", "choice", "selection", "single numbers joined", "stream"],
)
def test_the_two_kinds_do_not_mix(mix):
    with elsewhere() as device, pytest.raises(RuntimeError, match=r"two devices|generator in main memory"):
        mix(torch.zeros(3, device=device))


def test_what_a_gpu_allows_is_allowed():
    with elsewhere() as device:
        far = torch.zeros(3, device=device)
        far[torch.tensor([0, 2])] = torch.tensor(1.0)
        assert (far + torch.tensor(2.0)).tolist() == [3, 2, 3]
        far.copy_(torch.arange(3))
        assert far.tolist() == [0, 1, 2]


def test_numpy_sees_nothing_elsewhere():
    with elsewhere() as device, pytest.raises(RuntimeError, match="numpy"):
        torch.zeros(3, device=device).numpy()


def test_torch_works_on_what_lies_elsewhere_and_on_all_when_asked():
    near = torch.from_numpy(np.zeros(2))
    assert not by_torch(near)
    with elsewhere() as device:
        assert by_torch(near.to(device))
    with plain_torch():
        assert by_torch(near)
        with plain_torch():
            assert by_torch(near)
        assert by_torch(near)
    assert not by_torch(near)
