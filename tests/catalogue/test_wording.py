"""Titles and descriptions."""

import re
from collections import Counter

import numpy as np

from alnico.catalogue.drawing import MANNERS, PALETTES, PATTERNS
from alnico.catalogue.silhouettes import SILHOUETTES
from alnico.catalogue.wording import PURPOSES, write
from alnico.randomness import rng

# fmt: off
COLOURS = {
    "red", "blue", "green", "yellow", "orange", "purple", "pink", "brown", "black", "white", "grey", "gray",
    "beige", "gold", "silver", "violet", "turquoise", "navy", "teal", "colour", "color", "dark", "bright",
    "pastel",
}
LOOKS = {"striped", "dotted", "checked", "pattern", "patterned", "round", "square", "drawn", "glossy"}
# fmt: on


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


def test_no_text_names_a_look() -> None:
    # Every template, filler and word comes up in 200 draws of each purpose.
    random = rng(0, "words")
    said = set()
    for purpose in range(len(PURPOSES)):
        for _ in range(200):
            wording = write(purpose, random)
            said |= words(" ".join(wording))
    shown = {word for palette in PALETTES for word in words(palette.name)}
    shown |= {name for name, _ in PATTERNS} | set(MANNERS) | {product.__name__ for product in SILHOUETTES}
    plurals = {f"{word}s" for word in shown}
    assert said & (shown | plurals | COLOURS | LOOKS) == set()


def test_no_phrase_belongs_to_two_purposes() -> None:
    phrases = [
        phrase
        for purpose in PURPOSES
        for phrase in {*purpose.occasions, *purpose.activities, *purpose.people}
    ]
    assert [phrase for phrase, count in Counter(phrases).items() if count > 1] == []
    assert "" not in phrases


def test_departments_hold_four_purposes_each() -> None:
    assert set(Counter(purpose.department for purpose in PURPOSES).values()) == {4}


def test_every_text_says_its_purpose_and_is_complete() -> None:
    random = rng(0, "texts")
    for number, purpose in enumerate(PURPOSES):
        wording = write(number, random)
        phrases = (*purpose.occasions, *purpose.activities, *purpose.people)
        text = f"{wording.title} {wording.description}"
        assert sum(phrase in text for phrase in phrases) >= 4
        assert wording.category == purpose.department
        assert "{" not in text


def test_texts_of_one_purpose_differ() -> None:
    random = rng(0, "texts")
    descriptions = {write(5, random).description for _ in range(50)}
    assert len(descriptions) == 50


def test_same_stream_writes_the_same_text() -> None:
    assert write(4, np.random.default_rng(1)) == write(4, np.random.default_rng(1))
