"""Speed, as ratios within one run: what the kernels cost against the floor and against research code.

Each row names the work, the time of the fast version, of a plain version written the way research code does it, and
the time in which this machine merely moves the bytes (or does the multiplications) that the work cannot avoid. Random
graphs of Baby's size; no data set is needed. Times are medians of several repeats after a warm-up.
"""

import platform
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch

from alnico.data.interactions import Interactions
from alnico.graphs.graph import symmetric_graph
from alnico.kernels.propagation import multiply
from alnico.kernels.routed_ranking import routed_scores, routed_scores_reference
from alnico.kernels.top_items import top_items, top_items_reference
from alnico.training.batches import BatchSource

USERS, ITEMS, WIDTH = 19_445, 7_050, 64
EXPERTS, KEPT, USER_BLOCK = 9, 4, 512


def timed(work: Callable[[], object], repeats: int = 5) -> float:
    """Median seconds of ``work`` after one warm-up."""
    work()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return median(seconds)


def copy_bandwidth() -> float:
    """Bytes read and written per second by a large copy."""
    source = torch.rand(2**26)
    target = torch.empty_like(source)
    return 2 * source.nbytes / timed(lambda: target.copy_(source))


def matrix_rate() -> float:
    """Floating-point operations per second of a large matrix product."""
    left = torch.rand(2048, 2048)
    return 2 * 2048**3 / timed(lambda: left @ left)


def random_pairs(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Distinct user-item pairs, items with a long tail."""
    items = np.minimum(rng.exponential(ITEMS / 5, 2 * n).astype(np.int64), ITEMS - 1)
    keys = rng.permutation(np.unique(rng.integers(0, USERS, 2 * n) * ITEMS + items))[:n]
    return keys // ITEMS, keys % ITEMS


def propagation(n_edges: int, bandwidth: float, rng: np.random.Generator) -> tuple[str, float, float, float]:
    """One hop forward and backward: kernel, COO tensors through autograd, and the bytes at copy speed."""
    users, items = random_pairs(n_edges, rng)
    graph = symmetric_graph(users, items, USERS, ITEMS)
    table = torch.rand(USERS + ITEMS, WIDTH, requires_grad=True)
    grad = torch.rand(USERS + ITEMS, WIDTH)
    rows = torch.repeat_interleave(torch.arange(USERS + ITEMS), graph.matrix.starts.diff())
    places = torch.stack([rows, graph.matrix.columns.long()])
    coo = torch.sparse_coo_tensor(
        places, graph.matrix.values, graph.shape, is_coalesced=True, check_invariants=False
    )

    def fast() -> None:
        multiply(graph.matrix, table, graph.transposed).backward(grad)

    def plain() -> None:
        torch.sparse.mm(coo, table).backward(grad)

    # Per stored value its number, its column and the row it points at; per row one write; twice.
    moved = 2 * (graph.n_entries * (4 + 4 + 4 * WIDTH) + (USERS + ITEMS) * 4 * WIDTH)
    return f"one hop and back, {graph.n_entries:,} entries", timed(fast), timed(plain), moved / bandwidth


def ranking(rate: float) -> tuple[str, float, float, float]:
    """Routed scores of a block of users over all items: kernel, users x items x experts tensors, the products alone."""
    users, items = torch.rand(EXPERTS, USER_BLOCK, WIDTH), torch.rand(EXPERTS, ITEMS, WIDTH)
    left, right = torch.rand(USER_BLOCK, EXPERTS), torch.rand(ITEMS, EXPERTS)

    def fast() -> None:
        routed_scores(users, items, left, right, KEPT)

    def plain() -> None:
        for start in range(0, USER_BLOCK, 64):
            block = slice(start, start + 64)
            logits = left[block][:, None] + right
            routed_scores_reference(users[:, block], items, logits, KEPT)

    operations = 2 * EXPERTS * USER_BLOCK * ITEMS * WIDTH
    name = f"routed scores, {USER_BLOCK} users x {ITEMS:,} items, {EXPERTS} experts"
    return name, timed(fast, 3), timed(plain, 1), operations / rate


def listing(bandwidth: float) -> tuple[str, float, float, float]:
    """The 50 best of each row: kernel, full stable sort, one reading of the scores."""
    scores, offsets, seen = torch.rand(2048, ITEMS), np.zeros(2049, np.int64), np.zeros(0, np.int64)
    fast = timed(lambda: top_items(scores, offsets, seen, 50))
    plain = timed(lambda: top_items_reference(scores, offsets, seen, 50), 2)
    return f"50 best of {ITEMS:,}, 2,048 users", fast, plain, scores.nbytes / bandwidth


def sampling(bandwidth: float, rng: np.random.Generator) -> tuple[str, float, float, float]:
    """An epoch of triples: vectorised, drawn one by one with rejection, and writing the three columns."""
    users, items = random_pairs(118_551, rng)
    train = Interactions(users, items, USERS, ITEMS)
    source = BatchSource(train, 2048)
    taken = set(train.pair_keys.tolist())

    def one_by_one() -> None:
        for user in train.users.tolist():
            item = int(rng.integers(ITEMS))
            while user * ITEMS + item in taken:
                item = int(rng.integers(ITEMS))

    fast = timed(lambda: list(source.epoch(np.random.default_rng(0), torch.device("cpu"))))
    return "an epoch of 118,551 triples", fast, timed(one_by_one, 1), 3 * 8 * len(train) / bandwidth


def main() -> None:
    """Print one table."""
    rng = np.random.default_rng(0)
    bandwidth, rate = copy_bandwidth(), matrix_rate()
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"copy {bandwidth / 1e9:.1f} GB/s, matrix products {rate / 1e9:.0f} GFLOP/s\n")
    rows = [
        propagation(118_551, bandwidth, rng),
        propagation(500_000, bandwidth, rng),
        ranking(rate),
        listing(bandwidth),
        sampling(bandwidth, rng),
    ]
    print(f"{'work':58s} {'ours ms':>9s} {'plain ms':>9s} {'plain/ours':>10s} {'ours/floor':>10s}")
    for name, ours, plain, floor in rows:
        print(f"{name:58s} {ours * 1e3:9.1f} {plain * 1e3:9.1f} {plain / ours:10.1f} {ours / floor:10.1f}")


if __name__ == "__main__":
    main()
