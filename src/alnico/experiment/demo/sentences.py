"""What the demo's worlds were made to show, and whether they do, in plain sentences."""

from collections.abc import Mapping, Sequence

import numpy as np

from alnico.experiment.demo.worlds import Demo, World

KIND_NAMES = {"visual": "visual-minded", "textual": "text-minded", "fashion": "fashion-minded"}
DECIDES = {"visual": "image", "textual": "text", "fashion": "behaviour"}
"""What truly decides for each kind of user, as a part of MAGNET."""
NO_LEAN = 0.005
"""A difference of shares below this is called none."""


def control_sentences(demo: Demo) -> list[str]:
    """What the control world was made to show, and whether it does, in plain sentences."""
    against = demo.control.duels[0]
    if against.verdict == "worse":
        first = "In the control world MAGNET falls significantly below LightGCN, which it should not"
    else:
        first = "In the control world, where content is noise, MAGNET is not significantly below LightGCN"
    true_share, control_share = (world.reliance["behaviour"] for world in (demo.shop, demo.control))
    numbers = f"{control_share:.1%} against {true_share:.1%} in the shop"
    if control_share > true_share:
        second = f"There it relies more on behaviour, as it should: {numbers}."
    else:
        second = f"It does not rely more on behaviour there, although it should: {numbers}."
    return [f"{first} (difference {against.comparison.difference:+.4f}, p = {against.p_holm:.2g}).", second]


def leaning_sentences(world: World) -> list[str]:
    """Whether MAGNET leans, for each kind of user, towards what truly decides for them, in plain sentences.

    Both in what it relied on and in where its router sent the pairs, against the mean of the other kinds. None in
    a world where pictures and texts are noise: there nothing that a model can see decides for these users.
    """
    sentences: list[str] = []
    if world.plan.shop.noise:
        return sentences
    for kind, part in DECIDES.items():
        others = [means for name, means in world.kinds.items() if name != kind]
        if kind not in world.kinds or not others:
            continue
        leans = [
            _lean(words, part, world.kinds[kind][measure], [means[measure] for means in others])
            for measure, words in (("reliance", "relies on"), ("groups", "routes to"))
        ]
        sentences.append(f"For users who are {KIND_NAMES[kind]}, MAGNET {leans[0]}, and it {leans[1]}.")
    return sentences


def _lean(words: str, part: str, own: Mapping[str, float], others: Sequence[Mapping[str, float]]) -> str:
    share, usual = own.get(part, 0.0), float(np.mean([means.get(part, 0.0) for means in others]))
    numbers = f"({share:.1%} against {usual:.1%} for the other kinds)"
    if abs(share - usual) < NO_LEAN:
        return f"{words} {part} no more than for others, although the truth would ask for it {numbers}"
    if share < usual:
        return f"{words} {part} less, although the truth would ask for more {numbers}"
    return f"{words} {part} more, as the truth has it {numbers}"
