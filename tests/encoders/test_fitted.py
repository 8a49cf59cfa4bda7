"""Light encoders fitted to a catalogue give new items the vectors that the catalogue's own would have."""

from pathlib import Path

import numpy as np
import pytest

from alnico.data.features import Modality
from alnico.encoders.fitted import FittedImages, FittedTexts, same_directions
from alnico.encoders.images import ColourGradient
from alnico.encoders.reading import decoders, read_block
from alnico.encoders.texts import encode_texts
from alnico.errors import DataError
from finished_runs import Finished

TEXTS = [
    f"{colour} {kind} of {stuff}, {kind} for {who}"
    for colour in ("red", "blue", "green", "grey")
    for kind in ("cup", "lamp", "chair", "coat", "shoe", "bowl")
    for stuff in ("wool", "glass", "oak", "steel", "clay", "linen", "jade")
    for who in ("children", "gardeners", "cooks", "sailors")
]


def test_texts_of_the_catalogue_get_their_own_vectors() -> None:
    texts = [*TEXTS[::3], "", "..."]
    fitted, expected = FittedTexts.of(texts), encode_texts(texts)
    again = FittedTexts.from_arrays(fitted.arrays()).encode(texts)
    assert again.present.tolist() == expected.present.tolist()
    np.testing.assert_allclose(again.vectors, expected.vectors, atol=1e-4)


def test_texts_of_many_words_get_their_own_vectors_too() -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{word}" for word in rng.zipf(1.4, 40) % 900) for _ in range(200)]
    fitted, expected = FittedTexts.of(texts), encode_texts(texts)
    assert len(fitted.buckets) > fitted.axes.shape[1] == expected.width
    assert same_directions(expected, FittedTexts.from_arrays(fitted.arrays()).encode(texts))


def test_a_new_text_lies_by_its_like_and_unknown_words_say_nothing() -> None:
    fitted = FittedTexts.of(TEXTS[::3])
    known = fitted.encode(TEXTS[::3]).vectors
    new = fitted.encode(["red cup of clay for cooks", "zyx qwv"])
    assert new.present.tolist() == [True, False]
    nearest = TEXTS[::3][int(np.argmax(known @ new.vectors[0]))]
    assert "red cup" in nearest


def test_a_catalogue_without_words_cannot_be_fitted_to() -> None:
    with pytest.raises(DataError, match="hold no words"):
        FittedTexts.of(["", "--"])


def test_pictures_of_the_catalogue_get_their_own_vectors(finished: Finished, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    paths = [*sorted((finished.shop / "images").iterdir())[:24], None, tmp_path / "broken.jpg"]
    encoder, fitted = ColourGradient(), FittedImages.of(paths)
    with decoders() as pool:
        described = read_block(paths, encoder, pool).vectors
    vectors = encoder.settle(described, described.any(axis=1))
    expected = Modality(vectors, vectors.any(axis=1))
    again = FittedImages.from_arrays(fitted.arrays()).encode(paths)
    assert again.present.tolist() == expected.present.tolist()
    np.testing.assert_allclose(again.vectors, expected.vectors, atol=1e-5)
    assert same_directions(expected, again)
    assert not same_directions(expected, fitted.encode([*paths[1:], None]))


def test_a_single_picture_is_not_fitted_to_itself(finished: Finished) -> None:
    paths = sorted((finished.shop / "images").iterdir())
    fitted = FittedImages.of(paths[:20])
    new, others = fitted.encode(paths[20:21]), fitted.encode(paths[20:23])
    assert new.present.all()
    np.testing.assert_allclose(new.vectors[0], others.vectors[0], atol=1e-6)


def test_no_pictures_at_all_describe_nothing() -> None:
    assert not FittedImages.of([None]).encode([None, None]).present.any()
