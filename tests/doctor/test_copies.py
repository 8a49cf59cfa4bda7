"""Copies of pictures and of texts."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from alnico.doctor.copies import members, picture_copies, text_copies, united
from alnico.doctor.pictures import near_prints, print_pictures
from alnico.doctor.texts import near_texts, pieces, plain_text


def waves(seed: int, side: int = 120) -> Image.Image:
    """A smooth random picture, as photographs are."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def silent(done: int, total: int) -> None:
    """Nobody listens."""


def test_picture_is_found_again_after_resizing_and_compressing(tmp_path: Path) -> None:
    waves(0).save(tmp_path / "a.png")
    waves(0).resize((75, 90)).save(tmp_path / "b.jpg", quality=60)
    waves(1).save(tmp_path / "c.png")
    (tmp_path / "d.png").write_bytes((tmp_path / "c.png").read_bytes())
    (tmp_path / "e.jpg").write_bytes(b"")
    Image.new("RGB", (40, 40), (9, 9, 9)).save(tmp_path / "f.png")
    names = ["a.png", "b.jpg", "c.png", "d.png", "e.jpg", "f.png"]
    prints = print_pictures([*(tmp_path / name for name in names), None], silent)
    files, looks = picture_copies(prints)
    assert members(files) == [[2, 3]]
    assert members(looks) == [[0, 1], [2, 3]]
    assert [(bad.row, bad.reason) for bad in prints.unreadable] == [(4, "the file is empty")]
    assert prints.flat.tolist() == [False] * 5 + [True, False]
    assert prints.known.tolist() == [True] * 4 + [False] * 3


def test_unlike_pictures_have_far_prints(tmp_path: Path) -> None:
    paths = [tmp_path / f"{seed}.png" for seed in range(20)]
    for seed, path in enumerate(paths):
        waves(seed).save(path)
    bits = print_pictures(paths, silent).bits
    assert min(int(np.bitwise_count(a ^ b)) for a, b in combinations(bits, 2)) > 10


@given(st.lists(st.integers(0, 2**12 - 1), min_size=1, max_size=40, unique=True), st.integers(0, 3))
def test_near_prints_are_those_of_a_plain_double_loop(values: list[int], bits: int) -> None:
    found = near_prints(np.array(values, np.uint64), bits)
    expected = [
        [a, b] for a, b in combinations(range(len(values)), 2) if (values[a] ^ values[b]).bit_count() <= bits
    ]
    assert sorted(found.tolist()) == expected


def test_prints_beyond_one_block_are_compared_with_each_other() -> None:
    prints = np.arange(5000, dtype=np.uint64) << np.uint64(8)
    prints[4999] = prints[0] | np.uint64(3)
    assert [0, 4999] in near_prints(prints, 2).tolist()


def test_texts_that_differ_in_case_and_marks_are_equal() -> None:
    equal, near = text_copies(["A red tent, for two!", "", "a RED tent for two", "Cake tin", ""])
    assert members(equal) == members(near) == [[0, 2]]
    assert plain_text("Don't -- PANIC") == "don t panic"


def test_long_texts_that_differ_in_a_word_are_near() -> None:
    words = [f"word{n}" for n in range(60)]
    other = [*words[:30], "changed", *words[31:]]
    unlike = [f"thing{n}" for n in range(60)]
    equal, near = text_copies([" ".join(words), " ".join(unlike), " ".join(other)])
    assert members(equal) == []
    assert members(near) == [[0, 2]]


def test_near_texts_are_those_of_a_plain_double_loop() -> None:
    random = np.random.default_rng(0)
    base = [[f"w{n}" for n in random.integers(0, 400, 40)] for _ in range(30)]
    texts = []
    for words in base:
        texts.append(" ".join(words))
        changed = [word if random.random() > 0.06 else "new" for word in words]
        texts.append(" ".join(changed))
    texts = list(dict.fromkeys(texts))

    def share(a: str, b: str) -> float:
        one, other = set(pieces(a).tolist()), set(pieces(b).tolist())
        return len(one & other) / len(one | other)

    expected = [[a, b] for a, b in combinations(range(len(texts)), 2) if share(texts[a], texts[b]) >= 0.8]
    assert len(expected) > 5
    assert near_texts(texts).tolist() == expected


def test_no_text_at_all_has_no_copies() -> None:
    equal, near = text_copies(["", ""])
    assert members(equal) == members(near) == []


@pytest.mark.parametrize(
    ("one", "other", "joined"),
    [([0, 0, -1, -1], [-1, 1, 1, -1], [[0, 1, 2]]), ([0, 0, 1, 1], [-1] * 4, [[0, 1], [2, 3]])],
)
def test_groups_that_touch_become_one(one: list[int], other: list[int], joined: list[list[int]]) -> None:
    assert members(united(np.array(one), np.array(other))) == joined
