"""The table of data sets."""

from alnico.report.study_tables.data_sets import statistics_table
from finished_runs import Finished, record_row
from study_rows import study_row


def test_statistics_by_hand() -> None:
    told = statistics_table([study_row("MAGNET", [1, 0]), study_row("VBPR", [1, 0], model="vbpr")])
    # 30 + 4 + 5 = 39 interactions of 9 users on 7 items: 39 / 63.
    assert told.table.rows == (("toy", "9", "7", "39", "4.33", "5.57", "61.9048%", "image", "30", "4", "5"),)


def test_statistics_measure_the_vectors_where_the_data_are(finished: Finished) -> None:
    told = statistics_table([record_row(finished.magnet)])
    features = finished.magnet.dataset.features
    assert told.table.rows[0][7] == ", ".join(f"{name} {features[name].width}" for name in features)
