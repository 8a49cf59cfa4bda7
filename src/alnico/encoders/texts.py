"""What a text says, as a vector: hashed TF-IDF, reduced."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from alnico.data.features import Modality
from alnico.encoders.scaling import Floats, centred_rows, unit_rows

TEXT_ENCODER = "tfidf-svd"
TEXT_VERSION = 1
TEXT_WIDTH = 128
"""Numbers per text at most; a small corpus gives fewer."""

_BUCKETS = 2**18
_SEED = 0
_ROUNDS = 5

TEXT_SETTINGS = {"buckets": _BUCKETS, "width": TEXT_WIDTH, "rounds": _ROUNDS, "seed": _SEED}
"""All that the vectors depend on besides the texts."""


def encode_texts(texts: Sequence[str]) -> Modality:
    """Vectors of these texts, shape [texts, width]; absent where a text has no word.

    Words are counted (hashed into 2**18 buckets), weighed by TF-IDF and reduced by a
    truncated singular value decomposition (latent semantic analysis, Deerwester et al., 1990) to TEXT_WIDTH
    numbers, or to one less than the number of present texts where that is smaller. Present rows are centred
    and have length 1.
    """
    counts = _counts(texts)
    present = np.diff(counts.indptr) > 0
    n_present = int(present.sum())
    width = max(1, min(TEXT_WIDTH, n_present - 1))
    vectors = np.zeros((len(texts), width), np.float32)
    if n_present:
        weighed = TfidfTransformer(sublinear_tf=True).fit_transform(_shared_buckets(counts[present]))
        width = min(width, weighed.shape[1])
        vectors[present, :width] = unit_rows(centred_rows(_reduced(weighed, width)))
    return Modality(vectors, present & vectors.any(axis=1))


def _counts(texts: Sequence[str]) -> csr_matrix:
    if not texts:
        return csr_matrix((0, _BUCKETS))
    counter = HashingVectorizer(
        n_features=_BUCKETS, token_pattern=r"(?u)\b\w+\b", norm=None, alternate_sign=False
    )
    return counter.transform(texts).tocsr()


def _shared_buckets(counts: csr_matrix) -> csr_matrix:
    """Only the buckets that two texts share, where there are any: others cannot make two texts alike."""
    frequency = np.bincount(counts.indices, minlength=counts.shape[1])
    shared = np.flatnonzero(frequency > 1)
    # A text whose words are all its own keeps them, or it would seem to say nothing.
    lonely = np.diff(counts[:, shared].indptr) == 0
    kept = np.union1d(shared, counts[lonely].indices)
    return counts[:, kept]


def _reduced(weighed: csr_matrix, width: int) -> Floats:
    if weighed.shape[1] <= width:
        whole: Floats = weighed.toarray()
        return whole
    svd = TruncatedSVD(width, n_iter=_ROUNDS, random_state=_SEED)
    # The matrices are tall and thin: more threads gain little, and sums in one order give the same bits
    # everywhere.
    with threadpool_limits(1, user_api="blas"):
        reduced: Floats = svd.fit_transform(weighed)
    return reduced
