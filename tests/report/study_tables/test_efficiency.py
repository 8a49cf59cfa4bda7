"""The cost of training, from rows made by hand."""

from alnico.report.study_tables.efficiency import efficiency_tables
from study_rows import study_row


def history(values: list[float], seconds: float) -> list[dict[str, float]]:
    """Epochs of equal length."""
    return [
        {"epoch": n, "train_seconds": seconds / 2, "epoch_seconds": seconds, "valid/ndcg@20": value}
        for n, value in enumerate(values, start=1)
    ]


def test_cost_by_hand() -> None:
    made = [
        study_row("MAGNET", [1, 0], seed=1, history=history([0.1, 0.4, 0.3], 2.0)),
        study_row("MAGNET", [1, 0], seed=2, history=history([0.39, 0.4, 0.3], 4.0)),
        study_row("popularity", [1, 0], model="popularity"),
    ]
    (told,) = efficiency_tables(made)
    # t95: the second epoch after 4 s, and the first after 4 s. Best at epoch 2 after 4 s and 8 s.
    assert told.table.rows == (("MAGNET", "2", "300", "1.50", "4.0 (2)", "2 @ 6", "3 @ 9"),)
    assert efficiency_tables(made[2:]) == []
