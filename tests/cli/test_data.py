"""`alnico data` as a user meets it: one line for whatever is wrong, and nothing half-written."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from alnico.data import store
from alnico.data.store import open_dataset, read_manifest
from command_lines import Answer, CommandLine


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A small MMRec folder: 4 users, 5 items (one without interactions), images."""
    folder = tmp_path / "raw"
    folder.mkdir()
    rows = [(0, 0, 0), (0, 1, 0), (0, 2, 2), (1, 0, 0), (1, 2, 0), (1, 3, 1), (2, 1, 0), (2, 2, 0), (3, 3, 0)]
    lines = [
        "userID\titemID\trating\tx_label",
        *(f"{u}\t{i}\t{1 + (u + i) % 5}\t{part}" for u, i, part in rows),
    ]
    (folder / "raw.inter").write_text("\n".join(lines) + "\n")
    np.save(folder / "image_feat.npy", np.arange(10, dtype=np.float32).reshape(5, 2) + 1)
    return folder


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A small shop folder with events and an item table."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "interactions.csv").write_text(
        "user_id,item_id,timestamp,event\nann,p1,10,view\nann,p2,20,buy\nbob,p1,30,buy\nbob,p2,40,view\n"
    )
    (folder / "items.csv").write_text("item_id,title\np1,Cup\np2,Tea\n")
    return folder


def refused(answer: Answer, target: Path, *words: str) -> None:
    """One sentence on stderr that holds these words, exit code 2, and nothing written anywhere near."""
    assert answer.code == 2, answer.out
    assert answer.out == ""
    assert answer.err.startswith("alnico: ")
    assert answer.err.count("\n") == 1
    for word in words:
        assert word in answer.err
    assert not target.exists()
    beside = [path.name for path in target.parent.iterdir()] if target.parent.exists() else []
    assert [name for name in beside if name.startswith(f".{target.name}")] == []


def test_import_describe_check_and_split_in_processes_of_their_own(
    raw: Path, tmp_path: Path, command_process: CommandLine
) -> None:
    folder = tmp_path / "data" / "raw"
    imported = command_process("data", "import", raw, "--to", folder)
    assert imported.code == 0, imported.err
    assert imported.out == f"{folder}: 4 users, 5 items, 9 interactions; features: image (2)\n"
    assert imported.err == "note: no interactions with 1 of 5 items; they are kept\n"
    described = command_process("data", "describe", folder)
    assert described.code == 0, described.err
    assert "train 7, validation 1, test 1" in described.out
    checked = command_process("data", "check", folder)
    assert checked.code == 0, checked.err
    assert "1 items have no interactions" in checked.out
    split = command_process("data", "split", folder)
    assert split.code == 0, split.err
    assert split.out.startswith("train ")


def test_json_of_each_verb(raw: Path, tmp_path: Path, command_line: CommandLine) -> None:
    folder = tmp_path / "data"
    record = json.loads(command_line("data", "import", raw, "--to", folder, "--name", "mine", "--json").out)
    assert (record["name"], record["users"], record["items"], record["modalities"]) == (
        "mine",
        4,
        5,
        {"image": 2},
    )
    assert record["notices"] == ["no interactions with 1 of 5 items; they are kept"]
    facts = json.loads(command_line("data", "describe", folder, "--json").out)
    assert facts["interactions"] == 9
    assert facts["fingerprint"] == record["fingerprint"]
    assert facts["modalities"]["image"]["present_share"] == 1.0
    findings = json.loads(command_line("data", "check", folder, "--json").out)["findings"]
    assert {"severity", "topic", "message"} == set(findings[0])
    split = json.loads(command_line("data", "split", folder, "--rule", "random", "--seed", 3, "--json").out)
    assert split["recipe"] == {"rule": "random", "seed": 3, "valid": 0.1, "test": 0.1}
    assert split["facts"]["train"] == 7


def test_raw_files_can_be_looked_at_without_importing(raw: Path, command_line: CommandLine) -> None:
    assert "interactions                9" in command_line("data", "describe", raw).out
    assert command_line("data", "split", raw, "--rule", "per_user").code == 0


