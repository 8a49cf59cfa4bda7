"""Bundles with more items than any data set here has."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from alnico.contracts import ScorerState
from alnico.data.features import ItemFeatures, Modality
from alnico.data.ids import IdMap
from alnico.data.interactions import Interactions
from alnico.data.neighbours import ItemNeighbours
from alnico.models import restore
from alnico.serving.bundle import Bundle
from alnico.serving.export import compared

JITTER = 0.5
"""Noise on a copied vector, in standard deviations of its table."""


def enlarged(bundle: Bundle, n_items: int, *, noise: bool, seed: int = 0) -> Bundle:
    """A MAGNET's bundle with so many items, and the measured recall of its two stages.

    Items are copies of its own, drawn at random, with noise on their identities and cues: as many clusters as it had
    items. With ``noise`` all identities and cues, of users too, are random numbers of the same spread instead, in which
    nothing is like anything. The router is scaled so that the items' part of a logit has a standard deviation of 1:
    which experts speak hangs on the pair. Cards, pictures and neighbours are left out.
    """
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, bundle.n_items, n_items)
    scorer = restore(_enlarged(bundle.scorer.state(), torch.from_numpy(rows), rng, noise))
    assert bundle.histories is not None
    copies = np.zeros(bundle.n_items, np.int64)
    copies[rows] = np.arange(n_items)
    train = bundle.histories
    return compared(
        replace(
            bundle,
            scorer=scorer,
            items=IdMap(np.arange(n_items), "item"),
            cards=type(bundle.cards)({}),
            content=ItemFeatures(
                n_items,
                {
                    name: Modality(own.vectors[rows], own.present[rows])
                    for name, own in bundle.content.items()
                },
            ),
            neighbours={name: _nobody(n_items) for name in bundle.neighbours},
            histories=Interactions(train.users, copies[train.items], train.n_users, n_items, train.times),
            takers=bundle.takers[rows],
            standing=bundle.standing[rows],
            pictures=(None,) * n_items,
        )
    )


def _enlarged(state: ScorerState, rows: Tensor, rng: np.random.Generator, noise: bool) -> ScorerState:
    tensors, n_known = dict(state.tensors), len(state.tensors["items.z"])
    for name, table in state.tensors.items():
        if name.startswith(("items.", "readers.")) and table.ndim and len(table) == n_known:
            tensors[name] = table[rows]
    for name in ("items.z", "items.cues", "users.z", "users.cues"):
        table = tensors[name]
        drawn = torch.from_numpy(rng.standard_normal(table.shape, dtype=np.float32)) * table.std()
        if noise:
            tensors[name] = drawn
        elif name.startswith("items."):
            tensors[name] = table + JITTER * drawn
    first = tensors["parameters.router.first.weight"]
    width = tensors["items.z"].shape[1]
    scale = 1 / (tensors["items.z"] @ first[:, -width:].T).std(0).mean()
    tensors["parameters.router.first.weight"] = scale * first
    return ScorerState(state.kind, tensors, state.settings)


def _nobody(n_items: int) -> ItemNeighbours:
    return ItemNeighbours(np.full((n_items, 1), -1, np.int32), np.zeros((n_items, 1), np.float32))
