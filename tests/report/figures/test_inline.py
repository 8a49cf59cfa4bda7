"""Pictures that take the page's colours and refer to nothing outside."""

import re
import xml.etree.ElementTree as ET

import pytest

from alnico.experiment.results import duels
from alnico.report.figures import inline
from alnico.report.figures.inline import Curve
from finished_runs import record


def pictures() -> dict[str, str]:
    """One of each kind."""
    own, other = record("own", [1, 1, 0.5]), record("an <other>", [0.5, 0.5, 0.5])
    return {
        "curves": inline.curves(
            [Curve("a & b", [1, 2, 3], [0.1, 0.3, 0.2], mark=2), Curve("c", [1, 2], [1, 2])], "epoch"
        ),
        "logarithmic": inline.curves([Curve("a", [1, 2], [1e-4, 1.0])], "epoch", logarithmic=True),
        "stages": inline.stages([Curve("entropy", [1, 2, 3], [1.0, 0.9, 0.8])], 0.9, 2),
        "no switch": inline.stages([Curve("entropy", [1, 2], [1.0, 0.9])], None, None),
        "bars": inline.grouped_bars(["x", "y"], {"own": [0.1, None], "other": [0.2, 0.3]}),
        "intervals": inline.intervals(duels([(own, other)], "ndcg@20")),
    }


DRAWN = pictures()


@pytest.mark.parametrize("name", DRAWN)
def test_picture_is_one_well_formed_element(name: str) -> None:
    root = ET.fromstring(DRAWN[name])
    assert root.tag.endswith("svg")
    assert "viewBox" in root.attrib
    # The page decides how large it is.
    assert "width" not in root.attrib


@pytest.mark.parametrize("name", DRAWN)
def test_picture_uses_colours_of_the_page_only(name: str) -> None:
    assert "var(--" in DRAWN[name]
    assert re.findall(r"#[0-9a-f]{6}\b", DRAWN[name]) == []


@pytest.mark.parametrize("name", DRAWN)
def test_picture_fetches_nothing(name: str) -> None:
    # Names of XML dialects are no addresses; everything that is followed stands in href, src or url().
    followed = re.findall(r'(?:href|src)="([^"]*)"|url\(([^)]*)\)', DRAWN[name])
    assert [one for pair in followed for one in pair if one and not one.startswith("#")] == []


def test_same_numbers_give_the_same_picture() -> None:
    assert pictures() == DRAWN


def test_labels_are_text_and_escaped() -> None:
    texts = [
        element.text for element in ET.fromstring(DRAWN["intervals"]).iter() if element.tag.endswith("text")
    ]
    assert "minus an <other>" in texts


def test_switch_is_named_only_where_there_was_one() -> None:
    assert "stage 2" in DRAWN["stages"]
    assert "stage 2" not in DRAWN["no switch"]