def test_every_option_of_import_does_its_work(shop: Path, tmp_path: Path, command_line: CommandLine) -> None:
    (shop / "interactions.csv").write_text(
        "buyer;what;when;stars;kind\nann;p1;10;5;buy\nann;p1;5;4;view\nann;p2;7;5;buy\nbob;p1;3;5;buy\nbob;p3;9;5;buy\n"
        "cat;p1;1;1;buy\ncat;p2;2;5;click\n"
    )
    (shop / "items.csv").unlink()
    (shop / "things.csv").write_text("what;label\np1;Cup\np2;Tea\n")
    np.save(shop / "look.npy", np.ones((2, 3)))
    np.savez(shop / "near.npz", indices=np.array([[1], [0]]), cosine=np.ones((2, 1)))
    folder = tmp_path / "data"
    answer = command_line(
        *("data", "import", shop, "--to", folder, "--separator", ";", "--items", "things.csv"),
        *(
            "--column",
            "user=buyer",
            "--column",
            "item=what",
            "--column",
            "time=when",
            "--column",
            "rating=stars",
        ),
        *("--column", "event=kind", "--column", "title=label", "--features", "image=look.npy"),
        *("--neighbours", "image=near.npz", "--event", "buy=3", "--event", "view", "--min-rating", 4),
        *("--merge", "sum", "--allow-unknown-items", "--min-user", 2),
    )
    assert answer.code == 0, answer.err
    data = open_dataset(folder)
    # Chosen and rated 4 or better: ann-p1 (buy 3 + view 1, first at 5), ann-p2, bob-p1, bob-p3; none of cat
    assert data.users.names.tolist() == ["ann", "bob"]
    assert data.items.names.tolist() == ["p1", "p2", "p3"]
    assert data.interactions.weights is not None
    assert data.interactions.weights.tolist() == [4, 3, 3, 3]
    assert data.interactions.times is not None
    assert data.interactions.times.tolist() == [5, 7, 3, 9]
    assert data.cards.columns == {"title": ("Cup", "Tea", "")}
    assert data.features["image"].present.tolist() == [True, True, False]
    assert data.neighbours["image"].items.tolist() == [[1], [0], [-1]]
    assert "1 repeated interactions were merged" in answer.err


def test_core_filter_is_told(raw: Path, tmp_path: Path, command_line: CommandLine) -> None:
    # User 3 has one interaction; items 3 then has one user and goes, and item 4 has none: users 0, 1, 2 keep
    # (0: 0 1 2), (1: 0 2), (2: 1 2), each item with two or three users.
    answer = command_line("data", "import", raw, "--to", tmp_path / "data", "--core", 2)
    assert answer.code == 0, answer.err
    assert "the filter dropped 1 users, 2 items and 2 interactions" in answer.err
    data = open_dataset(tmp_path / "data")
    assert data.items.names.tolist() == [0, 1, 2]
    assert (data.interactions.user_degrees >= 2).all()
    assert (data.interactions.item_degrees >= 2).all()


def test_split_can_be_kept_as_labels(raw: Path, tmp_path: Path, command_line: CommandLine) -> None:
    command_line("data", "import", raw, "--to", tmp_path / "data")
    kept = command_line(
        *("data", "split", tmp_path / "data", "--rule", "random", "--test", 0.3, "--seed", 5),
        *("--to", tmp_path / "again", "--json"),
    )
    assert kept.code == 0, kept.err
    again = json.loads(command_line("data", "split", tmp_path / "again", "--json").out)
    assert again["fingerprint"] == json.loads(kept.out)["fingerprint"]
    assert read_manifest(tmp_path / "again").split == {"rule": "random", "seed": 5, "valid": 0.1, "test": 0.3}


def test_existing_folder_is_replaced_only_with_force(
    raw: Path, tmp_path: Path, command_line: CommandLine
) -> None:
    target = tmp_path / "data"
    assert command_line("data", "import", raw, "--to", target).code == 0
    answer = command_line("data", "import", raw, "--to", target)
    assert answer.code == 2
    assert "data exists already; pass --force to replace it" in answer.err
    assert command_line("data", "import", raw, "--to", target, "--force").code == 0


def test_errors_found_by_check_show_in_the_exit_code(raw: Path, command_line: CommandLine) -> None:
    np.save(raw / "image_feat.npy", np.ones((5, 2)))
    answer = command_line("data", "check", raw)
    assert answer.code == 1
    assert answer.out.startswith("error    content     all items have the same 'image' vector")
    assert answer.err == ""


# Each of these breaks the raw folder in one way and says which words the one sentence must hold.


