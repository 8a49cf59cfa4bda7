"""`alnico report`."""

from pathlib import Path
from typing import Annotated

import typer

from alnico.cli.output import print_json


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of finished runs, of which those on the same data are compared; or a study."
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option(help="The page to write (report.html); of a study the folder (STUDY/report)."),
    ] = None,
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

    Of a study, the folder that `alnico study` fills, it shows the tables and figures of the paper that its runs can
    give, and puts each beside the page as a file. The page needs no network and no other file. Where another model is
    not significantly worse than MAGNET, the page says so and names it.
    """
    from alnico.errors import ConfigError
    from alnico.experiment.study import STUDY

    if len(runs) == 1 and (runs[0] / STUDY).exists():
        if truth is not None:
            raise ConfigError(
                "--truth belongs to reports of runs; a study's page shows what its plan's parts ask for"
            )
        _report_study(runs[0], to or runs[0] / "report", title, json)
        return
    to = to or Path("report.html")
    from dataclasses import replace

    from alnico.catalogue.truth import read_truth
    from alnico.experiment.demo.worlds import kind_of_users
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


def _report_study(folder: Path, to: Path, title: str | None, json: bool) -> None:
    from alnico.experiment.study import open_study
    from alnico.report.study_page import page_of_study

    written = page_of_study(
        open_study(folder), to, title, None if json else lambda what: print(f"{what} ...", flush=True)
    )
    left_out = {one.title: one.why for one in written.left_out}
    if json:
        sentences = [one.sentence for one in written.standing]
        print_json(
            {
                "page": str(written.page),
                "standing": sentences,
                "tables": written.tables,
                "figures": written.figures,
                "left_out": left_out,
            }
        )
        return
    for one in written.standing:
        print(one.sentence)
    for title, why in left_out.items():
        print(f"{title} is left out: {why}")
    print(f"open {written.page.resolve()}")
