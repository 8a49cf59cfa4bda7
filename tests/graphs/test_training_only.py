"""Graphs come from the training part alone."""

import numpy as np
import torch

import worlds
from alnico.contracts import TrainingData
from alnico.data.split import Split
from alnico.models.lightgcn import LightGcn
from alnico.models.magnet.model import Magnet


def splits_that_share_their_training_part():
    """Three splits that differ only in what is held out."""
    world = worlds.scattered(seed=8)
    train = world.split.train
    taken = set(train.pair_keys.tolist())
    free = [(u, i) for u in range(12) for i in range(15) if u * 15 + i not in taken]
    valid, test = worlds.targets(free[::6]), worlds.targets(free[3::6])
    empty = worlds.targets([])
    parts = [(valid, test), (test, valid), (empty, empty)]
    return world, [Split(train, one, other, {"rule": "given"}) for one, other in parts]


def test_changing_held_out_rows_changes_no_graph():
    world, splits = splits_that_share_their_training_part()
    assert len({split.fingerprint for split in splits}) == 3
    found = []
    for split in splits:
        data = TrainingData(split.train, world.features)
        config = Magnet.Config(preset="projected", width=4, neighbours=3, induced=5)
        magnet = Magnet.build(config, data, np.random.default_rng(0))
        graphs = [magnet.observed, magnet.augmented, *(cue.pool for cue in magnet.cues.children())]
        linked = Magnet.build(Magnet.Config(width=4, neighbours=8), data, np.random.default_rng(0))
        assert linked.augmented.n_entries > linked.observed.n_entries
        graphs += [linked.augmented, *(cue.pool for cue in linked.cues.children())]
        graphs.append(LightGcn.build(LightGcn.Config(width=4), data, np.random.default_rng(0)).graph)
        edges = [magnet.induced.users, magnet.induced.items, magnet.induced.visibility]
        found.append((graphs, edges))
    for graphs, edges in found[1:]:
        for graph, first in zip(graphs, found[0][0], strict=True):
            assert torch.equal(graph.matrix.starts, first.matrix.starts)
            assert torch.equal(graph.matrix.columns, first.matrix.columns)
            assert torch.equal(graph.matrix.values, first.matrix.values)
        for mine, first_edges in zip(edges, found[0][1], strict=True):
            np.testing.assert_array_equal(mine, first_edges)


def test_training_data_has_no_room_for_held_out_rows():
    assert set(TrainingData.__dataclass_fields__) == {"interactions", "features", "neighbours", "graphs"}
