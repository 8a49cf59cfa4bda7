"""Speed and memory, as ratios within one run: ``python -m benchmarks.run [SECTION ...] [--write FOLDER]``.

Each row names a work, what it takes here, what it stands against (research code, the time of moving its bytes, the
yardstick, dot products), and what it must reach. Times are medians of works called in turn. With ``--write`` each
section's table takes its place in FOLDER/measured.md, and the growth with size is drawn to FOLDER/growth.svg.
"""

import argparse
import platform
from collections.abc import Callable
from pathlib import Path

import numba
import torch

import alnico
from benchmarks import building, field, forecasts, kernels, ranking, serving, training
from benchmarks.picture import draw_growth
from benchmarks.timing import Machine, Row, measure_machine, printed
from benchmarks.worlds import World, baby


def _sections(world: World, machine: Machine, folder: Path | None) -> dict[str, Callable[[], list[Row]]]:
    def growth() -> list[Row]:
        rows, measured = building.growth()
        for fanout in (0, 20):
            exponent = building.steepest(measured, fanout)
            work = f"steepest growth, fanout = {fanout or 'all'}: time ~ entries read to the power of"
            rows.append(Row(work, None, {}, "at most 1 (tolerance .1)", exponent <= 1.1, f"{exponent:.2f}"))
        if folder is not None:
            draw_growth(measured, folder / "growth.svg")
        return rows

    return {
        "propagation": lambda: kernels.propagation(world, machine),
        "triples": lambda: kernels.triples(world),
        "lightgcn": lambda: training.lightgcn(world),
        "epochs": lambda: training.epochs(world),
        "wide": lambda: training.wide_features(world),
        "precision": lambda: training.precision(world),
        "fanouts": lambda: training.fanouts(world),
        "sweeps": lambda: training.widths_and_experts(world),
        "field": field.field,
        "ranking": lambda: ranking.ranking(world, machine),
        "validation": lambda: training.validation(world),
        "memory": building.memory,
        "neighbours": building.neighbours,
        "induced": building.induced,
        "growth": growth,
        "serving": serving.serving,
        "forecasts": forecasts.forecasts,
        "compiling": lambda: forecasts.compiling(world),
    }


def main() -> None:
    """Measure the sections asked for (all) and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION")
    parser.add_argument("--write", type=Path, metavar="FOLDER")
    given = parser.parse_args()
    world, machine = baby(), measure_machine()
    sections = _sections(world, machine, given.write)
    unknown = set(given.sections) - set(sections)
    if unknown:
        parser.error(f"unknown section {sorted(unknown)[0]!r}; there are {', '.join(sections)}")
    about = (
        f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, numba "
        f"{numba.__version__}, alnico {alnico.__version__}; copy {machine.bandwidth / 1e9:.1f} GB/s, matrix products "
        f"{machine.rate / 1e9:.0f} GFLOP/s; data: {world.name}, {len(world.train):,} training pairs."
    )
    print(about, flush=True)
    for name, work in sections.items():
        if given.sections and name not in given.sections:
            continue
        table = printed(work())
        print(f"\n{name}\n{table}", flush=True)
        if given.write is not None:
            _put(given.write / "measured.md", list(sections), name, f"{about}\n\n{table}")


def _put(path: Path, order: list[str], name: str, text: str) -> None:
    """Give the section of this name this text; the others stay, all in this order."""
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    parts = dict(part.split("\n", 1) for part in old.split("\n## ")[1:])
    parts[name] = f"\n{text}\n"
    whole = "".join(f"\n## {known}\n{parts[known].rstrip()}\n" for known in order if known in parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"# Measured\n\nWritten by `make bench WRITE=FOLDER`, section by section.\n{whole}", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
