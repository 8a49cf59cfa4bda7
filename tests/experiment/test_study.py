"""A study in this process: what is made, in which order, what is kept, what the folder tells."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alnico.data.features import ItemFeatures
from alnico.data.store import open_dataset, save_dataset
from alnico.errors import ConfigError, StorageError
from alnico.experiment.folder import open_run
from alnico.experiment.ledger import Ledger
from alnico.experiment.results import read_record, write_record
from alnico.experiment.run import run
from alnico.experiment.spec import read_spec
from alnico.experiment.study import Study, open_study, write_study
from studied import PARTS, copied, furnish, laid_out, study

MADE = {
    "toy-popular-1",
    "toy-popular-2",
    "toy-small-1",
    "toy-small-2",
    "toy-small-full-3",
    "toy-small-dependent-3",
    "toy-small-width=6-3",
}


def test_every_run_is_made_once_and_after_what_it_waits_for(made: tuple[Study, list[str]]) -> None:
    opened, order = made
    # Width 4 of the grid is that of the file; that of the dependent run is 1.5 times two epochs, 3: the first of the
    # grid turns out to be it.
    assert set(order) == MADE
    assert len(order) == len(MADE)
    assert order.index("toy-small-full-3") < order.index("toy-small-dependent-3")
    assert {path.name for path in (opened.folder / "runs").iterdir()} == MADE
    assert {path.name for path in (opened.folder / "records" / "toy").iterdir()} == {
        f"{name}.npz" for name in MADE
    }


def test_study_tells_which_runs_serve_which_part_and_what_varies(made: tuple[Study, list[str]]) -> None:
    opened = open_study(made[0].folder)
    assert [part.name for part in opened.parts] == ["overall", "chain", "grid"]
    assert opened.name == "tiny"
    overall = opened.runs_of("overall")
    assert [(one.label, one.seed) for one in overall] == [
        ("Popularity", 1),
        ("small BPR", 1),
        ("Popularity", 2),
        ("small BPR", 2),
    ]
    for one in overall:
        assert one.run is not None
        assert one.record.result == one.run.result
        assert one.record.protocol == "tiny"
        assert one.record.settings["seed"] == one.record.record["split"]["recipe"]["seed"] == one.seed
    assert [(one.label, one.varied) for one in opened.runs_of("chain")] == [
        ("dependent", {"model.width": 3}),
        ("full", {}),
    ]
    grid = opened.runs_of("grid")
    assert [(one.varied["model.width"], one.record.settings["model"]["width"]) for one in grid] == [
        (3, 3),
        (4, 4),
        (6, 6),
    ]
    assert [one.record.name for one in grid] == [
        "toy-small-dependent-3",
        "toy-small-full-3",
        "toy-small-width=6-3",
    ]
    assert opened.lacking("grid") == []
    with pytest.raises(ConfigError, match=r"has no part 'gird'; did you mean 'grid'\?"):
        opened.runs_of("gird")


def test_python_of_the_docs_runs(made: tuple[Study, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "studies.md").read_text(encoding="utf-8")
    blocks = [block.split("```")[0] for block in page.split("```python\n")[1:]]
    assert len(blocks) == 1
    text = blocks[0].replace("runs/tiktok", str(made[0].folder)).replace('"ablations"', '"chain"')
    exec(compile(text, "docs/studies.md", "exec"), {})
    rows = made[0].runs_of("chain")
    assert capsys.readouterr().out.splitlines() == [
        f"{row.label} {row.varied} 3 {row.record.measure('test', 'ndcg@20')}" for row in rows
    ]


def test_findings_rest_on_validation_and_the_oracle_is_marked(made: tuple[Study, list[str]]) -> None:
    opened = made[0]
    grid = opened.runs_of("grid")
    found = opened.findings_of("grid")["toy"]
    by_valid = max(grid, key=lambda one: one.record.measure("valid", "recall@5") or 0)
    by_test = max(grid, key=lambda one: one.record.measure("test", "recall@5") or 0)
    assert found.chosen is not None
    assert found.oracle is not None
    assert (found.chosen.variant, found.oracle.variant) == (by_valid.label, by_test.label)
    assert found.oracle.mark is not None
    assert "not a result" in found.oracle.mark
    baseline = opened.findings_of("overall")["toy"].strongest_baseline
    means: Mapping[str, float] = {
        variant: np.mean(
            [
                one.record.measure("valid", "ndcg@20") or 0
                for one in opened.runs_of("overall")
                if one.label == variant
            ]
        ).item()
        for variant in ("Popularity", "small BPR")
    }
    assert baseline is not None
    assert baseline.value == pytest.approx(max(means.values()))
    assert means[baseline.variant] == max(means.values())


def test_run_follows_the_protocol_and_its_record_says_so(made: tuple[Study, list[str]]) -> None:
    record = open_run(made[0].folder / "runs" / "toy-small-1").record
    assert record["label"] == "small BPR"
    assert record["protocol"] == made[0].protocol.stamp()
    assert record["spec"]["min_user"] == 2
    # User 0 has a single interaction and is left out.
    assert record["dataset"]["users"] == 29


def test_finished_study_makes_nothing_again(
    made: tuple[Study, list[str]], plan: Path, tmp_path: Path
) -> None:
    folder = copied(made[0], tmp_path / "study")
    again, order = study(plan, folder, oracle=True)
    assert order == []
    assert (folder / "study.json").read_text() == (made[0].folder / "study.json").read_text()
    assert again.content == made[0].content


def test_runs_that_are_gone_count_by_their_records(
    made: tuple[Study, list[str]], plan: Path, tmp_path: Path
) -> None:
    folder = copied(made[0], tmp_path / "study")
    shutil.rmtree(folder / "runs")
    again, order = study(plan, folder)
    assert order == []
    # The dependent run's width still comes from the outcome of the full one.
    dependent = next(one for one in again.runs_of("chain") if one.label == "dependent")
    assert (dependent.run, dependent.varied, dependent.record.result["epochs"]) == (
        None,
        {"model.width": 3},
        2,
    )
    (folder / "records" / "toy" / "toy-small-1.npz").unlink()
    again, order = study(plan, folder)
    assert order == ["toy-small-1"]
    assert again.runs_of("overall")[1].run is not None


def test_records_elsewhere_and_under_other_names_count_and_are_not_written_over(
    made: tuple[Study, list[str]], plan: Path, tmp_path: Path
) -> None:
    records = tmp_path / "results"
    stored = made[0].folder / "records" / "toy"
    # One that somebody made without any protocol, one of another run under the name that this study would give.
    theirs = read_record(stored / "toy-small-1.npz")
    write_record(replace(theirs, name="mine", record={**theirs.record, "protocol": None}), records)
    other = read_record(stored / "toy-small-2.npz")
    blocked = write_record(replace(other, name="toy-popular-1"), records)
    before = blocked.read_bytes()

    opened, order = study(plan, tmp_path / "study", records, part="overall")
    assert [name[:13] for name in order] == ["toy-popular-1", "toy-popular-2"]
    assert len(order[0]) == len("toy-popular-1") + 7
    runs = {(one.label, one.seed): one for one in opened.runs_of("overall")}
    assert runs["small BPR", 1].record.name == "mine"
    assert runs["small BPR", 1].record.question == runs["Popularity", 1].record.question
    assert runs["small BPR", 2].record.name == "toy-popular-1"
    assert blocked.read_bytes() == before


def test_run_is_never_told_by_the_numbers_of_another_one_of_its_name(tmp_path: Path) -> None:
    grid = """
