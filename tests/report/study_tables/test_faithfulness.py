"""Whether the routing of a finished run can be believed."""

from alnico.report.study_tables.faithfulness import faithfulness_tables
from finished_runs import Finished, record_row


def test_faithfulness_of_a_real_run(finished: Finished) -> None:
    (told,) = faithfulness_tables([record_row(finished.magnet), record_row(finished.popularity)])
    assert told.name == "faithfulness-toy"
    assert {line[0] for line in told.table.rows} == {"score", "lead"}
    pairs = sum(int(line[2]) for line in told.table.rows if line[0] == "score")
    assert pairs == finished.magnet.result["test_pairs"]
    assert {line[-1] for line in told.table.rows} <= {"yes", "no"}
    assert faithfulness_tables([record_row(finished.popularity)]) == []
