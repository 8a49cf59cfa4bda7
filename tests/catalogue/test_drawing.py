"""Product pictures."""

import numpy as np
import pytest

from alnico.catalogue.drawing import PALETTES, PATTERNS, SIDE, STYLES, draw
from alnico.catalogue.silhouettes import SILHOUETTES, Sheet
from alnico.randomness import rng


def test_styles_are_all_different_looks() -> None:
    assert len({style[:3] for style in STYLES}) == len(STYLES) == 24
    assert len({style.name for style in STYLES}) == 24


def test_styles_of_one_palette_share_nothing_else() -> None:
    for first, second in zip(STYLES[:12], STYLES[12:], strict=True):
        assert first.palette == second.palette
        assert first.pattern != second.pattern
        assert first.manner != second.manner
        assert set(first.products).isdisjoint(second.products)


def test_every_palette_pattern_and_product_is_used() -> None:
    assert {style.palette for style in STYLES} == set(range(len(PALETTES)))
    assert {style.pattern for style in STYLES} == set(range(len(PATTERNS)))
    assert {product for style in STYLES for product in style.products} == set(range(len(SILHOUETTES)))


@pytest.mark.parametrize("style", range(len(STYLES)))
def test_picture_has_a_product_before_a_background(style: int) -> None:
    pixels = np.asarray(draw(style, rng(1, "pictures", style)), np.float64)
    assert pixels.shape == (SIDE, SIDE, 3)
    middle = pixels[32:64, 32:64].reshape(-1, 3)
    # The upper corners are background and alike, for light falls from above; the middle differs from them.
    assert np.abs(pixels[:4, :4] - pixels[:4, -4:]).max() < 8
    assert np.abs(middle - pixels[0, 0]).max() > 40


def test_same_stream_draws_the_same_picture() -> None:
    assert draw(3, rng(1, "pictures")).tobytes() == draw(3, rng(1, "pictures")).tobytes()


def test_pictures_of_one_style_differ() -> None:
    random = rng(1, "pictures")
    assert len({draw(3, random).tobytes() for _ in range(10)}) == 10


@pytest.mark.parametrize("product", SILHOUETTES, ids=lambda product: product.__name__)
def test_silhouette_fills_its_layers_and_stays_inside(product: object) -> None:
    assert callable(product)
    sheets = [Sheet(200, 1.0, (0.0, 0.0), mirrored=False) for _ in range(3)]
    product(*sheets)
    covered = [np.asarray(sheet.image) > 0 for sheet in sheets]
    assert all(layer.any() for layer in covered)
    body = covered[1].mean()
    assert 0.1 < body < 0.6
    whole = covered[0] | covered[1] | covered[2]
    rim = np.concatenate([whole[0], whole[-1], whole[:, 0], whole[:, -1]])
    assert not rim.any()


def test_mirrored_sheet_is_the_mirror_image() -> None:
    plain, mirrored = (Sheet(201, 0.9, (0.0, 0.0), mirrored=flag) for flag in (False, True))
    for sheet in (plain, mirrored):
        sheet.block((0.1, 0.2), (0.4, 0.5))
        sheet.ring((0.5, 0.5), (0.9, 0.9), 0.05, -60.0, 60.0)
    difference = np.asarray(plain.image)[:, ::-1] != np.asarray(mirrored.image)
    # Rounding to whole pixels may move an edge by one.
    assert difference.mean() < 0.02
