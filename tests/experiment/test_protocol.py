"""Protocols: what the shipped ones say, what a run gets from them, what is refused."""

from pathlib import Path

import pytest

from alnico.data.splitting import Random
from alnico.errors import ConfigError
from alnico.experiment.protocol import HOME, Protocol, read_protocol
from alnico.experiment.spec import METRICS, read_spec

PLAIN = {"dataset": "d", "model": {"name": "bpr_mf"}, "training": {"batch_size": 64, "patience": 3}}


def test_shipped_protocols_say_what_the_papers_say() -> None:
    mmrec, magnet = read_protocol("mmrec"), read_protocol("magnet")
    assert (mmrec.training.metric, mmrec.training.patience, mmrec.training.epochs) == ("recall@20", 20, 1000)
    assert (magnet.training.metric, magnet.training.patience, magnet.training.epochs) == ("ndcg@20", 5, 200)
    assert magnet.seeds == (9, 672, 5368, 12784, 2025)
    assert magnet.ablation_seed == 2026
    assert (mmrec.min_user, magnet.min_user) == (0, 4)
    assert mmrec.evaluation.mask == magnet.evaluation.mask == "train"
    # What a run measures without any protocol: records made without one stay the same runs.
    assert mmrec.evaluation.metrics == magnet.evaluation.metrics == METRICS


def test_run_gets_split_selection_and_measures_and_keeps_the_rest() -> None:
    spec = read_spec(read_protocol("magnet").imposed(PLAIN, 672))
    assert (spec.seed, spec.split, spec.min_user) == (672, Random(valid=0.1, test=0.1, seed=672), 4)
    assert (spec.training.metric, spec.training.patience, spec.training.batch_size) == ("ndcg@20", 5, 64)
    assert PLAIN["training"] == {"batch_size": 64, "patience": 3}
    slow = read_spec(read_protocol("magnet").imposed(PLAIN, 9, patience=20))
    assert slow.training.patience == 20
    # The labels that come with the data, or else MMRec's rule.
    assert read_spec(read_protocol("mmrec").imposed(PLAIN, 999)).split is None


def test_kind_tells_apart_what_may_not_stand_in_one_table() -> None:
    magnet = read_protocol("magnet")
    assert magnet.kind == ("split random, users with at least 4, chosen by validation ndcg@20, mask train")
    assert magnet.kind != read_protocol("mmrec").kind

    def changed(**group: object) -> Protocol:
        return magnet.model_copy(update=group)

    patient = changed(training=magnet.training.model_copy(update={"patience": 50}))
    assert patient.kind == magnet.kind
    assert patient.fingerprint != magnet.fingerprint
    assert changed(about="other words").fingerprint == magnet.fingerprint
    other = changed(evaluation=magnet.evaluation.model_copy(update={"mask": "train+valid"}))
    assert other.kind != magnet.kind


def test_what_a_protocol_decides_is_not_for_a_plan() -> None:
    magnet = read_protocol("magnet")
    theirs = ("seed", "split.rule", "min_user", "training.patience", "training.metric", "evaluation.mask")
    assert all(magnet.decides(key) for key in theirs)
    ours = ("model.width", "training.batch_size", "training.learning_rate", "modalities")
    assert not any(magnet.decides(key) for key in ours)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('rule = "common"', 'rule = "comon"', r"no split rule 'comon'; did you mean 'common'\?"),
        ('rule = "common"', 'rule = "common"\nseed = 3', "split rule 'common' has no settings"),
        ('rule = "common"', 'rule = "random"\nvald = 0.1', "split rule 'random' has no setting 'vald'"),
        ('rule = "common"', 'rule = "given"\nseed = "run"', "split rule 'given' has no setting 'seed'"),
        ("patience = 20", "patiense = 20", r"no setting 'training.patiense'; did you mean 'patience'\?"),
        ('metric = "recall@20"', 'metric = "recal@20"', "there is no metric 'recal'"),
        ('metric = "recall@20"', 'metric = "recall@7"', "evaluation.metrics lack 'recall@7'"),
        ("seeds = [999, 1000, 1001]", "seeds = []", "seeds: "),
    ],
)
def test_slip_in_a_protocol_is_named(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    text = (HOME / "mmrec.toml").read_text()
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(ConfigError, match=sentence):
        read_protocol(str(path))


def test_unknown_protocol_gets_the_nearest_one_and_a_missing_file_its_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no protocol 'mmrek'; did you mean 'mmrec'\?"):
        read_protocol("mmrek")
    with pytest.raises(ConfigError, match=r"cannot read the protocol .*gone\.toml"):
        read_protocol(str(tmp_path / "gone.toml"))
