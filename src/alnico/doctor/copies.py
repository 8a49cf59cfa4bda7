"""Items that are copies of each other, in groups."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from alnico.doctor.pictures import Prints, near_prints
from alnico.doctor.texts import near_texts, plain_text

Labels = NDArray[np.int64]
"""Per item the number of its group of copies, -1 for an item without a copy."""


def picture_copies(prints: Prints) -> tuple[Labels, Labels]:
    """Groups of equal files, and groups of pictures that look the same (equal files among them)."""
    rows = np.flatnonzero(prints.known)
    distinct, place = np.unique(prints.bits[rows], return_inverse=True)
    alike = np.full(len(prints.known), -1, np.int64)
    alike[rows] = _joined(len(distinct), near_prints(distinct))[place]
    return _groups(prints.files), _groups(alike)


def text_copies(texts: Sequence[str]) -> tuple[Labels, Labels]:
    """Groups of equal texts, and groups of texts that are nearly the same (equal ones among them)."""
    plain = [plain_text(text) for text in texts]
    numbers: dict[str, int] = {}
    equal = np.array([numbers.setdefault(text, len(numbers)) if text else -1 for text in plain], np.int64)
    joined = _joined(len(numbers), near_texts(list(numbers)))
    near = np.where(equal >= 0, joined[equal] if len(numbers) else -1, -1)
    return _groups(equal), _groups(near)


def members(labels: Labels) -> list[list[int]]:
    """The items of each group, the largest group first."""
    order = np.argsort(labels, kind="stable")
    order = order[labels[order] >= 0]
    cuts = np.flatnonzero(np.diff(labels[order])) + 1
    groups = [group.tolist() for group in np.split(order, cuts) if len(group)]
    return sorted(groups, key=lambda group: (-len(group), group))


def united(one: Labels, other: Labels) -> Labels:
    """Groups of items that either grouping puts together."""
    n = len(one)
    chains = [np.zeros((0, 2), np.int64)]
    for group in (*members(one), *members(other)):
        chains.append(np.stack([group[:-1], group[1:]], axis=1))
    return _groups(_joined(n, np.concatenate(chains)))


def _joined(n: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers of the groups that pairs join, one for each of n things."""
    edges = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    labels: NDArray[np.int64] = connected_components(edges, directed=False)[1].astype(np.int64)
    return labels


def _groups(labels: Labels) -> Labels:
    """The same with -1 for groups of one."""
    counts = np.bincount(labels[labels >= 0], minlength=labels.max(initial=-1) + 1)
    lonely = (labels < 0) | (counts[labels] < 2 if len(counts) else True)
    return np.where(lonely, -1, labels)
