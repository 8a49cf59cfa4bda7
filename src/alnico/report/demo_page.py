"""The demo's report: both of its worlds on one page."""

from alnico.experiment.demo.sentences import control_sentences, leaning_sentences
from alnico.experiment.demo.worlds import CONTENDERS, METRIC, Demo
from alnico.report.chapters import Chapter
from alnico.report.page import write_page

TITLE = "alnico: a shop whose truth is known"


def write_demo_page(demo: Demo) -> None:
    """Write the demo's report into its folder."""
    plan = demo.shop.plan.shop
    introduction = [
        f"{plan.n_users:,} made-up people choose among {plan.n_items:,} made-up products with drawn pictures "
        "and written texts. What moves each of them is known: a style (seen in the picture), a purpose (said "
        "in the text), or a fashion (seen only in what others take). The files went the way of anybody's data: "
        f"encoded, imported, checked, split; then {len(CONTENDERS)} models were trained on them, each tested "
        "once.",
        "Beside it stands a control world in which pictures and texts are noise. There, a model that reads "
        "content should gain nothing by it and turn to behaviour.",
    ]
    shop = Chapter(
        demo.shop.plan.title,
        list(demo.shop.runs.values()),
        demo.shop.kind_of_users,
        demo.explanations,
        kind_remarks=leaning_sentences(demo.shop),
        findings=demo.shop.findings,
    )
    control = Chapter(
        demo.control.plan.title,
        list(demo.control.runs.values()),
        demo.control.kind_of_users,
        explained=(),
        remarks=control_sentences(demo),
        findings=demo.control.findings,
    )
    write_page(demo.report, TITLE, [shop, control], METRIC, introduction)
