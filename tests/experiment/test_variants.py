"""Seeds of a variant together, and variants against each other, on values that can be averaged by hand."""

import numpy as np
import pytest

from alnico.evaluation.significance import paired_test
from alnico.experiment.variants import (
    claimable,
    contrast,
    contrasts,
    detectable,
    fields,
    paired_scores,
    standing,
)
from study_rows import study_row

N = "ndcg@20"


def test_rows_are_gathered_by_data_set_protocol_and_label() -> None:
    rows = [
        study_row("MAGNET", [1, 0], seed=1, split="a"),
        study_row("LightGCN", [0, 0], seed=1, split="a", model="lightgcn"),
        study_row("MAGNET", [0, 0], seed=2, split="b"),
        study_row("MAGNET", [1, 1], dataset="other"),
    ]
    found = fields(rows)
    # Another seed of the same rule is the same protocol.
    assert [(field.dataset, [variant.label for variant in field.variants]) for field in found] == [
        ("toy", ["MAGNET", "LightGCN"]),
        ("other", ["MAGNET"]),
    ]
    own = found[0].own
    assert own is not None
    assert own.mean("test", N) == 0.25
    # Of .5 and 0.
    assert own.deviation("test", N) == pytest.approx(0.5 / np.sqrt(2))
    assert found[0].variants[1].deviation("test", N) is None


def test_another_mask_is_another_protocol() -> None:
    easier = study_row("MAGNET", [1, 0], varied={"evaluation.mask": "train+valid"})
    assert len(fields([study_row("MAGNET", [1, 0]), easier])) == 2


def test_strongest_baseline_is_chosen_by_validation() -> None:
    (field,) = fields(
        [
            study_row("MAGNET", [1, 0], valid=0.9),
            study_row("good on test", [1, 1], model="freedom", valid=0.2),
            study_row("good on validation", [0, 0], model="lightgcn", valid=0.3),
        ]
    )
    assert field.strongest is not None
    assert field.strongest.label == "good on validation"
    more = [study_row(one.label, [1, 1], model=one.model, valid=0.2, seed=2) for one in field.variants[1:2]]
    (uneven,) = fields([row for variant in field.variants for row in variant.rows] + more)
    # A mean over fewer seeds is no equal.
    assert uneven.strongest is not None
    assert uneven.strongest.label == "good on test"
    (alone,) = fields([study_row("MAGNET", [1, 0])])
    assert alone.strongest is None


def test_own_model_is_the_dual_view_of_the_best_validation() -> None:
    (field,) = fields(
        [
            study_row("printed", [1, 1], valid=0.2, settings={"views": "dual"}),
            study_row("single view", [1, 1], valid=0.9, settings={"views": "single"}),
            study_row("ours", [0, 0], valid=0.3, settings={"views": "dual"}),
            study_row("without a part", [0, 0], valid=0.9, varied={"model.contrast": 0}),
        ]
    )
    assert field.own is not None
    assert field.own.label == "ours"
    (alone,) = fields([study_row("single view", [1, 1], settings={"views": "single"})])
    assert alone.own is not None


def test_reconstructed_model_is_shown_as_one() -> None:
    row = study_row("CMDL", [1, 0], model="cmdl")
    row.record.record["card"] = {"reproduction": "partly reconstructed", "remark": "Two terms are ours."}  # type: ignore[index]
    (field,) = fields([row])
    assert field.variants[0].shown == "CMDL (partly reconstructed)"
    assert fields([study_row("VBPR", [1, 0], model="vbpr")])[0].variants[0].shown == "VBPR"


def test_one_label_with_other_settings_is_another_variant() -> None:
    rows = [study_row("x", [1, 0], varied={"model.width": width}) for width in (8, 16)]
    (field,) = fields(rows)
    assert [len(variant.rows) for variant in field.variants] == [1, 1]


def test_setting_by_dotted_name() -> None:
    row = study_row("a", [1, 0], varied={"model.alpha": 0.25, "training.learning_rate": 0.5})
    assert row.setting("model.alpha") == 0.25
    assert row.setting("training.learning_rate") == 0.5
    assert row.setting("model.unknown.deeper") is None


def test_users_are_averaged_within_and_over_splits() -> None:
    first = [
        study_row("MAGNET", [1, 0], seed=1, split="a", users=[4, 7]),
        study_row("MAGNET", [0, 1], seed=2, split="a", users=[4, 7]),
        study_row("MAGNET", [0.25, 1], seed=3, split="b", users=[7, 9]),
        study_row("MAGNET", [9, 9], seed=4, split="only here", users=[1, 2]),
        study_row("MAGNET", [9, 9], seed=5, split="a", users=[4, 7]),
    ]
    second = [
        study_row("LightGCN", [0, 0], seed=1, split="a", users=[4, 7], model="lightgcn"),
        study_row("LightGCN", [1, 0], seed=2, split="a", users=[4, 7], model="lightgcn"),
        study_row("LightGCN", [1, 0], seed=3, split="b", users=[7, 9], model="lightgcn"),
    ]
    (field,) = fields(first + second)
    both = paired_scores(field.variants[0], field.variants[1], N)
    assert both is not None
    assert both[0].users.tolist() == [4, 7, 9]
    # User 7: the mean of (0 + 1) / 2 in split a and .25 in b; seeds 4 and 5 are the first's alone.
    assert both[0].of(N).tolist() == [0.5, 0.375, 1]
    assert both[1].of(N).tolist() == [0.5, 0.5, 0]


