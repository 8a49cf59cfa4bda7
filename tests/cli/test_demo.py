"""The demo in its small form, as a user runs it, and the verbs that read what it leaves."""

import json
import shutil
from pathlib import Path

import pytest

from alnico.cli.main import main
from command_lines import Answer, CommandLine

CONTENT = ("report.html", "demo.json", "runs/shop-magnet/result.json", "runs/control-magnet/result.json")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished small demo."""
    folder = tmp_path_factory.mktemp("demo") / "demo"
    assert main(["demo", "--small", "--to", str(folder), "--json"]) == 0
    return folder


@pytest.mark.slow
def test_demo_leaves_runs_report_and_measurements(demo: Path) -> None:
    assert all((demo / name).is_file() for name in CONTENT)
    told = json.loads((demo / "demo.json").read_text())
    assert told["measured"]["wall_seconds"] > 0
    assert 50e6 < told["measured"]["peak_memory_bytes"] < 2e9
    assert list(told["worlds"]["shop"]["runs"]) == ["item-kNN on content", "LightGCN", "MAGNET"]
    assert list(told["worlds"]["control"]["runs"]) == ["LightGCN", "MAGNET"]
    assert [one["kind"] for one in told["explained"]] == ["visual", "textual", "fashion"]
    assert set(told["worlds"]["shop"]["kinds"]) == {"visual", "textual", "fashion"}
    page = (demo / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") >= 3
    assert "Control: pictures and texts are noise" in page


@pytest.mark.slow
def test_second_call_uses_what_is_there(demo: Path, command_line: CommandLine) -> None:
    before = {name: (demo / name).read_bytes() for name in CONTENT}
    answer = command_line("demo", "--small", "--to", demo)
    assert answer.code == 0
    assert "MAGNET: trained and tested already" in answer.out
    assert "MAGNET against the others, paired by user" in answer.out
    assert f"open the report: {demo / 'report.html'}" in answer.out
    assert "alnico data import MMREC-FOLDER" in answer.out
    assert {name: (demo / name).read_bytes() for name in CONTENT} == before


@pytest.mark.slow
def test_demo_goes_on_where_it_was_stopped(demo: Path, tmp_path: Path, command_line: CommandLine) -> None:
    # As a kill leaves it: the last run has begun but has no result, the one before is whole.
    cut = tmp_path / "demo"
    shutil.copytree(demo, cut)
    begun = cut / "runs" / "control-magnet"
    for name in ("result.json", "test.safetensors", "routing.safetensors"):
        (begun / name).unlink()
    mark = json.loads((cut / "demo.json").read_text())
    (cut / "demo.json").write_text(json.dumps({key: mark[key] for key in ("format", "plan")}))

    answer = command_line("demo", "--small", "--to", cut)

    assert answer.code == 0
    assert "wall time: not measured" in answer.out
    first, again = (json.loads((folder / "demo.json").read_text()) for folder in (demo, cut))
    assert again["measured"] is None
    tests = [told["worlds"]["control"]["runs"]["MAGNET"]["test"] for told in (first, again)]
    assert tests[0] == tests[1]


@pytest.mark.slow
def test_other_settings_need_force(demo: Path, command_line: CommandLine) -> None:
    answer = command_line("demo", "--small", "--seed", 8, "--to", demo)
    assert (answer.code, answer.out) == (2, "")
    assert "holds a demo with other settings; pass --force" in answer.err


@pytest.mark.slow
def test_report_on_runs_of_the_demo(demo: Path, tmp_path: Path, command_line: CommandLine) -> None:
    runs = [demo / "runs" / name for name in ("shop-magnet", "shop-lightgcn", "control-magnet")]
    page = tmp_path / "page.html"
    answer = command_line("report", *runs, "--to", page, "--truth", demo / "shop" / "files")
    assert answer.code == 0
    assert f"open {page}" in answer.out
    assert "By true kind of user" in page.read_text()


@pytest.mark.slow
def test_results_of_the_demo(demo: Path, tmp_path: Path, command_line: CommandLine) -> None:
    folders = [
        "--runs",
        demo / "runs",
        "--records",
        tmp_path / "records",
        "--to",
        tmp_path / "docs",
        "--demo",
        demo,
    ]
    answer = command_line("results", *folders, "--json")
    assert answer.code == 0
    assert str(tmp_path / "docs" / "demo.md") in json.loads(answer.out)["written"]
    text = (tmp_path / "docs" / "demo.md").read_text()
    assert "Wall time " in text
    assert "| MAGNET |" in text
    assert "| visual |" in text


def test_folder_of_somebody_else_is_refused(tmp_path: Path, command_line: CommandLine) -> None:
    (tmp_path / "thesis.doc").write_text("mine")
    answer: Answer = command_line("demo", "--small", "--force", "--to", tmp_path)
    assert (answer.code, answer.out) == (2, "")
    assert "holds something that is no demo of alnico" in answer.err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.doc"]
