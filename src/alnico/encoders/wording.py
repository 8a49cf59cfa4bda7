"""Vectors of the words that a data set's item cards hold."""

from dataclasses import replace

import polars as pl

from alnico.data.dataset import Dataset
from alnico.data.features import ItemFeatures
from alnico.encoders.content import has_words, text_parts
from alnico.encoders.texts import TEXT_ENCODER, WeighedWords, encode_texts


def with_text_vectors(dataset: Dataset) -> tuple[Dataset, list[str]]:
    """The data set with vectors of its items' words by the built-in encoder, where it has words and no such vectors;
    and what to tell people of it."""
    told = text_parts(pl.DataFrame(dataset.cards.columns)) if dataset.cards.columns else []
    if "text" in dataset.features or not any(has_words(parts) for parts in told):
        return dataset, []
    vectors = encode_texts([WeighedWords().words(*parts) for parts in told])
    features = ItemFeatures(dataset.n_items, {**dataset.features.modalities, "text": vectors})
    notice = f"the text vectors were made here, from the items' words, by {TEXT_ENCODER}; --text none leaves them out"
    return replace(dataset, features=features), [notice]
