"""`alnico evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from alnico.cli.output import number, print_json, print_table


def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show the measures of a finished run, overall and by group, from what its one test stored."""
    from alnico.experiment.folder import open_run

    opened = open_run(run)
    result = opened.result
    if json:
        print_json({"run": str(run), "label": opened.label, **result})
        return
    print(f"{opened.label} on {opened.record['dataset']['name']}, mask: {opened.spec.evaluation.mask}")
    print_table(
        ["measure", "valid", "test"],
        [[name, number(result["valid"].get(name)), number(value)] for name, value in result["test"].items()],
    )
    print()
    print_table(
        ["group", "users", "targets", "recall@20", "ndcg@20"],
        [
            [name, part["users"], part["targets"], number(part.get("recall@20")), number(part.get("ndcg@20"))]
            for name, part in result["slices"].items()
        ],
    )
    exposure = result["exposure"]
    print()
    print(
        f"lists of {exposure['cutoff']}: coverage {exposure['coverage']:.3f}, mean popularity "
        f"{exposure['mean_popularity']:.1f}, Gini {exposure['gini']:.3f}, long-tail share {exposure['tail_share']:.3f}"
    )
    if "routing" in result:
        routing = result["routing"]
        shares = ", ".join(f"{name} {share:.2f}" for name, share in routing["reliance"].items())
        print(f"effective experts {routing['effective_experts']:.2f}; reliance: {shares}")
