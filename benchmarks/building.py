"""Neighbours and induced edges, what they take and how much memory; memory of training; growth with size."""

import math

from alnico.graphs.content import nearest_neighbours, unit_rows
from benchmarks.apart import ELECTRONICS, run_apart
from benchmarks.timing import Row, timed
from benchmarks.worlds import vectors

GROWTH_SIZES = (100_000, 1_000_000, 10_000_000)


def neighbours() -> list[Row]:
    """63,001 x 384 random vectors, top 30, beside faiss' flat index, and approximately."""
    import faiss

    modality, k = vectors(ELECTRONICS[1], image=384)["image"], 30

    def flat() -> None:
        index = faiss.IndexFlatIP(modality.width)
        unit = unit_rows(modality.vectors)
        index.add(unit)
        index.search(unit, k + 1)

    nearest_neighbours(vectors(500, image=384)["image"], k)
    exact, theirs = timed([lambda: nearest_neighbours(modality, k), flat], 1, warm=False)
    above = run_apart("exact_neighbours")["above"]
    found = []
    approximate = timed(
        [lambda: found.append(nearest_neighbours(modality, k, search="approximate"))], 1, warm=False
    )[0]
    name = f"neighbours, {ELECTRONICS[1]:,} x 384, top {k}"
    return [
        Row(
            f"{name}, exact",
            exact,
            {"faiss flat": exact / theirs},
            "at most 1 x faiss; under 1 GB",
            exact <= theirs and above < 1e9,
            f"{above / 1e9:.2f} GB above the input",
        ),
        Row(
            f"{name}, approximate",
            approximate,
            {"exact": approximate / exact},
            note=f"recall {found[0].recall:.3f} (random vectors are the worst case)",
        ),
    ]


def induced() -> list[Row]:
    """Induced edges at the size of Electronics."""
    told = run_apart("electronics")
    return [
        Row(
            f"induced edges, {ELECTRONICS[0]:,} x {ELECTRONICS[1]:,}, {told['pairs']:,} pairs, 2 x 384-d, r = 200",
            told["induce"],
            target="under 4 GB",
            reached=told["peak"] < 4e9,
            note=f"{told['edges']:,} edges; neighbours before that {told['search']:.0f} s; "
            f"peak of the process {told['peak'] / 1e9:.2f} GB, {told['held'] / 1e9:.2f} GB of it held before",
        )
    ]


def memory() -> list[Row]:
    """Peak memory of training and evaluating MAGNET, dual view, on Baby."""
    rows = []
    for name, settings in (("paper, r = 150", 'preset = "paper"'), ("projected", 'preset = "projected"')):
        peak = run_apart("training_peak", settings)["peak"]
        rows.append(
            Row(
                f"peak memory of alnico train, MAGNET dual view, {name}",
                None,
                target="under 1.5 GB",
                reached=peak < 1.5e9,
                note=f"{peak / 1e9:.2f} GB",
            )
        )
    return rows


def growth() -> tuple[list[Row], list[dict[str, float]]]:
    """Time per epoch and memory from 10^5 to 10^7 interactions, and what was measured, for a picture."""
    rows, measured = [], []
    for fanout in (0, 20):
        before = None
        for size in GROWTH_SIZES:
            told = run_apart("growth", size, fanout)
            measured.append({**told, "fanout": fanout})
            per_entry = told["epoch"] / told["entries"]
            ratios = {} if before is None else {"the time per entry one size below": per_entry / before}
            before = per_entry
            rows.append(
                Row(
                    f"MAGNET (paper) epoch, {told['pairs']:,} random pairs, r = 20, fanout = {fanout or 'all'}",
                    told["epoch"],
                    ratios,
                    note=f"{told['entries']:.2e} entries read, {per_entry * 1e9:.2f} ns each; step "
                    f"{told['step']:.3f} s; peak {told['peak'] / 1e9:.2f} GB; built in {told['build']:.0f} s",
                )
            )
    return rows, measured


def steepest(measured: list[dict[str, float]], fanout: int) -> float:
    """Largest exponent of time against entries read from one size to the next."""
    own = [point for point in measured if point["fanout"] == fanout]
    entries, epochs = ([math.log(point[name]) for point in own] for name in ("entries", "epoch"))
    steps = range(1, len(own))
    return max((epochs[i] - epochs[i - 1]) / (entries[i] - entries[i - 1]) for i in steps)
