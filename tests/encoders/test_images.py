"""Vectors of pictures."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from alnico.encoders.blocks import Block
from alnico.encoders.images import (
    COLOUR_WIDTH,
    EDGE_WIDTH,
    IMAGE_WIDTH,
    LAYOUT_WIDTH,
    ColourGradient,
    describe,
)
from alnico.encoders.pictures import SIDE
from alnico.encoders.reading import decoders, read_block

CELL_BINS = COLOUR_WIDTH // 5
EDGES = slice(COLOUR_WIDTH, COLOUR_WIDTH + EDGE_WIDTH)


def read(paths: Sequence[Path | None], tell: Callable[[int], None] = lambda done: None) -> Block:
    """Final vectors of these pictures."""
    with decoders() as pool:
        block = read_block(paths, ColourGradient(), pool, tell)
    return Block(ColourGradient().settle(block.vectors, block.vectors.any(axis=1)), block.unreadable)


def plain(*colour: int) -> NDArray[np.uint8]:
    """One picture of one colour, as a batch of one."""
    return np.broadcast_to(np.array(colour, np.uint8), (1, SIDE, SIDE, 3)).copy()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three reddish and three bluish pictures, red0.png to blue2.png."""
    random = np.random.default_rng(0)
    for name, base in (("red", (200, 40, 40)), ("blue", (40, 40, 200))):
        for number in range(3):
            noise = random.integers(-30, 30, (50, 50, 3)) + np.array(base)
            Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(tmp_path / f"{name}{number}.png")
    return tmp_path


def test_width_is_the_sum_of_three_blocks() -> None:
    assert describe(plain(1, 2, 3)).shape == (1, IMAGE_WIDTH)
    assert COLOUR_WIDTH + EDGE_WIDTH + LAYOUT_WIDTH == IMAGE_WIDTH


def test_plain_red_is_all_in_the_first_light_hue() -> None:
    # Pure red has hue 0 and is fully coloured: share 1 in every quarter, root 1; the whole counts double.
    colours = describe(plain(255, 0, 0))[0, :COLOUR_WIDTH].reshape(5, CELL_BINS)
    assert colours[:, 0] == pytest.approx([2**0.5, 1, 1, 1, 1])
    assert np.delete(colours, 0, axis=1) == pytest.approx(0)


def test_dark_red_is_counted_apart_from_red() -> None:
    # Value 0.5 counts as dark (below 0.6), and as fully coloured (from 0.5 on).
    colours = describe(plain(128, 0, 0))[0, :COLOUR_WIDTH].reshape(5, CELL_BINS)
    assert colours[1].argmax() == 8
    assert colours[1, 8] == pytest.approx(1, abs=1e-3)


def test_colour_between_two_hues_is_shared() -> None:
    # Hue bins are 45 degrees wide. (255, 96, 0) has a hue of 96 / 255 * 60 = 22.6 degrees: half and half.
    colours = describe(plain(255, 96, 0))[0, :COLOUR_WIDTH].reshape(5, CELL_BINS)
    assert colours[1, 0] ** 2 == pytest.approx(0.498, abs=0.002)
    assert colours[1, 1] ** 2 == pytest.approx(0.502, abs=0.002)


@pytest.mark.parametrize(("level", "grey"), [(0, 0), (100, 1), (150, 2), (255, 3)])
def test_greys_are_counted_by_level(level: int, grey: int) -> None:
    colours = describe(plain(level, level, level))[0, :COLOUR_WIDTH].reshape(5, CELL_BINS)
    assert colours[1, 16 + grey] == pytest.approx(1)


