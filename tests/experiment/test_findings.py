"""What the runs of a part say together, on values worked out by hand."""

from typing import Any

from alnico.experiment.findings import ORACLE, Tried, findings


def run(variant: str, valid: float, test: float, *, model: str = "lightgcn", dataset: str = "toy") -> Tried:
    """A finished run with one value for each part."""
    result: dict[str, Any] = {
        part: {"ndcg@20": value, "recall@20": 2 * value} for part, value in (("valid", valid), ("test", test))
    }
    return Tried(variant, model, dataset, result)


def test_strongest_baseline_has_the_best_mean_validation_and_is_no_magnet() -> None:
    tried = [
        run("MAGNET", 0.9, 0.9, model="magnet"),
        run("even", 0.3, 0.1),
        run("even", 0.5, 0.3),
        run("lucky on test", 0.3, 0.8),
        run("lucky on test", 0.4, 0.8),
    ]
    found = findings(tried, "recall@20", is_grid=False, oracle=True)["toy"]
    best = found.strongest_baseline
    assert best is not None
    # (.3 + .5) / 2 against (.3 + .4) / 2.
    assert (best.variant, best.by, best.value, best.runs, best.among) == ("even", "valid ndcg@20", 0.4, 2, 2)
    assert best.test == {"ndcg@20": 0.2, "recall@20": 0.4}
    # There is nothing to choose from where settings do not vary.
    assert (found.chosen, found.oracle) == (None, None)


def test_chosen_trial_is_that_of_validation_and_the_oracle_that_of_test_and_marked() -> None:
    tried = [
        run("a", 0.5, 0.2, model="magnet"),
        run("b", 0.4, 0.6, model="magnet"),
        run("c", 0.3, 0.4, model="magnet"),
    ]
    found = findings(tried, "recall@20", is_grid=True, oracle=True)["toy"]
    assert found.chosen is not None
    assert found.oracle is not None
    assert (found.chosen.variant, found.chosen.by, found.chosen.value) == ("a", "valid recall@20", 1.0)
    assert (found.chosen.test["recall@20"], found.chosen.mark) == (0.4, None)
    assert (found.oracle.variant, found.oracle.by, found.oracle.value) == ("b", "test recall@20", 1.2)
    assert (found.oracle.mark, found.oracle.among) == (ORACLE, 3)
    assert found.strongest_baseline is None
    assert findings(tried, "recall@20", is_grid=True, oracle=False)["toy"].oracle is None


def test_mean_over_fewer_seeds_is_no_equal() -> None:
    tried = [run("whole", 0.3, 0.3), run("whole", 0.3, 0.3), run("half done", 0.9, 0.9)]
    best = findings(tried, "ndcg@20", is_grid=False, oracle=False)["toy"].strongest_baseline
    assert best is not None
    assert (best.variant, best.among) == ("whole", 1)


def test_data_sets_are_looked_at_apart() -> None:
    tried = [run("a", 0.3, 0.3), run("b", 0.2, 0.3), run("b", 0.9, 0.9, dataset="other")]
    found = findings(tried, "ndcg@20", is_grid=False, oracle=False)
    best = {dataset: told.strongest_baseline for dataset, told in found.items()}
    assert {dataset: None if one is None else one.variant for dataset, one in best.items()} == {
        "toy": "a",
        "other": "b",
    }


def test_run_that_had_nothing_to_validate_on_is_no_choice() -> None:
    blind = run("blind", 0.5, 0.9)
    blind.result["valid"].update(dict.fromkeys(blind.result["valid"]))
    blind.result["test"]["recall@20"] = None
    assert findings([blind], "recall@20", is_grid=True, oracle=False)["toy"].sentences("p", "toy") == []
    found = findings([blind, run("a", 0.4, 0.2)], "recall@20", is_grid=True, oracle=True)["toy"]
    for choice in found.strongest_baseline, found.chosen, found.oracle:
        assert choice is not None
        assert (choice.variant, choice.among) == ("a", 1)