[[parts]]
name = "overall"
table = "overall"
models = ["{folder}/bpr.toml"]
seeds = "ablation"
[[parts]]
name = "grid"
figure = "sensitivity"
base = "{folder}/bpr.toml"
seeds = "ablation"
grids = [{ settings = { model.width = [6] } }]
"""
    plan = furnish(tmp_path, grid)
    settings, folder, records = tmp_path / "bpr.toml", tmp_path / "study", tmp_path / "records"
    narrow = settings.read_text()
    settings.write_text(narrow.replace("width = 4", "width = 6"))
    assert study(plan, folder, records)[1] == ["toy-bpr-3"]

    # The file changes: what has the name of the first run is now the grid's, and the first run is yet to be made.
    settings.write_text(narrow)
    write_study(Ledger(laid_out(plan), folder, records))
    opened = open_study(folder)
    assert opened.runs_of("overall") == []
    assert [(entry.variant, told.state) for entry, told in opened.lacking("overall")] == [
        ("BPR-MF", "waiting")
    ]
    assert [one.record.settings["model"]["width"] for one in opened.runs_of("grid")] == [6]

    study(plan, folder, records)
    # A record of the same name under other data is another run's.
    (records / "zoo").mkdir()
    for path in (records / "toy").iterdir():
        shutil.copy(records / "toy" / "toy-bpr-3.npz", records / "zoo" / path.name)
    for _ in ("folders", "records"):
        opened = open_study(folder)
        widths = {
            part: [one.record.settings["model"]["width"] for one in opened.runs_of(part)]
            for part in ("overall", "grid")
        }
        assert widths == {"overall": [4], "grid": [6]}
        shutil.rmtree(folder / "runs", ignore_errors=True)


def test_other_data_make_other_runs(made: tuple[Study, list[str]], tmp_path: Path) -> None:
    folder = copied(made[0], tmp_path / "study")
    plan = furnish(tmp_path, PARTS)
    dataset = open_dataset(tmp_path / "data")
    without = replace(dataset, features=ItemFeatures(dataset.n_items, {}))
    save_dataset(without, tmp_path / "data", force=True)
    _, order = study(plan, folder, part="overall")
    assert len(order) == 4
    assert all(name[:-7] in MADE for name in order)


def test_only_a_part_and_what_it_needs_is_made(plan: Path, tmp_path: Path) -> None:
    opened, order = study(plan, tmp_path / "study", part="chain")
    assert order == ["toy-small-full-3", "toy-small-dependent-3"]
    assert len(opened.runs_of("chain")) == 2
    # That the first of the grid is the dependent run is found when the grid's turn comes.
    assert [(entry.variant, told.state) for entry, told in opened.lacking("grid")] == [
        ("width=3", "waiting"),
        ("width=6", "waiting"),
    ]
    assert opened.findings_of("overall") == {}


def test_oracle_waits_until_all_runs_of_its_part_have_ended(plan: Path, tmp_path: Path) -> None:
    opened, _ = study(plan, tmp_path / "study", part="chain", oracle=True)
    found = opened.findings_of("grid")["toy"]
    assert found.chosen is not None
    assert found.oracle is None


def test_study_of_models_that_need_no_validation_goes_through_without_any(tmp_path: Path) -> None:
    parts = """