def test_quarters_are_counted_apart() -> None:
    picture = plain(255, 0, 0)
    picture[0, : SIDE // 2, SIDE // 2 :] = (0, 0, 255)
    colours = describe(picture)[0, :COLOUR_WIDTH].reshape(5, CELL_BINS)
    # Blue has 240 degrees: a third of the way from bin 5 (225) to bin 6 (270).
    assert colours[2, 5] ** 2 == pytest.approx(2 / 3, abs=1e-3)
    assert colours[2, 6] ** 2 == pytest.approx(1 / 3, abs=1e-3)
    assert colours[[1, 3, 4], 0] == pytest.approx(1)
    # A quarter of the whole is blue.
    assert colours[0, 0] ** 2 == pytest.approx(2 * 0.75)


def test_upright_and_level_stripes_have_different_edges() -> None:
    stripes = plain(0, 0, 0)
    stripes[0, :, ::8] = stripes[0, :, 1::8] = 255
    upright = describe(stripes)[0, EDGES].reshape(16, 8)
    level = describe(stripes.transpose(0, 2, 1, 3))[0, EDGES].reshape(16, 8)
    # Upright stripes change from left to right, direction 0; level ones downwards, half of 8 directions.
    assert (upright.argmax(axis=1) == 0).all()
    assert (level.argmax(axis=1) == 4).all()
    assert (upright**2).sum() == pytest.approx(1, abs=1e-3)


def test_plain_picture_has_no_edges() -> None:
    assert describe(plain(9, 99, 199))[0, EDGES].max() == 0


def test_layout_is_the_mean_colour_of_each_cell() -> None:
    picture = plain(0, 0, 0)
    picture[0, :16, 16:32] = (255, 51, 0)
    layout = describe(picture)[0, -LAYOUT_WIDTH:].reshape(4, 4, 3)
    assert layout[0, 1] == pytest.approx([1, 0.2, 0], abs=1e-5)
    assert layout.sum() == pytest.approx(1.2, abs=1e-5)


def test_pictures_of_a_batch_do_not_mix() -> None:
    random = np.random.default_rng(0)
    batch = random.integers(0, 256, (5, SIDE, SIDE, 3), dtype=np.uint8)
    alone = np.concatenate([describe(batch[row : row + 1]) for row in range(5)])
    assert describe(batch) == pytest.approx(alone, abs=1e-6)


def test_alike_pictures_are_near_and_others_far(folder: Path) -> None:
    names = ["red0", "red1", "red2", "blue0", "blue1", "blue2"]
    vectors = read([folder / f"{name}.png" for name in names]).vectors
    cosines = vectors @ vectors.T
    # Two camps around their mean look in opposite directions.
    assert cosines[:3, :3].min() > 0.5
    assert cosines[:3, 3:].max() < -0.3
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)


def test_unreadable_and_missing_pictures_are_absent_zero_rows(folder: Path) -> None:
    (folder / "empty.jpg").write_bytes(b"")
    paths = [None, folder / "red0.png", folder / "empty.jpg", folder / "blue0.png", folder / "nowhere.png"]
    encoded = read(paths)
    assert encoded.vectors.any(axis=1).tolist() == [False, True, False, True, False]
    assert not encoded.vectors[[0, 2, 4]].any()
    assert [(bad.row, bad.path, bad.reason) for bad in encoded.unreadable] == [
        (2, str(folder / "empty.jpg"), "the file is empty"),
        (4, str(folder / "nowhere.png"), "there is no such file"),
    ]


def test_equal_pictures_say_nothing(folder: Path) -> None:
    modality = read([folder / "red0.png"] * 3)
    assert not modality.vectors.any()
    assert not modality.vectors.any()


def test_single_picture_is_present(folder: Path) -> None:
    assert read([folder / "red0.png", None]).vectors.any(axis=1).tolist() == [True, False]


def test_no_picture_at_all_is_all_absent() -> None:
    modality = read([None, None])
    assert modality.vectors.shape == (2, 0)
    assert len(read([]).vectors) == 0


def test_progress_counts_named_pictures_only(folder: Path) -> None:
    told: list[int] = []
    read([None, folder / "red0.png", None, folder / "gone.png"], told.append)
    assert told == [2]


def test_same_pictures_give_the_same_bits(folder: Path) -> None:
    paths: list[Path | None] = [*sorted(folder.iterdir()), None]
    assert read(paths).vectors.tobytes() == read(paths).vectors.tobytes()


def test_pictures_beyond_one_batch_keep_their_rows(folder: Path) -> None:
    paths: list[Path | None] = [folder / "red0.png", *[folder / "blue0.png"] * 299, folder / "red0.png"]
    vectors = read(paths).vectors
    assert np.array_equal(vectors[0], vectors[300])
    assert np.array_equal(vectors[1], vectors[299])
    assert not np.array_equal(vectors[0], vectors[1])
