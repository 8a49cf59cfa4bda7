"""Records of finished runs: nothing is lost on the way to disk, and only true claims are made."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alnico.errors import ConfigError, StorageError
from alnico.experiment.results import (
    KEPT_METRICS,
    RunRecord,
    best_baseline,
    by_question,
    duels,
    gather,
    listed,
    main_run,
    not_beaten,
    read_record,
    told_apart,
    warning,
    write_record,
)
from finished_runs import record

# 40 users; the good run is better for every one of them.
GOOD = [0.5 + 0.01 * user for user in range(40)]
POOR = [value - 0.2 for value in GOOD]


def test_record_comes_back_as_it_was(tmp_path: Path) -> None:
    history = [{"epoch": 1, "loss/bpr": 0.6931471805599453, "valid/ndcg@20": None}]
    given_record = record("a run", [0, 1 / 3, 2 / 3, 1, 1 / 3], history=history)

    path = write_record(given_record, tmp_path)
    back = read_record(path)

    assert path == tmp_path / "toy" / "a run.npz"
    assert (back.name, back.record, back.result) == (
        given_record.name,
        given_record.record,
        given_record.result,
    )
    assert back.history == history
    np.testing.assert_array_equal(back.scores.users, given_record.scores.users)
    for metric in KEPT_METRICS:
        # Bit for bit: 1 - 2/3 and 1/3 must stay what they are, or ties between ranks would break.
        np.testing.assert_array_equal(back.scores.of(metric), given_record.scores.of(metric))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_any_values_come_back_exactly(tmp_path_factory: pytest.TempPathFactory, values: list[float]) -> None:
    path = write_record(record("run", values), tmp_path_factory.mktemp("records"))
    np.testing.assert_array_equal(read_record(path).scores.of("ndcg@20"), np.array(values))


def test_record_of_many_users_is_small(tmp_path: Path) -> None:
    # 20,000 users with at most four test items: recall takes few values, as it does on real data.
    values = np.random.default_rng(0).choice([0, 0, 0, 0, 0, 0, 0, 0.25, 1 / 3, 0.5, 1], 20_000)
    assert write_record(record("run", values.tolist()), tmp_path).stat().st_size < 200_000


def test_same_record_has_the_same_bytes(tmp_path: Path) -> None:
    # Records are kept under version control: writing them again must change nothing.
    first = write_record(record("run", GOOD), tmp_path / "a").read_bytes()
    assert write_record(record("run", GOOD), tmp_path / "b").read_bytes() == first


def test_damaged_record_is_one_sentence(tmp_path: Path) -> None:
    path = write_record(record("run", GOOD), tmp_path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(StorageError, match="cannot be read as a record of a run"):
        read_record(path)


def test_clear_winner_is_called_better_and_the_other_way_round_worse() -> None:
    good, poor = record("good", GOOD), record("poor", POOR, model="lightgcn")
    (forth,) = duels([(good, poor)], "ndcg@20")
    (back,) = duels([(poor, good)], "ndcg@20")
    assert (forth.verdict, back.verdict) == ("better", "worse")
    assert forth.comparison.difference == pytest.approx(0.2)
    assert "good is better than poor: ndcg@20" in forth.sentence
    assert "poor is worse than good" in back.sentence


def test_equal_runs_are_left_open_and_the_simpler_one_is_named() -> None:
    own, equal, beaten = (
        record("MAGNET", GOOD),
        record("BPR", GOOD, model="bpr_mf"),
        record("kNN", POOR, model="item_knn"),
    )
    fought = duels([(own, equal), (own, beaten)], "ndcg@20")
    assert [duel.verdict for duel in fought] == ["open", "better"]
    assert [duel.second for duel in not_beaten(fought)] == ["BPR"]
    assert "BPR is not significantly worse than MAGNET" in str(warning(fought))
    assert "kNN" not in str(warning(fought))


def test_better_simple_model_is_called_better() -> None:
    fought = duels([(record("MAGNET", POOR), record("LightGCN", GOOD, model="lightgcn"))], "ndcg@20")
    assert "LightGCN is significantly better than MAGNET" in str(warning(fought))


def test_no_warning_where_all_simpler_models_are_beaten_or_none_is_there() -> None:
    own = record("MAGNET", GOOD)
    assert warning(duels([(own, record("BPR", POOR, model="bpr_mf"))], "ndcg@20")) is None
    # Another MAGNET is no simpler model.
    assert warning(duels([(own, record("MAGNET 2", GOOD))], "ndcg@20")) is None
    assert warning([]) is None


def test_ranks_and_mean_that_disagree_claim_nothing() -> None:
    # 30 users lose a little, 10 win a lot: ranks say worse or nothing, the mean says better.
    rng = np.random.default_rng(1)
    base = rng.random(400)
    shifted = base + np.where(np.arange(400) < 320, -0.01, 0.05)
    (duel,) = duels([(record("a", shifted.tolist()), record("b", base.tolist()))], "ndcg@20")
    assert duel.p_holm < 0.05
    assert duel.comparison.difference > 0
    assert duel.verdict == "open"


def test_p_values_are_corrected_by_the_number_of_duels() -> None:
    rng = np.random.default_rng(0)
    own = record("own", rng.random(60).tolist())
    others = [record(f"other {number}", rng.random(60).tolist()) for number in range(3)]
    fought = duels([(own, other) for other in others], "ndcg@20")
    smallest = min(fought, key=lambda duel: duel.comparison.p_value)
    # Holm multiplies the smallest of three by three.
    assert smallest.p_holm == pytest.approx(min(1, 3 * smallest.comparison.p_value))


def test_runs_on_different_splits_are_refused() -> None:
    with pytest.raises(ConfigError, match="differ in data, split, mask or protocol"):
        duels([(record("a", GOOD, question="one"), record("b", GOOD, question="two"))], "ndcg@20")


def test_main_run_is_the_first_magnet_or_the_first() -> None:
    knn, first, second = record("k", GOOD, model="item_knn"), record("m", GOOD), record("n", GOOD)
    assert main_run([knn, first, second]) is first
    assert main_run([knn]) is knn


def test_best_baseline_is_chosen_by_validation_and_is_no_magnet() -> None:
    runs = [
        record("magnet", GOOD, valid=0.9),
        record("good on test", GOOD, model="bpr_mf", valid=0.3),
        record("good on validation", POOR, model="lightgcn", valid=0.4),
    ]
    best = best_baseline(runs, "ndcg@20")
    assert best is not None
    assert best.name == "good on validation"
    assert best_baseline(runs[:1], "ndcg@20") is None


def test_stored_records_serve_where_the_run_folders_are_gone(tmp_path: Path) -> None:
    write_record(record("one", GOOD), tmp_path)
    write_record(record("two", GOOD, dataset="other"), tmp_path)
    found, notices = gather(tmp_path / "no runs here", tmp_path)
    assert {name: [one.name for one in records] for name, records in found.items()} == {
        "other": ["two"],
        "toy": ["one"],
    }
    assert notices == []


def test_records_group_by_what_was_asked() -> None:
    runs = [record("a", GOOD, question="x"), record("b", GOOD, question="y"), record("c", GOOD, question="x")]
    assert [[one.name for one in group] for group in by_question(runs)] == [["a", "c"], ["b"]]


def test_protocols_of_another_kind_are_another_question() -> None:
    def under(name: str, kind: str) -> RunRecord:
        made = record(name, GOOD)
        return replace(made, record={**made.record, "protocol": {"name": name, "kind": kind}})

    # Patience and epochs make another protocol, but the same question; runs without any stay with each other.
    runs = [
        under("mmrec", "given, recall@20"),
        record("none", GOOD),
        under("magnet", "random, ndcg@20"),
        under("patient", "given, recall@20"),
        record("no other", GOOD),
    ]
    assert [[one.name for one in group] for group in by_question(runs)] == [
        ["mmrec", "patient"],
        ["none", "no other"],
        ["magnet"],
    ]
    assert [one.protocol for one in runs[:2]] == ["mmrec", None]
    with pytest.raises(ConfigError, match="differ in data, split, mask or protocol"):
        duels([(runs[0], runs[2])], "ndcg@20")


def test_names_become_a_phrase() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"


def test_runs_that_share_a_label_are_told_apart_by_their_names() -> None:
    records = [record("a", GOOD), record("b", POOR), record("c", GOOD)]
    for one in records[:2]:
        one.record["label"] = "BPR"  # type: ignore[index]
    assert [one.label for one in told_apart(records)] == ["BPR (a)", "BPR (b)", "c"]
    assert records[0].label == "BPR"
