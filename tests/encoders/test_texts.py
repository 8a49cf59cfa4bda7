"""Vectors of texts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alnico.encoders.texts import TEXT_WIDTH, encode_texts

TENTS = ["a tent for camping", "camping tent, large", "tent and camping stove"]
CAKES = ["baking tin for cake", "cake and baking dish", "large cake, baking"]


def test_texts_with_common_words_are_near() -> None:
    vectors = encode_texts(TENTS + CAKES).vectors
    cosines = vectors @ vectors.T
    same = np.kron(np.eye(2), np.ones((3, 3))).astype(bool)
    assert cosines[same].min() > cosines[~same].max()
    assert cosines[~same].mean() < 0


def test_present_rows_have_length_one() -> None:
    assert np.linalg.norm(encode_texts(TENTS + CAKES).vectors, axis=1) == pytest.approx(1, abs=1e-5)


def test_texts_without_a_word_are_absent_zero_rows() -> None:
    modality = encode_texts(["", *TENTS, "  ... !", *CAKES])
    assert modality.present.tolist() == [False, True, True, True, False, True, True, True]
    assert not modality.vectors[[0, 4]].any()


def test_width_follows_the_number_of_texts() -> None:
    # Six texts span six directions at most; 400 different ones would span more than is kept.
    assert encode_texts(TENTS + CAKES).width == 6
    many = [f"word{number} word{number % 7} word{number % 11}" for number in range(400)]
    assert encode_texts(many).width == TEXT_WIDTH


def test_single_text_and_no_text() -> None:
    alone = encode_texts(["only one", ""])
    assert alone.present.tolist() == [True, False]
    assert alone.width == 1
    nothing = encode_texts(["", ""])
    assert not nothing.present.any()
    assert len(encode_texts([]).present) == 0


def test_two_texts_that_differ_look_in_opposite_directions() -> None:
    # Of two rows, each minus their mean is the other's negative.
    vectors = encode_texts(["red tent", "blue tent"]).vectors
    assert vectors[0] @ vectors[1] == pytest.approx(-1, abs=1e-5)


def test_equal_texts_say_nothing() -> None:
    assert not encode_texts(["same words"] * 4).present.any()


def test_letters_of_any_script_and_case_count() -> None:
    vectors = encode_texts(
        ["Чайник для кухни", "чайник КУХНИ", "Fahrrad für Städte", "fahrrad FÜR städte"]
    ).vectors
    cosines = vectors @ vectors.T
    assert cosines[0, 1] > 0.5
    assert cosines[2, 3] > 0.5
    assert cosines[0, 2] < 0


def test_text_whose_words_are_all_its_own_is_present_and_near_nothing() -> None:
    modality = encode_texts([*TENTS, "zzyzx quux"])
    assert modality.present.all()
    assert (modality.vectors[:3] @ modality.vectors[3]).max() < 0


def test_same_texts_give_the_same_bits() -> None:
    many = [f"w{n % 13} w{n % 7} w{n % 5} w{n % 3} w{n}" for n in range(300)]
    assert encode_texts(many).vectors.tobytes() == encode_texts(many).vectors.tobytes()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=12))
def test_any_text_gives_finite_vectors(texts: list[str]) -> None:
    modality = encode_texts(texts)
    assert np.isfinite(modality.vectors).all()
    assert np.array_equal(modality.present, modality.vectors.any(axis=1))
