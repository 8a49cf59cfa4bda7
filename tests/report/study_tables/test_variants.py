"""Variants against the unchanged model, from rows made by hand."""

from alnico.report.study_tables.variants import variant_tables
from study_rows import study_row


def test_variants_stand_against_the_unchanged_model() -> None:
    made = [
        study_row("without contrast", [0.5, 0], varied={"model.contrast": 0}, result={"switch_step": -1}),
        study_row("whole", [0.5, 0.5], result={"switch_step": 40, "routing": {"effective_experts": 2.5}}),
    ]
    (told,) = variant_tables(made, "table-5", "Table 5: ablations")
    assert told.name == "table-5-toy"
    first, second = told.table.rows
    assert first[5:7] == ("-0.2500 (1.0000)", "-0.2500 (1.0000)")
    assert first[-2:] == ("never", "-")
    assert second[5:7] == ("-", "-")
    assert second[-2:] == ("40", "2.50")
    assert "No variant is significantly above whole." in told.notes


def test_variant_that_is_significantly_better_is_named() -> None:
    made = [
        study_row("whole", [n / 100 for n in range(40)]),
        study_row("less", [n / 100 + 0.1 for n in range(40)], varied={"model.contrast": 0}),
    ]
    (told,) = variant_tables(made, "table-5", "Table 5")
    assert "Significantly above whole: less (R@20) and less (N@20)." in told.notes


def test_some_seeds_that_switched_are_counted() -> None:
    made = [
        study_row("whole", [1, 0], seed=1, result={"switch_step": 10}),
        study_row("whole", [1, 0], seed=2, result={"switch_step": -1}),
    ]
    (told,) = variant_tables(made, "table-6", "Table 6")
    assert told.table.rows[0][-2] == "10 (1 of 2)"
