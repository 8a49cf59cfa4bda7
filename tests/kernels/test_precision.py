"""Where mixed precision begins and where it ends."""

import torch

from alnico.kernels.precision import computing_in, in_full_precision

CPU = torch.device("cpu")


@in_full_precision
def told(table, *, others):
    """The types of all that came in, and of a product."""
    return table.dtype, [other.dtype for other in others], (table @ table.T).dtype


def test_products_are_short_inside_only():
    table = torch.ones(2, 2)
    with computing_in("bfloat16", CPU):
        assert (table @ table).dtype == torch.bfloat16
    with computing_in("float32", CPU):
        assert (table @ table).dtype == torch.float32
    assert (table @ table).dtype == torch.float32


def test_a_function_in_full_precision_gets_and_makes_long_numbers():
    table, places = torch.ones(2, 2), torch.arange(2)
    with computing_in("bfloat16", CPU):
        short = table @ table
        found = told(short, others=[short, table, places])
        assert (table @ table).dtype == torch.bfloat16
    assert found == (torch.float32, [torch.float32, torch.float32, torch.int64], torch.float32)


def test_gradients_pass_through_the_lengthening():
    weights = torch.ones(2, 2, requires_grad=True)
    with computing_in("bfloat16", CPU):
        in_full_precision(lambda table: (3 * table).sum())(weights @ torch.eye(2)).backward()
    assert weights.grad.tolist() == [[3, 3], [3, 3]]


def test_without_mixed_precision_nothing_is_changed():
    short = torch.ones(2, 2, dtype=torch.bfloat16)
    assert told(short, others=[])[0] == torch.bfloat16
