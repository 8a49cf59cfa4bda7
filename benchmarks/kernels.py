"""Propagation and sampling by themselves."""

import numpy as np
import torch

from alnico.graphs.augment import induce_edges
from alnico.graphs.content import nearest_neighbours
from alnico.graphs.graph import symmetric_graph
from alnico.nn.propagation import light_propagate, light_propagate_rows
from alnico.training.batches import BatchSource
from benchmarks import naive
from benchmarks.timing import Machine, Row, once, timed
from benchmarks.worlds import World, random_pairs

WIDTH, LAYERS = 64, 2


def propagation(world: World, machine: Machine) -> list[Row]:
    """Two hops over the augmented graph (k = 20, r = 150), forward and backward."""
    train = world.train
    lists = {name: nearest_neighbours(modality, 20) for name, modality in world.data.features.items()}
    edges = induce_edges(train, world.data.features, lists, 150)
    users, items = np.concatenate([train.users, edges.users]), np.concatenate([train.items, edges.items])
    graph = symmetric_graph(users, items, train.n_users, train.n_items)
    plain = naive.coo_of(users, items, train.n_users, train.n_items)
    nodes = train.n_users + train.n_items
    table, grad = torch.rand(nodes, WIDTH, requires_grad=True), torch.rand(nodes, WIDTH)
    rng = np.random.default_rng(0)
    some = rng.choice(len(train), 1024, replace=False)
    batch = np.concatenate(
        [
            train.users[some],
            train.items[some] + train.n_users,
            rng.integers(0, train.n_items, 1024) + train.n_users,
        ]
    )
    rows = torch.from_numpy(np.unique(batch))
    part = torch.rand(len(rows), WIDTH)

    def fast() -> None:
        light_propagate([graph] * LAYERS, table).backward(grad)
        table.grad = None

    def for_a_batch() -> None:
        light_propagate_rows([graph] * LAYERS, table, rows)[0].backward(part)
        table.grad = None

    def slow() -> None:
        naive.propagate(plain, table, LAYERS).backward(grad)
        table.grad = None

    # Per stored value its number, its column and the row it points at; per row one write; each hop there and back.
    moved = 2 * LAYERS * (graph.n_entries * (4 + 4 + 4 * WIDTH) + nodes * 4 * WIDTH)
    least = 2 * LAYERS * (graph.n_entries * (4 + 4) + 2 * nodes * 4 * WIDTH)
    ours, batched, theirs = timed([fast, for_a_batch, slow], 5)
    floor = moved / machine.bandwidth
    ratios = {"naive": theirs / ours, "the time of moving its bytes": ours / floor}
    note = f"each table read once: {ours * machine.bandwidth / least:.0f} x that floor"
    work = f"propagation over G_UIG, {graph.n_entries:,} entries, d = 64, L = 2, there and back"
    return [
        Row(
            work,
            ours,
            ratios,
            "3 x naive; at most 2.5 x bytes",
            theirs / ours >= 3 and ours / floor <= 2.5,
            note,
        ),
        Row(
            f"the same for the {len(rows):,} nodes of a batch of 1024",
            batched,
            {"all nodes": batched / ours, "naive": theirs / batched},
        ),
    ]


def triples(world: World) -> list[Row]:
    """An epoch of (user, positive, negative)."""
    rows = []
    for name, train in (
        (world.name, world.train),
        ("10 M random pairs", random_pairs(1_640_000, 64_750, 10_000_000)),
    ):
        source = BatchSource(train, 2048)
        draw = lambda source=source: list(source.epoch(np.random.default_rng(0), torch.device("cpu")))  # noqa: E731
        seconds = timed([draw], 3)[0]
        pace = len(train) / seconds
        ratios = {}
        if len(train) < 1_000_000:
            ratios["naive"] = (
                once(lambda train=train: naive.triples(train, np.random.default_rng(0))) / seconds
            )
        rows.append(
            Row(
                f"triples, {name}, {len(train):,} pairs",
                seconds,
                ratios,
                "5 M a second",
                pace >= 5e6,
                f"{pace / 1e6:.1f} M a second",
            )
        )
    return rows
