"""Where a model puts its users and items: a map of the plane, and numbers on how well labels hold together."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors

Vectors = Float[NDArray[np.float32], "nodes width"]
Labels = Int[NDArray[np.int64], " nodes"]

MOST_NODES = 3_000
PRINCIPAL = 50
PERPLEXITY = 30
NEAREST = 10
OTHER = "other"


def drawn(nodes: NDArray[np.int64], rng: np.random.Generator, most: int = MOST_NODES) -> NDArray[np.int64]:
    """At most ``most`` of these nodes, drawn at random, in ascending order."""
    return np.sort(rng.permutation(nodes)[:most])


def plane(vectors: Vectors, seed: int = 0) -> Float[NDArray[np.float64], "nodes 2"]:
    """A map of these vectors: t-SNE of their first 50 principal components, perplexity 30.

    With fewer than 91 nodes the perplexity is a third of them. Needs at least four nodes. Distances between far
    groups mean nothing.
    """
    n = len(vectors)
    components = PCA(min(PRINCIPAL, n, vectors.shape[1]), random_state=seed)
    principal = components.fit_transform(vectors.astype(np.float64))
    flat = TSNE(perplexity=min(PERPLEXITY, (n - 1) / 3), init="pca", random_state=seed).fit_transform(
        principal
    )
    return np.asarray(flat, dtype=np.float64)


def silhouette(vectors: Vectors, labels: Labels) -> float | None:
    """How much nearer nodes lie to their own label than to the next, from -1 to 1, by Euclidean distance.

    Taken in the vectors' own space, not in the plane. None unless there are at least two labels, and fewer than nodes.
    """
    if not 1 < len(np.unique(labels)) < len(labels):
        return None
    return float(silhouette_score(vectors, labels))


def purity(vectors: Vectors, labels: Labels, k: int = NEAREST) -> float | None:
    """The mean share of a node's k nearest others that bear its label; None with fewer than two nodes."""
    k = min(k, len(vectors) - 1)
    if k < 1:
        return None
    near = NearestNeighbors(n_neighbors=k).fit(vectors).kneighbors(return_distance=False)
    return float((labels[near] == labels[:, None]).mean())


def chance_purity(labels: Labels) -> float:
    """The purity that labels dealt out at random would have: the sum of squared shares."""
    _, counts = np.unique(labels, return_counts=True)
    return float(((counts / counts.sum()) ** 2).sum())


def clusters(vectors: Vectors, n: int, seed: int = 0) -> Labels:
    """Labels of n groups by k-means, largest group first."""
    found = KMeans(min(n, len(vectors)), n_init=4, random_state=seed).fit(vectors).labels_
    order = np.argsort(-np.bincount(found), kind="stable")
    labels: Labels = np.argsort(order)[found].astype(np.int64)
    return labels


def leading_categories(categories: Sequence[str], most: int) -> tuple[Labels, list[str]] | None:
    """A label per node for its first-named category (``a|b`` is a), most frequent first, and the labels' names.

    Rare and unknown ones are ``other``, the last label. None where fewer than two categories are known.
    """
    firsts = [category.split("|")[0].strip() for category in categories]
    counts = Counter(first for first in firsts if first)
    names = [name for name, _ in counts.most_common(most)]
    if len(names) < 2:
        return None
    places = {name: place for place, name in enumerate(names)}
    labels = np.array([places.get(first, len(names)) for first in firsts], dtype=np.int64)
    return labels, [*names, OTHER] if (labels == len(names)).any() else names
