"""`alnico compare`."""

from pathlib import Path
from typing import Annotated

import typer

from alnico.cli.output import print_json


def compare(
    first: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    second: Annotated[Path, typer.Argument(help="Folder of another run on the same data and split.")],
    metric: Annotated[str, typer.Option(help="Measure to compare.")] = "recall@20",
    test: Annotated[str, typer.Option(help="wilcoxon, permutation or t.")] = "wilcoxon",
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Compare two runs user by user: difference, interval, paired test, smallest detectable effect."""
    from dataclasses import asdict

    from alnico.experiment.comparing import compare_runs
    from alnico.experiment.folder import finite, open_run

    runs = open_run(first), open_run(second)
    told = compare_runs(*runs, metric, test)
    if json:
        print_json(finite({"first": str(first), "second": str(second), **asdict(told)}))
        return
    low, high = told.interval
    print(
        f"{metric} on {told.n_users} test users: {runs[0].label} {told.mean_a:.4f}, {runs[1].label} {told.mean_b:.4f}"
    )
    print(
        f"difference {told.difference:+.4f} ({told.relative_gain:+.1%}), "
        f"{told.level:.0%} interval {low:+.4f} to {high:+.4f}"
    )
    print(f"paired {told.test} test: p = {told.p_value:.3g}; effect size {told.effect_size:+.3f}")
    print(f"users better {told.wins}, equal {told.ties}, worse {told.losses}")
    print(
        f"smallest difference that this many users can show (80 % power): {told.smallest_detectable_effect:.4f}"
    )
