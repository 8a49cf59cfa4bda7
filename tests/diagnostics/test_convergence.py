"""The clock of a training, on five epochs written by hand."""

from alnico.diagnostics.convergence import convergence, quality_over_time

VALUES = [0.10, 0.38, 0.40, None, 0.39]
SECONDS = [9.0, 2.0, 3.0, 1.0, 2.0]
HISTORY = [
    {
        "epoch": number,
        "train_seconds": seconds - 0.5,
        "epoch_seconds": seconds,
        **({} if value is None else {"valid/ndcg@20": value}),
    }
    for number, (value, seconds) in enumerate(zip(VALUES, SECONDS, strict=True), start=1)
]


def test_clock_by_hand() -> None:
    told = convergence(HISTORY, "ndcg@20")
    assert told is not None
    assert (told.level, told.best_epoch, told.best_seconds) == (0.40, 3, 14.0)
    # 95 % of .40 is .38, reached exactly in the second epoch after 9 + 2 seconds.
    assert (told.nearly_epoch, told.nearly_seconds) == (2, 11.0)
    assert (told.stop_epoch, told.stop_seconds) == (5, 17.0)
    # The median of 1.5, 2.5, .5, 1.5: the first epoch is left out, and so is validation.
    assert told.seconds_per_epoch == 1.5


def test_epochs_without_validation_have_no_quality() -> None:
    assert quality_over_time(HISTORY, "ndcg@20") == [
        (1, 9, 0.10),
        (2, 11, 0.38),
        (3, 14, 0.40),
        (5, 17, 0.39),
    ]


def test_training_that_never_validated_has_no_clock() -> None:
    assert convergence(HISTORY, "recall@5") is None
    assert convergence([], "ndcg@20") is None


def test_single_epoch_is_its_own_speed() -> None:
    told = convergence(HISTORY[:1], "ndcg@20")
    assert told is not None
    assert told.seconds_per_epoch == 8.5