def no_file(folder: Path) -> tuple[str, ...]:
    (folder / "raw.inter").unlink()
    return ("has no interactions", "it has image_feat.npy")


def no_column(folder: Path) -> tuple[str, ...]:
    edit(folder, "userID", "usrID")
    return ("no column for the user", "it has usrID, itemID, rating, x_label", "'usrID' looks nearest")


def wrong_separator(folder: Path) -> tuple[str, ...]:
    edit(folder, "\t", ",")
    return ("should be separated by a tab", "looks separated by a comma", "--separator ','")


def empty_file(folder: Path) -> tuple[str, ...]:
    (folder / "raw.inter").write_text("")
    return ("raw.inter is empty",)


def header_only(folder: Path) -> tuple[str, ...]:
    (folder / "raw.inter").write_text("userID\titemID\n")
    return ("raw.inter has a header but no rows",)


def truncated_npy(folder: Path) -> tuple[str, ...]:
    path = folder / "image_feat.npy"
    path.write_bytes(path.read_bytes()[:-8])
    return ("image_feat.npy cannot be read as .npy", "it is cut short")


def object_array(folder: Path) -> tuple[str, ...]:
    np.save(folder / "image_feat.npy", np.array([[{}]] * 5, dtype=object), allow_pickle=True)
    return ("image_feat.npy cannot be read", "it holds Python objects, not numbers")


def rows_that_do_not_match(folder: Path) -> tuple[str, ...]:
    np.save(folder / "image_feat.npy", np.ones((3, 2)))
    return ("have 3 rows, for the items 0 to 2, but the interactions name item 3",)


def modalities_that_do_not_match(folder: Path) -> tuple[str, ...]:
    np.save(folder / "text_feat.npy", np.ones((6, 2)))
    return ("'image'", "have 5 rows but features 'text'", "have 6")


def not_a_number(folder: Path) -> tuple[str, ...]:
    vectors = np.load(folder / "image_feat.npy")
    vectors[3, 1] = np.nan
    np.save(folder / "image_feat.npy", vectors)
    return ("features 'image'", "NaN or infinite numbers for 1 items, the first is item 3")


def infinite(folder: Path) -> tuple[str, ...]:
    vectors = np.load(folder / "image_feat.npy").astype(np.float64)
    vectors[2, 0] = 1e300  # finite as given, but not as the 32-bit number it becomes
    np.save(folder / "image_feat.npy", vectors)
    return ("features 'image'", "the first is item 2")


def infinite_time(folder: Path) -> tuple[str, ...]:
    (folder / "raw.inter").write_text("userID\titemID\ttimestamp\n0\t0\t5\n0\t1\tinf\n")
    return ("raw.inter, row 2: time is 'inf', expected a finite number or a date",)


def label_of_three(folder: Path) -> tuple[str, ...]:
    edit(folder, "\t2\n", "\t3\n")
    return ("x_label is '3', expected 0 (train), 1 (validation) or 2 (test)",)


def nothing_to_train_on(folder: Path) -> tuple[str, ...]:
    edit(folder, "\t0\n", "\t1\n")
    return ("no interaction is labelled for training (0)",)


