"""Users and items of a finished MAGNET in the plane: Figure 13."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

from alnico.diagnostics.geometry import (
    PERPLEXITY,
    chance_purity,
    clusters,
    drawn,
    leading_categories,
    plane,
    purity,
    silhouette,
)
from alnico.evaluation.exposure import long_tail
from alnico.experiment.dissection import PAIRS_PER_NODE, Which, nodes, routed_run, routed_scorer
from alnico.experiment.folder import Run
from alnico.experiment.variants import Field, StudyRow
from alnico.randomness import rng
from alnico.report.exhibits.shown import NOT_ROUTED, Figures, StudyFigure, of_each_field
from alnico.report.figures.maps import Coloured, Routed, maps

Labels = Int[NDArray[np.int64], " nodes"]

MOST_LABELS = 6
LEAST_NODES = 8


def embedding_maps(rows: Sequence[StudyRow]) -> Figures:
    """t-SNE of items and users before and after the experts' fusion. Implements: Figure 13."""
    return of_each_field(rows, "figure-13", "Figure 13: items and users in the plane", _of_field)


def _of_field(name: str, title: str, field: Field) -> Sequence[StudyFigure] | str:
    chosen = routed_run(field)
    told = NOT_ROUTED if chosen is None else _figure(name, title, *chosen)
    return told if isinstance(told, str) else [told]


def _figure(name: str, title: str, row: StudyRow, run: Run) -> StudyFigure | str:
    scorer, train = routed_scorer(run), run.split.train
    assert scorer is not None
    items = drawn(np.flatnonzero(train.item_degrees > 0), rng(0, "map of items"))
    users = drawn(np.flatnonzero(train.user_degrees > 0), rng(0, "map of users"))
    if min(len(items), len(users)) < LEAST_NODES:
        return f"a map needs at least {LEAST_NODES} users and items with training pairs"
    labels, names, told = item_labels(run)
    panels: dict[Which, list[Coloured]] = {}
    flat = {}
    sides: tuple[tuple[Which, NDArray[np.int64], Labels], ...] = (
        ("items", items, labels[items]),
        ("users", users, majority(train.users, labels[train.items], len(names), train.n_users)[users]),
    )
    for which, chosen, own in sides:
        found = nodes(scorer, train, which, chosen)
        panels[which] = []
        for when, vectors in (("before", found.before), ("after", found.after)):
            flat[which, when] = plane(vectors)
            panels[which].append(
                Coloured(
                    f"{which.capitalize()} {when} fusion",
                    flat[which, when],
                    own,
                    names,
                    _figures(vectors, own),
                )
            )
        if which == "items":
            routing = found.routing
    top = routing.argmax(1)
    groups, families = (
        [str(getattr(scorer.experts[int(expert)], kind)) for expert in top] for kind in ("group", "family")
    )
    routed = Routed(
        flat["items", "after"],
        groups,
        list(dict.fromkeys(expert.group for expert in scorer.experts)),
        families,
        train.item_degrees[items],
        ~long_tail(train.item_degrees)[items],
    )
    return StudyFigure(
        name,
        title,
        maps(panels["items"], panels["users"], routed),
        f"{row.label}, seed {row.seed}: t-SNE of 50 principal components, perplexity {PERPLEXITY} (less for few "
        f"points), each panel fitted for itself; distances between far groups mean nothing. {len(items):,} items and "
        f"{len(users):,} users with training pairs. Before: identity and cues side by side; after: the experts' "
        f"mixtures by the mean routing of at most {PAIRS_PER_NODE} of the node's training pairs. Colours: {told}; a "
        "user has that of most training items. Silhouette (-1 to 1) and purity (share of the ten nearest with the "
        "same colour, and what chance would give) are taken in the vectors' own space.",
    )


def _figures(vectors: NDArray[np.float32], labels: Labels) -> str:
    width, pure = silhouette(vectors, labels), purity(vectors, labels)
    told = [] if width is None else [f"silhouette {width:.3f}"]
    if pure is not None:
        told.append(f"purity {pure:.2f} (chance {chance_purity(labels):.2f})")
    return ", ".join(told)


def item_labels(run: Run) -> tuple[Labels, list[str], str]:
    """A label per item of the catalogue, the labels' names, and what they are.

    The first-named category where the data have one, otherwise clusters of the texts' vectors (of the last modality,
    where there is no text); items without vectors are ``other``.
    """
    dataset = run.dataset
    categories = dataset.cards.columns.get("category")
    if categories is not None and (found := leading_categories(categories, MOST_LABELS)) is not None:
        return *found, "the item's first category"
    name = "text" if "text" in dataset.features else dataset.features.names[-1]
    modality = dataset.features[name]
    known = np.flatnonzero(modality.present)
    labels = np.full(dataset.n_items, MOST_LABELS, np.int64)
    labels[known] = clusters(modality.vectors[known], MOST_LABELS)
    names = [f"cluster {number + 1}" for number in range(MOST_LABELS)]
    return labels, [*names, "other"], f"k-means on the {name} vectors, for want of categories"


def majority(
    owners: NDArray[np.int64], labels: NDArray[np.int64], n_labels: int, n_owners: int
) -> Int[NDArray[np.int64], " owners"]:
    """The label that most of each owner's items bear; ties go to the smaller label."""
    counts = np.zeros((n_owners, n_labels), np.int64)
    np.add.at(counts, (owners, labels), 1)
    most: NDArray[np.int64] = counts.argmax(1).astype(np.int64)
    return most