def test_seed_that_one_side_lacks_makes_no_difference() -> None:
    rows = [study_row(label, [1, 0], seed=1, model="lightgcn") for label in ("one", "other")]
    lucky = study_row("one", [1, 1], seed=2, model="lightgcn")
    (field,) = fields([*rows, lucky])
    told = contrast(*field.variants, N)
    assert told is not None
    assert (told.n_seeds, told.users.difference) == (1, 0)
    (apart,) = fields([lucky, rows[1]])
    assert contrast(*apart.variants, N) is None


def test_seeds_are_paired_by_seed_and_split() -> None:
    values = {1: (0.5, 0.25), 2: (0.75, 0.5), 3: (1.0, 0.25)}
    rows = []
    for seed, (mine, others) in values.items():
        rows.append(study_row("MAGNET", [mine, mine], seed=seed))
        rows.append(study_row("LightGCN", [others, others], seed=seed, model="lightgcn"))
    rows.append(study_row("LightGCN", [0, 0], seed=9, model="lightgcn"))
    (field,) = fields(rows)
    told = contrast(field.variants[0], field.variants[1], N)
    assert told is not None
    assert told.n_seeds == 3
    expected = paired_test(np.array([0.5, 0.75, 1]), np.array([0.25, 0.5, 0.25]), "t")
    assert told.seeds_p == pytest.approx(expected)


def test_one_seed_has_no_test_over_seeds_and_other_splits_no_contrast() -> None:
    (field,) = fields([study_row("MAGNET", [1, 0]), study_row("LightGCN", [0, 0], model="lightgcn")])
    told = contrast(*field.variants, N)
    assert told is not None
    assert (told.n_seeds, told.seeds_p) == (1, None)
    (apart,) = fields(
        [study_row("MAGNET", [1, 0], split="a"), study_row("LightGCN", [0, 0], split="b", model="lightgcn")]
    )
    assert contrast(*apart.variants, N) is None
    assert contrasts([tuple(apart.variants)], N) == []


def test_p_values_are_corrected_for_the_whole_table() -> None:
    rng = np.random.default_rng(0)
    base = rng.random(60)
    rows = [study_row("MAGNET", base, model="magnet")]
    rows += [
        study_row(f"other {n}", base - 0.01 * n + 0.1 * rng.random(60), model="lightgcn") for n in range(3)
    ]
    (field,) = fields(rows)
    told = claimable(field)[N]
    plain = sorted(verdict.contrast.users.p_value for verdict in told)
    corrected = sorted(verdict.duel.p_holm for verdict in told)
    assert corrected[0] == pytest.approx(min(1, 3 * plain[0]))
    assert all(verdict.seeds_p_holm is None for verdict in told)


def test_detectable_effect_comes_from_the_two_best_baselines() -> None:
    (field,) = fields(
        [
            study_row("MAGNET", [1, 0, 0, 1]),
            study_row("a", [0, 0, 1, 0], model="freedom", valid=0.3),
            study_row("b", [0, 1, 0, 0], model="lightgcn", valid=0.2),
            study_row("c", [1, 1, 1, 1], model="vbpr", valid=0.1),
        ]
    )
    told = detectable(field, N)
    assert told is not None
    assert (told.first, told.second, told.n_users) == ("a", "b", 4)
    # Differences 0, -1, 1, 0: deviation sqrt(2/3); (1.95996 + .84162) * .81650 / 2.
    assert told.effect == pytest.approx(2.80158 * np.sqrt(2 / 3) / 2, rel=1e-5)
    (pair,) = fields([study_row("MAGNET", [1, 0]), study_row("b", [0, 1], model="lightgcn")])
    only = detectable(pair, N)
    assert only is not None
    assert (only.first, only.second) == ("MAGNET", "b")
    (alone,) = fields([study_row("MAGNET", [1, 0])])
    assert detectable(alone, N) is None


def test_baseline_that_is_ahead_is_named() -> None:
    ahead = study_row("LightGCN", [0.5, 0.5, 0.5], model="lightgcn")
    behind = study_row("VBPR", [0, 0, 0.5], model="vbpr")
    (field,) = fields([study_row("MAGNET", [0.5, 0.25, 0.5]), ahead, behind])
    told = standing(field)
    assert [one.is_behind for one in told] == [True, True]
    assert told[0].sentence == (
        "toy, recall@20: LightGCN (0.5000, not significantly) is ahead of MAGNET (0.4167)."
    )


def test_leader_that_is_not_significant_says_so() -> None:
    (field,) = fields([study_row("MAGNET", [1, 0.5]), study_row("VBPR", [0, 0.5], model="vbpr")])
    told = standing(field)
    assert told[0].sentence.startswith(
        "toy, recall@20: no other model is ahead of MAGNET in the mean. On recall@20, VBPR is not significantly worse"
    )


def test_clear_leader_is_said_plainly() -> None:
    rng = np.random.default_rng(0)
    base = rng.random(200)
    (field,) = fields(
        [study_row("MAGNET", base + 0.5), study_row("VBPR", base + 0.01 * rng.random(200), model="vbpr")]
    )
    assert standing(field)[0].sentence == (
        "toy, recall@20: no other model is ahead of MAGNET in the mean. Every other model is significantly worse."
    )


def test_without_magnet_or_without_others_there_is_no_standing() -> None:
    for row in (study_row("MAGNET", [1, 0]), study_row("VBPR", [1, 0], model="vbpr")):
        (field,) = fields([row])
        assert standing(field) == []
    assert claimable(fields([study_row("VBPR", [1, 0], model="vbpr")])[0]) == {}
