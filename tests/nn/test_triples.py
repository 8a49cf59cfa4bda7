import numpy as np
import pytest
import torch

from alnico.contracts import Batch
from alnico.nn.losses import info_nce
from alnico.nn.triples import Distinct

BATCH = Batch(
    users=torch.tensor([4, 1, 4]),
    positives=torch.tensor([7, 0, 2]),
    negatives=torch.tensor([2, 2, 9]),
    weights=torch.tensor([1.0, 2.0, 0.5]),
)


def test_each_node_stands_once_and_each_triple_finds_its_own():
    rows = Distinct.of(BATCH)
    assert rows.users.tolist() == [1, 4]
    assert rows.items.tolist() == [0, 2, 7, 9]
    assert rows.nodes(10).tolist() == [1, 4, 10, 12, 17, 19]
    table = torch.arange(20.0)[:, None]
    users, positives, negatives = rows.spread(*rows.apart(table.index_select(0, rows.nodes(10))))
    assert users.flatten().tolist() == [4, 1, 4]
    assert (positives.flatten() - 10).tolist() == [7, 0, 2]
    assert (negatives.flatten() - 10).tolist() == [2, 2, 9]


def test_bpr_is_that_of_inner_products_with_the_weights_of_the_batch():
    rows = Distinct.of(BATCH)
    # User 1 is 1, user 4 is 2; the items 0, 2, 7, 9 are 3, 1, -1, 0: margins 2(-1 - 1), 1(3 - 1), 2(1 - 0).
    users, items = torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [1.0], [-1.0], [0.0]])
    softplus = np.log1p(np.exp([4.0, -2.0, -2.0]))
    torch.testing.assert_close(
        rows.bpr(users, items),
        torch.tensor((softplus * [1.0, 2.0, 0.5]).mean(), dtype=torch.float32),
    )


def test_contrast_counts_repeated_nodes_and_may_have_a_temperature_of_its_own_for_users():
    rows = Distinct.of(BATCH)
    generator = torch.Generator().manual_seed(0)
    one, other = [
        (torch.randn(2, 3, generator=generator), torch.randn(4, 3, generator=generator)) for _ in range(2)
    ]
    # Users 4, 1, 4 stand at 1, 0, 1; positives 7, 0, 2 at 2, 0, 1.
    users, positives = torch.tensor([1, 0, 1]), torch.tensor([2, 0, 1])
    of_items = info_nce(one[1][positives], other[1][positives], 0.2)
    of_users = [info_nce(one[0][users], other[0][users], temperature) for temperature in (0.2, 0.5)]
    torch.testing.assert_close(rows.contrast(one, other, 0.2), of_items + of_users[0])
    torch.testing.assert_close(rows.contrast(one, other, 0.2, 0.5), of_items + of_users[1])


def test_without_negatives_items_are_the_positives_alone():
    rows = Distinct.of(BATCH, negatives=False)
    assert rows.users.tolist() == [1, 4]
    assert rows.items.tolist() == [0, 2, 7]
    assert rows.items[rows.item_place].tolist() == [7, 0, 2]
    with pytest.raises(ValueError, match="without the negatives"):
        rows.bpr(torch.zeros(2, 1), torch.zeros(3, 1))


def test_contrasts_count_a_node_as_often_as_it_stands_in_the_triples():
    # Two triples share a positive, which is the negative of a third; users 1 and 4 stand once and twice.
    batch = Batch(
        torch.tensor([4, 1, 4]), torch.tensor([7, 7, 2]), torch.tensor([0, 9, 7]), torch.ones(3), planned=3
    )
    rows = Distinct.of(batch)
    generator = torch.Generator().manual_seed(0)
    one, other = (
        (torch.randn(2, 3, generator=generator), torch.randn(4, 3, generator=generator)) for _ in range(2)
    )
    # Distinct users 1, 4; distinct items 0, 2, 7, 9.
    users, positives = [1, 0, 1], [2, 2, 1]
    of_users = info_nce(one[0][users], other[0][users], 0.2)
    of_items = info_nce(one[1][positives], other[1][positives], 0.2)
    torch.testing.assert_close(rows.contrast(one, other, 0.2), of_users + of_items)
    torch.testing.assert_close(rows.contrast_of_users(one[0], other[0], 0.2), of_users)
    across = info_nce(one[0][users], other[1][positives], 0.2)
    torch.testing.assert_close(rows.contrast_across(one[0], other[1], 0.2), across)