[[parts]]
name = "overall"
table = "overall"
models = ["{folder}/popular.toml"]
"""
    plan = furnish(tmp_path, parts)
    protocol = tmp_path / "protocol.toml"
    protocol.write_text(protocol.read_text().replace('rule = "random"', 'rule = "random"\nvalid = 0.0'))
    opened, order = study(plan, tmp_path / "study")
    assert order == ["toy-popular-1", "toy-popular-2"]
    assert [one.record.measure("valid", "recall@5") for one in opened.runs_of("overall")] == [None, None]
    assert opened.findings_of("overall")["toy"].strongest_baseline is None


def test_what_is_no_study_and_what_a_newer_version_wrote_is_refused(
    made: tuple[Study, list[str]], tmp_path: Path
) -> None:
    with pytest.raises(StorageError, match=r"is not the folder of a study: it has no study.json"):
        open_study(tmp_path)
    content = json.loads((made[0].folder / "study.json").read_text())
    (tmp_path / "study.json").write_text(json.dumps({**content, "format": 99}))
    with pytest.raises(StorageError, match="has format 99, newer than this alnico reads"):
        open_study(tmp_path)
    (tmp_path / "study.json").write_text(json.dumps({**content, "format": 1}))
    with pytest.raises(
        StorageError, match=r"has format 1, .*; run the study again, what is finished is kept"
    ):
        open_study(tmp_path)
    (tmp_path / "study.json").write_text(json.dumps(content))
    with pytest.raises(StorageError, match=r"toy-popular-1 of the study .* is gone, folder and record"):
        open_study(tmp_path).runs_of("overall")


def test_warm_started_run_is_not_taken_for_one_of_the_plan(plan: Path, tmp_path: Path) -> None:
    course = laid_out(plan)
    spec = course.run("toy-small-1").spec({})
    first = run(read_spec({**spec.resolved(), "seed": 77}), tmp_path / "first")
    run(spec, tmp_path / "study" / "runs" / "toy-small-1", warm_start=first)
    ledger = Ledger(course, tmp_path / "study", tmp_path / "records")
    assert ledger.states["toy-small-1"] == "waiting"
    job = ledger.begin(course.run("toy-small-1"))
    assert job is not None
    assert Path(job.folder).name != "toy-small-1"
