"""What a text says, as a vector: hashed TF-IDF, reduced."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from alnico.data.features import Modality
from alnico.encoders.scaling import Floats, centred_rows, unit_rows

TEXT_ENCODER = "tfidf-svd"
TEXT_WIDTH = 128
"""Numbers per text at most; a small corpus gives fewer."""

_BUCKETS = 2**17
_SEED = 0
_ROUNDS = 5

TEXT_SETTINGS = {
    "buckets": _BUCKETS,
    "width": TEXT_WIDTH,
    "rounds": _ROUNDS,
    "seed": _SEED,
    "fields": ["title", "title", "description", "category"],
}
"""All that the vectors depend on besides the texts."""


class WeighedWords:
    """The built-in encoder of texts, see ``encode_texts``. It needs all texts at once."""

    name = TEXT_ENCODER
    version = 1
    settings: Mapping[str, Any] = TEXT_SETTINGS
    piecewise = False

    def words(self, title: str, category: str, description: str) -> str:
        """All words in any order; those of the title count twice."""
        return "\n".join((title, title, description, category)).strip()

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors [texts, width], zero where a text has no word."""
        return encode_texts(texts).vectors


def encode_texts(texts: Sequence[str]) -> Modality:
    """Vectors of these texts, shape [texts, width]; absent where a text has no word.

    Words are counted (hashed into 2**17 buckets), weighed by TF-IDF and reduced by a truncated singular value
    decomposition to TEXT_WIDTH numbers, or to the number of present texts where that is smaller. Present rows
    are centred and have length 1, so that unrelated texts have a cosine near 0.
    Source: Deerwester et al., Indexing by Latent Semantic Analysis, JASIS 41(6), 1990.
    """
    counts = word_counts(texts)
    present = np.diff(counts.indptr) > 0
    n_present = int(present.sum())
    width = max(1, min(TEXT_WIDTH, n_present))
    vectors = np.zeros((len(texts), width), np.float32)
    if n_present:
        used = counts[present][:, np.unique(counts.indices)]
        weighed = TfidfTransformer(sublinear_tf=True).fit_transform(used)
        width = min(width, weighed.shape[1])
        vectors[present, :width] = unit_rows(centred_rows(reduced(weighed, width)))
    return Modality(vectors, present & vectors.any(axis=1))


def word_counts(texts: Sequence[str]) -> csr_matrix:
    """How often each bucket of words occurs in each text, [texts, buckets]."""
    if not texts:
        return csr_matrix((0, _BUCKETS))
    counter = HashingVectorizer(
        n_features=_BUCKETS, token_pattern=r"(?u)\b\w+\b", norm=None, alternate_sign=False
    )
    return counter.transform(texts).tocsr()


def reduced(weighed: csr_matrix, width: int) -> Floats:
    """The rows in ``width`` numbers: left singular vectors times singular values."""
    if weighed.shape[1] <= width:
        whole: Floats = weighed.toarray()
        return whole
    # The matrices are thin: more threads gain little, and sums in one order give the same bits everywhere.
    with threadpool_limits(1, user_api="blas"):
        left, strengths, _ = randomized_svd(weighed, width, n_iter=_ROUNDS, random_state=_SEED)
    reduced: Floats = left * strengths
    return reduced
