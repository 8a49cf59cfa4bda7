"""`alnico report`."""

from pathlib import Path
from typing import Annotated

import typer

from alnico.cli.output import print_json


def report(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders of finished runs; those on the same data are compared.")
    ],
    to: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    title: Annotated[str | None, typer.Option(help="Its title.")] = None,
    metric: Annotated[str, typer.Option(help="Measure by which runs are compared.")] = "ndcg@20",
    truth: Annotated[
        Path | None, typer.Option(help="Shop made by `alnico catalogue`: shows routing by true kind of user.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the outcome of the comparisons as JSON.")
    ] = False,
) -> None:
    """Write one self-contained page about runs: measures, tests, training, routing, and explained
    recommendations.

    The page needs no network and no other file. Where another model is not significantly worse than MAGNET,
    the page says so and names it.
    """
    from dataclasses import replace

    from alnico.catalogue.truth import read_truth
    from alnico.errors import ConfigError
    from alnico.experiment.demo import kind_of_users
    from alnico.experiment.folder import finite, open_run
    from alnico.experiment.results import listed, summary, warning
    from alnico.report.chapters import chapters_of
    from alnico.report.page import write_page
    from alnico.report.tables import duel_table, outcome_table

    chapters = chapters_of([open_run(folder) for folder in runs])
    if truth is not None:
        known = read_truth(truth)
        chapters = [
            # Every shop numbers its users alike; the truth of another one must not be taken for this one's.
            replace(chapter, kinds=kind_of_users(known, chapter.main))
            if len(known.users) == chapter.main.dataset.n_users
            else chapter
            for chapter in chapters
        ]
        if all(chapter.kinds is None for chapter in chapters):
            raise ConfigError(f"none of the runs was trained on the shop {truth}; its users are others")
    names = listed([chapter.title for chapter in chapters])
    write_page(to, title or f"Recommendations on {names}", chapters, metric)
    if json:
        compared = {chapter.title: [summary(duel) for duel in chapter.duels(metric)] for chapter in chapters}
        print_json(finite({"page": str(to), "comparisons": compared}))
        return
    for chapter in chapters:
        print(f"{chapter.title}: test part")
        print(outcome_table(chapter.records).text())
        fought = chapter.duels(metric)
        if fought:
            print(f"\n{duel_table(fought).text()}")
        for sentence in [duel.sentence for duel in fought] + (
            [warned] if (warned := warning(fought)) else []
        ):
            print(sentence)
        print()
    print(f"open {to.resolve()}")
