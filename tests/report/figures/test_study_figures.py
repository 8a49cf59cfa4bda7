"""Figures of a study: what is drawn of known data, in both forms."""

import re
import xml.etree.ElementTree as ET
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from alnico.report.figures import cases, clock, groups, maps, routing, sweeps
from alnico.report.figures.canvas import Picture, brief, model_lines, part_colours

SWEEP = sweeps.Panel(
    "α, dominance",
    "R@20",
    [sweeps.Point(0.2, 0.10, 0.01), sweeps.Point(0.6, 0.12, 0.02, is_default=True), sweeps.Point(1.0, 0.11)],
)
WIDE = sweeps.Panel("rate", "N@20", [sweeps.Point(1e-4, 0.1), sweeps.Point(1e-2, 0.2)], 1)
HEAT = sweeps.HeatMap(
    "Families",
    "K",
    "",
    ["1", "4"],
    ["Bal (E = 3)", "Full (E = 9)"],
    [[0.25, None], [0.5, 0.75]],
    impossible=frozenset({(0, 1)}),
    texts={(1, 1): "never used, there is a number"},
    digits=2,
    default=(1, 1),
)
LOG = sweeps.Log("The literal trigger", [1, 2, 3, 4], [0.99, 0.98, 0.97, 0.9], 0.9, 3)
SHARES = [
    routing.Shares(
        name,
        [("behaviour", "dominant", 0.5), ("image", "dominant", 0.3), ("image", "balanced", 0.2)],
        {"behaviour": 0.5, "image": 0.5},
        {"dominant": 0.8, "balanced": 0.2},
        {"behaviour": 0.7, "image": 0.3},
        2.8,
        0.94,
        content,
    )
    for name, content in (("shop", 0.5), ("baby", None))
]
STAGES = routing.StageLog(
    [1, 2, 3, 4], [0.1, 0.1, 0.2, 0.4], [0.1, 0.1, 0.15, 0.3], [2, 4], [0.95, 0.93], 0.9, (2.0, 4.0), 4.0
)
STRATEGIES = [
    routing.Strategy("full", {"SpecScore": 0.4, "MaxLoad": 0.3}),
    routing.Strategy("coverage only", {"SpecScore": 0.1, "MaxLoad": 0.3}),
]
SCHEME = routing.Scheme("coverage: λ_r (1 − H)", "confidence: λ_r H", "once H ≥ 0.9 for 3 steps in a row")
USERS = groups.UserGains("low", [0.2, -0.1], 0.25, 0.5, 0.25)
GROUPS = groups.Groups(
    [groups.Gain("easy", None, 0), groups.Gain("medium", 10.0, 4), groups.Gain("hard", -5.0, 30)],
    [groups.Gain("easy", 2.5, 2), groups.Gain("medium", None, 2), groups.Gain("hard", 0.0, 30)],
    [groups.Gain("act.\nlow", 1.0, 12)],
    {"low": {"easy": 0.1, "medium": 0.3, "hard": 0.6}},
    [USERS, groups.UserGains("high", [], 0.0, 1.0, 0.0)],
    USERS,
    ([-0.1, 0.0, 0.2], [0.25, 0.75, 1.0]),
    "N@20",
)
RACE = clock.Race(
    "shop",
    "ndcg@20",
    [
        clock.Training("MAGNET", True, [1, 2, 9], [0.1, 0.2, 0.3], (9, 0.3), (9, 0.3)),
        clock.Training("LightGCN", False, [0.1, 0.2], [0.1, 0.2], (0.2, 0.2), (0.2, 0.2)),
    ],
)
POINTS = np.array([[0.0, 0], [1, 1], [2, 0], [0, 2]])
LABELLED = [
    maps.Coloured(title, POINTS, np.array([0, 1, 1, 2]), ["Drama", "Comedy", "other"], "silhouette 0.12")
    for title in ("Items before fusion", "Items after fusion")
]
ROUTED = maps.Routed(
    POINTS,
    ["behaviour", "image", "image", "behaviour"],
    ["behaviour", "image"],
    ["dominant", "dominant", "balanced", "dominant"],
    np.array([9, 1, 0, 4]),
    np.array([True, False, False, False]),
)
POSTER = np.full((12, 8, 3), 120, np.uint8)
SHEET = cases.CaseSheet(
    "user u7: dominant has 80% of the routing",
    [
        cases.ItemCard("history", "A very long title that has to be cut somewhere in the middle", "", POSTER),
        cases.ItemCard("target", "Casablanca", "rank 2", None),
        cases.ItemCard("hard negative", "Vertigo", "rank 9, cosine 0.71", POSTER),
    ],
    {"behaviour": {"dominant": 0.6, "balanced": 0.1}, "image": {"dominant": 0.2, "balanced": 0.1}},
    {"behaviour": 0.7, "image": 0.3},
    {"dominant": 0.8, "balanced": 0.2},
    {"behaviour": 0.9, "image": 0.1},
    [("behaviour dom. (60%)", "behaviour", 0.4), ("image dom. (20%)", "image", -0.1)],
    ["rank 2 with routing", "5 with all experts alike"],
)