def edit(folder: Path, old: str, new: str) -> None:
    path = folder / "raw.inter"
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    "harm",
    [
        no_file, no_column, wrong_separator, empty_file, header_only, truncated_npy, object_array,
        rows_that_do_not_match, modalities_that_do_not_match, not_a_number, infinite, infinite_time,
        label_of_three, nothing_to_train_on,
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence_and_nothing_is_written(
    harm: Callable[[Path], tuple[str, ...]], raw: Path, tmp_path: Path, command_line: CommandLine
) -> None:
    words = harm(raw)
    refused(command_line("data", "import", raw, "--to", tmp_path / "out"), tmp_path / "out", *words)


def test_missing_path_is_one_sentence(tmp_path: Path, command_line: CommandLine) -> None:
    answer = command_line("data", "import", tmp_path / "nowhere", "--to", tmp_path / "out")
    refused(answer, tmp_path / "out", "there is no file or folder", "nowhere")
    for verb in ("describe", "check", "split"):
        answer = command_line("data", verb, tmp_path / "nowhere")
        refused(answer, tmp_path / "out", "there is no file or folder")


def test_unknown_item_is_one_sentence(shop: Path, tmp_path: Path, command_line: CommandLine) -> None:
    with (shop / "interactions.csv").open("a") as file:
        file.write("bob,ghost,50,buy\n")
    answer = command_line("data", "import", shop, "--to", tmp_path / "out")
    refused(answer, tmp_path / "out", "the first is 'ghost'", "--allow-unknown-items")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--colum", "user=a"), ("No such option: --colum", "--column")),
        (("--column", "usr=user_id"), ("no column role 'usr'; did you mean 'user'",)),
        (("--column", "user:user_id"), ("--column takes ROLE=COLUMN, found 'user:user_id'",)),
        (("--column", "user=a", "--column", "user=b"), ("--column names 'user' twice",)),
        (("--event", "by"), ("there is no event 'by' in the interactions", "'buy'")),
        (("--event", "buy=lots"), ("--event buy=lots: the weight must be a number",)),
        (("--event", "buy=0"), ("event 'buy' has the weight 0.0; weights must be positive",)),
        (("--min-rating", "4"), ("the interactions have no ratings",)),
        (("--merge", "mean"), ("--merge", "'mean'")),
        (("--features", "image=nowhere.npy"), ("there is no feature file nowhere.npy", "modality 'image'")),
        (("--neighbours", "image=nowhere.npz"), ("there is no item graph file nowhere.npz",)),
        (("--core", "9"), ("no interaction is left when users need 9 and items 9 interactions",)),
        (("--separator", "tabs"), ("the separator must be one character, found 'tabs'",)),
    ],
)  # fmt: skip
def test_wrong_setting_of_import_is_one_sentence(
    options: tuple[str, ...], words: tuple[str, ...], shop: Path, tmp_path: Path, command_line: CommandLine
) -> None:
    answer = command_line("data", "import", shop, "--to", tmp_path / "out", *options)
    refused(answer, tmp_path / "out", *words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--rule", "per_usr"), ("no split rule 'per_usr'; did you mean 'per_user'",)),
        (("--seed", "3"), ("split rule 'given' has no setting 'seed'",)),
        (("--rule", "random", "--test", "2"), ("split rule 'random': test: Input should be less than 1",)),
        ((), ("split rule 'given' needs labels",)),
        (("--rule", "time", "--test", "0.01"), ("split rule 'time' leaves no test",)),
    ],
)  # fmt: skip
def test_wrong_setting_of_split_is_one_sentence(
    options: tuple[str, ...], words: tuple[str, ...], shop: Path, tmp_path: Path, command_line: CommandLine
) -> None:
    answer = command_line("data", "split", shop, "--to", tmp_path / "out", *options)
    refused(answer, tmp_path / "out", *words)


def test_unknown_verb_of_data_names_the_nearest(command_line: CommandLine, tmp_path: Path) -> None:
    refused(command_line("data", "descrbe"), tmp_path / "out", "descrbe", "'describe'")


def test_data_folder_that_was_changed_is_named(raw: Path, tmp_path: Path, command_line: CommandLine) -> None:
    command_line("data", "import", raw, "--to", tmp_path / "data")
    path = tmp_path / "data" / "features" / "image.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    for verb in ("describe", "check", "split"):
        answer = command_line("data", verb, tmp_path / "data")
        refused(answer, tmp_path / "out", "features/image.npy does not match its checksum in manifest.json")


def test_disk_that_fills_leaves_nothing(
    raw: Path, tmp_path: Path, command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, room = store._Hashing.write, 600

    def write(self: store._Hashing, data: bytes | memoryview) -> int:
        if self._bytes + len(data) > room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(self, data)

    monkeypatch.setattr(store._Hashing, "write", write)
    answer = command_line("data", "import", raw, "--to", tmp_path / "out")
    refused(
        answer, tmp_path / "out", "out could not be written: No space left on device; nothing of it was kept"
    )


@pytest.mark.realdata
def test_tiktok_just_works(
    real_data: Callable[[str], Path], tmp_path: Path, command_line: CommandLine
) -> None:
    answer = command_line("data", "import", real_data("tiktok"), "--to", tmp_path / "tiktok")
    assert answer.code == 0, answer.err
    assert answer.out == (
        f"{tmp_path / 'tiktok'}: 9308 users, 6710 items, 68722 interactions; "
        "features: image (128), audio (128)\n"
    )
    assert answer.err == ""
