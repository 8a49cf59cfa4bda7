"""Rows that survive a kill."""

import math

from alnico.training.history import Journal, read_rows


def filled(path, epochs=3):
    """A journal with one row per epoch."""
    journal = Journal(path)
    for epoch in range(1, epochs + 1):
        journal.add({"epoch": epoch, "loss": 1 / epoch})
        journal.flush()
    return journal


def test_rows_come_back_exactly(tmp_path):
    filled(tmp_path / "rows.jsonl")
    assert read_rows(tmp_path / "rows.jsonl") == [{"epoch": e, "loss": 1 / e} for e in (1, 2, 3)]


def test_rows_wait_for_the_flush(tmp_path):
    journal = Journal(tmp_path / "rows.jsonl")
    journal.add({"epoch": 1})
    assert read_rows(tmp_path / "rows.jsonl") == []
    journal.flush()
    journal.flush()
    assert read_rows(tmp_path / "rows.jsonl") == [{"epoch": 1}]


def test_a_half_written_line_is_left_out(tmp_path):
    path = tmp_path / "rows.jsonl"
    filled(path)
    whole = path.read_bytes()
    for cut in range(1, len(b'{"epoch": 3, "loss": 0.3333}')):
        path.write_bytes(whole[:-cut])
        assert [row["epoch"] for row in read_rows(path)] in ([1, 2], [1, 2, 3])


def test_rewinding_repairs_the_file_so_that_writing_goes_on_in_a_new_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    filled(path)
    path.write_bytes(path.read_bytes()[:-8])
    journal = Journal(path)
    journal.rewind(2)
    journal.add({"epoch": 3, "loss": 0.5})
    journal.flush()
    assert read_rows(path) == [
        {"epoch": 1, "loss": 1.0},
        {"epoch": 2, "loss": 0.5},
        {"epoch": 3, "loss": 0.5},
    ]


def test_rewinding_forgets_later_rows_and_those_that_wait(tmp_path):
    path = tmp_path / "rows.jsonl"
    journal = filled(path)
    journal.add({"epoch": 4})
    journal.rewind(1)
    journal.flush()
    assert [row["epoch"] for row in read_rows(path)] == [1]


def test_numbers_that_are_not_finite_become_null(tmp_path):
    journal = Journal(tmp_path / "rows.jsonl")
    journal.add({"epoch": 1, "a": math.inf, "b": math.nan, "c": 0.5})
    journal.flush()
    assert read_rows(tmp_path / "rows.jsonl") == [{"epoch": 1, "a": None, "b": None, "c": 0.5}]


def test_a_journal_without_a_file_writes_nothing(tmp_path):
    journal = filled(None)
    journal.rewind(0)
    assert list(tmp_path.iterdir()) == []