def pictures() -> dict[str, Picture]:
    """One of each kind."""
    return {
        "sweeps": sweeps.sweep_grid([[SWEEP, WIDE], [SWEEP]]),
        "heat maps": sweeps.heat_maps([[HEAT], [LOG]]),
        "overview": routing.overview(SHARES),
        "mechanism": routing.mechanism(
            STAGES, STRATEGIES, SCHEME, routing.AfterSwitch([3, 4], [0.9, 0.8], [0.1, 0.2])
        ),
        "no switch": routing.mechanism(
            routing.StageLog([1], [0.1], [0.1], [1], [0.95], 0.9, None, None), [], SCHEME, None
        ),
        "dynamics": routing.dynamics([routing.Course("shop", [1, 2], {"N_eff": [0, 1]}, 2.0)]),
        "groups": groups.groups(GROUPS),
        "races": clock.races([RACE]),
        "maps": maps.maps(LABELLED, LABELLED, ROUTED),
        "case": cases.case(SHEET),
    }


DRAWN = pictures()


def texts(name: str) -> list[str]:
    """Everything that is written on a picture."""
    root = ET.fromstring(DRAWN[name].svg)
    return [element.text or "" for element in root.iter() if element.tag.endswith("text")]


@pytest.mark.parametrize("name", DRAWN)
def test_picture_stands_alone_and_repeats(name: str) -> None:
    svg = DRAWN[name].svg
    assert ET.fromstring(svg).tag.endswith("svg")
    followed = re.findall(r'(?:href|src)="([^"]*)"|url\(([^)]*)\)', svg)
    outside = [one for pair in followed for one in pair if one and not one.startswith(("#", "data:"))]
    assert outside == []


def test_same_numbers_give_the_same_picture() -> None:
    assert sweeps.heat_maps([[HEAT], [LOG]]).svg == DRAWN["heat maps"].svg


def test_pixels_are_twice_a_page_wide() -> None:
    with Image.open(BytesIO(DRAWN["case"].png)) as picture:
        assert picture.width == 1800


@pytest.mark.parametrize("name", DRAWN)
def test_nothing_sticks_out_of_the_picture(name: str) -> None:
    figure = DRAWN[name].figure
    needed = figure.get_tightbbox(figure.canvas.get_renderer())  # type: ignore[attr-defined]
    width, height = figure.get_size_inches()
    # In inches; a hair's breadth is the end of a line.
    assert needed.x0 > -0.03
    assert needed.y0 > -0.03
    assert needed.x1 < width + 0.03
    assert needed.y1 < height + 0.03


def test_sweep_names_its_axes_and_marks_the_default_hollow() -> None:
    assert {"α, dominance", "R@20", "N@20", "rate"} <= set(texts("sweeps"))
    marks = [line for line in DRAWN["sweeps"].figure.axes[0].lines if line.get_marker() == "o"]
    assert [line.get_markerfacecolor() == "white" for line in marks] == [False, True, False]
    assert DRAWN["sweeps"].figure.axes[1].get_xscale() == "log"


def test_heat_map_prints_a_backslash_where_more_are_kept_than_there_are() -> None:
    told = texts("heat maps")
    assert told.count("\\") == 1
    assert {"0.25", "0.50", "0.75", "Bal (E = 3)", "stage 2 at step 3", "H* = 0.9"} <= set(told)


def test_overview_tells_numbers_of_each_data_set() -> None:
    told = texts("overview")
    assert told.count("Div 0.94") == 2
    assert told.count("A+S") == 1
    assert {"shop", "baby", "behaviour", "N_eff, effective experts"} <= set(told)


def test_mechanism_prints_values_beside_normalised_bars() -> None:
    told = texts("mechanism")
    assert {"0.40", "0.10", "0.30", "switch, step 4", "confidence: λ_r H"} <= set(told)
    bars = [patch.get_width() for patch in DRAWN["mechanism"].figure.axes[1].patches]
    # SpecScore from 0 to 1; MaxLoad is equal, hence in the middle.
    assert sorted(bars) == [0, 0.5, 0.5, 1]
    assert "no epoch after a switch" in texts("no switch")


def test_empty_group_is_written_not_drawn() -> None:
    told = texts("groups")
    assert told.count("empty") == 1
    assert told.count("from 0") == 1
    assert {"+10.0", "-5.0", "worse 25.0%", "equal 50.0%", "better 25.0%"} <= set(told)


def test_own_model_is_drawn_apart_and_times_of_different_order_on_a_logarithm() -> None:
    assert {"MAGNET", "LightGCN", "wall time in seconds", "validation ndcg@20"} <= set(texts("races"))
    assert DRAWN["races"].figure.axes[0].get_xscale() == "log"
    looks = model_lines(["a", "MAGNET", "b"], ["MAGNET"])
    assert looks["MAGNET"]["linewidth"] > looks["a"]["linewidth"]
    assert len({look["color"] for look in looks.values()}) == 3


def test_many_baselines_are_told_apart_by_dashes() -> None:
    looks = model_lines([str(number) for number in range(20)], [])
    assert len({(look["color"], str(look["linestyle"])) for look in looks.values()}) == 20


def test_case_shows_titles_ranks_and_facts() -> None:
    told = " ".join(texts("case"))
    assert "Casablanca" in told
    assert "rank 9, cosine 0.71" in told
    assert "no picture" in told
    assert "5 with all experts alike" in told
    # A title takes two lines at most.
    assert "in the middle" not in told


def test_parts_keep_their_colours() -> None:
    assert part_colours(["text", "behaviour"])["text"] == part_colours(["behaviour", "image", "text"])["text"]
    several = part_colours(["a", "b", "c"])
    assert len(set(several.values())) == 3


def test_brief_names_keep_short_ones() -> None:
    assert [brief(name) for name in ("text", "image", "behaviour", "dominant")] == [
        "text",
        "image",
        "beh.",
        "dom.",
    ]
