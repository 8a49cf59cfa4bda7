"""Vectors made comparable: unrelated rows have a cosine near 0."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def centred_rows(rows: Floats) -> Floats:
    """Rows minus their mean; a single row stays, for it would vanish."""
    if len(rows) < 2:
        return rows
    centred: Floats = rows - rows.mean(axis=0, dtype=np.float64)
    return centred


def unit_rows(rows: Floats) -> NDArray[np.float32]:
    """Rows divided by their length; rows that are zero but for rounding become exactly zero."""
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return np.where(lengths > 1e-5, rows / np.maximum(lengths, 1e-5), 0).astype(np.float32)
