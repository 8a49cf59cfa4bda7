"""A finished MAGNET taken apart: the vectors behind its scores, and the same model with one part made average."""

import json
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from alnico.data.interactions import Interactions
from alnico.data.split import Targets
from alnico.diagnostics.faithfulness import Damage, NamedPart, Shift, damage, faithfulness, reliance_shift
from alnico.diagnostics.routing import RoutedPairs, route_pairs
from alnico.errors import StorageError, UnsupportedError
from alnico.experiment.folder import Run
from alnico.experiment.results import OWN_MODEL
from alnico.experiment.variants import Field, StudyRow
from alnico.models.magnet.scorer import MagnetScorer
from alnico.models.magnet.sides import Side
from alnico.models.magnet.templates import renormalised
from alnico.randomness import rng

Which = Literal["users", "items"]

MOST_PAIRS = 2_000
"""Test pairs on which faithfulness is measured, at most."""
OTHERS = 10
"""Random items of the same user that a pair's damage is held against."""
PAIRS_PER_NODE = 20
"""Training pairs over which a node's routing is averaged, at most."""


@dataclass(frozen=True, eq=False)
class Nodes:
    """Vectors of some users or items of a finished model.

    ``before`` [nodes, parts * width]: identity and cues side by side. ``after`` [nodes, width]: the experts' mixtures
    x(w_e), each weighing its mean routing over the node's training pairs. ``routing`` [nodes, experts].
    """

    rows: NDArray[np.int64]
    before: NDArray[np.float32]
    after: NDArray[np.float32]
    routing: NDArray[np.float64]


def nodes(scorer: MagnetScorer, train: Interactions, which: Which, rows: NDArray[np.int64]) -> Nodes:
    """The vectors of these users or items, before and after the experts' fusion.

    Raises UnsupportedError for a model without a mixture.
    """
    require_mixture(scorer)
    side = scorer.users if which == "users" else scorer.items
    place = torch.from_numpy(np.array(rows)).to(scorer.device)
    parts = scorer.part_vectors(side, place)
    routing = _node_routing(scorer, train, which, rows)
    weights = renormalised(scorer.templates, side.present[place])
    shares = torch.from_numpy(routing).float().to(scorer.device)
    after = torch.einsum("re,rep,rpd->rd", shares, weights, scorer.as_mixed(parts))
    return Nodes(rows, parts.flatten(1).cpu().numpy(), after.cpu().numpy(), routing)


def routed_scorer(run: Run) -> MagnetScorer | None:
    """The finished MAGNET of a run that stored how its test pairs were routed; None for any other run."""
    if run.spec.model_name != OWN_MODEL or run.routing() is None:
        return None
    scorer = run.scorer()
    return scorer if isinstance(scorer, MagnetScorer) and scorer.router is not None else None


def routed_run(field: Field) -> tuple[StudyRow, Run] | None:
    """The field's first MAGNET row (its ``own`` before others) with a folder at hand that holds a routed model."""
    others = [variant for variant in field.variants if variant.is_own and variant is not field.own]
    for variant in [*([field.own] if field.own is not None else []), *others]:
        for row in variant.rows:
            if row.run is not None:
                try:
                    scorer = routed_scorer(row.run)
                except StorageError:
                    continue
                if scorer is not None:
                    return row, row.run
    return None


def asked_pairs(run: Run) -> Targets:
    """The test pairs that the run was asked about, from what it stored. Raises UnsupportedError if it stored none."""
    stored = run.routing()
    if stored is None:
        raise UnsupportedError(f"run {run.folder} stored no routing of its test pairs; magnet runs do")
    return Targets.of(stored["users"].numpy(), stored["items"].numpy())


def require_mixture(scorer: MagnetScorer) -> None:
    """Raise UnsupportedError for a model without a mixture of experts."""
    if scorer.router is None:
        raise UnsupportedError(
            "this model has no mixture of experts (model.mixture = false), so nothing is routed"
        )


def _node_routing(
    scorer: MagnetScorer, train: Interactions, which: Which, rows: NDArray[np.int64]
) -> Float[NDArray[np.float64], "nodes experts"]:
    """The mean routing of each node over its training pairs, at most 20 of them; even where it has none."""
    own = train.users if which == "users" else train.items
    shuffled = rng(0, "pairs of nodes").permutation(len(train))
    order = shuffled[np.argsort(own[shuffled], kind="stable")]
    starts = np.searchsorted(own[order], rows)
    stops = np.minimum(np.searchsorted(own[order], rows, side="right"), starts + PAIRS_PER_NODE)
    counts = stops - starts
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    pairs = order[np.repeat(starts, counts) + within]
    n_experts = len(scorer.experts)
    mean = np.full((len(rows), n_experts), 1 / n_experts)
    if len(pairs):
        routing = route_pairs(scorer, train.users[pairs], train.items[pairs]).routing.double().numpy()
        total = np.zeros((len(rows), n_experts))
        np.add.at(total, np.repeat(np.arange(len(rows)), counts), routing)
        mean[counts > 0] = total[counts > 0] / counts[counts > 0, None]
    return mean


def averaged(scorer: MagnetScorer, part: str) -> MagnetScorer:
    """The same model in which this part of every user and item that has it is the mean over those that have it.

    Cues are averaged before they are scaled (``MagnetConfig.cue_scale``) or anchored: what they stand on stays.
    Where they are gated (``MagnetConfig.cue_gate``), the gate reads z as the averaged model has it.
    """
    column = scorer.parts.index(part)
    users, items = (_averaged_side(side, column) for side in (scorer.users, scorer.items))
    return MagnetScorer(
        scorer.config, scorer.names, users, items, scorer.templates, scorer.readers, scorer.parameters
    )


def _averaged_side(side: Side, column: int) -> Side:
    has = side.present[:, column] > 0
    if not has.any():
        return side
    if column == 0:
        z = side.z.clone()
        z[has] = side.z[has].mean(0)
        return replace(side, z=z)
    cues = side.cues.clone()
    cues[has, column - 1] = side.cues[has, column - 1].mean(0)
    return replace(side, cues=cues)


@dataclass(frozen=True)
class Faithfulness:
    """Whether the named part matters most, by the pair's score, and by its lead over random items of the user."""

    by_score: list[NamedPart]
    by_lead: list[NamedPart]
    pairs: int


def faithfulness_of(scorer: MagnetScorer, asked: Targets) -> Faithfulness:
    """The faithfulness of the routing on these pairs, on at most 2,000 of them drawn at random.

    Raises UnsupportedError for a model without a mixture.
    """
    require_mixture(scorer)
    users, items = asked.pairs()
    rows = np.sort(rng(0, "faithfulness pairs").permutation(len(users))[:MOST_PAIRS])
    users, items = users[rows], items[rows]
    others = rng(0, "faithfulness others").integers(scorer.n_items, size=(len(rows), OTHERS))
    models = {part: averaged(scorer, part) for part in scorer.parts}
    done = damage(scorer, models, users, items)
    around: Damage = damage(scorer, models, np.repeat(users, OTHERS), others.ravel())
    experts, parts = scorer.experts, scorer.parts
    return Faithfulness(
        faithfulness(experts, parts, done, rng(0, "faithfulness control")),
        faithfulness(experts, parts, done, rng(0, "faithfulness control"), around),
        len(rows),
    )


@dataclass(frozen=True, eq=False)
class DealtPair:
    """A run on content of which some modalities were dealt out, and the same run on intact content."""

    intact: StudyRow
    dealt: StudyRow

    def shifts(self) -> list[Shift]:
        """How reliance on each part moved over the test pairs; none where a folder is not at hand.

        Raises DataError if the runs were asked about different pairs.
        """
        before, after = (_routed_pairs(row) for row in (self.intact, self.dealt))
        if before is None or after is None:
            return []
        parts = list(self.intact.record.result["routing"]["reliance"])
        return [reliance_shift(part, parts, before, after, rng(0, f"shift of {part}")) for part in parts]


def dealt_pairs(field: Field) -> list[DealtPair]:
    """The field's runs on content that was dealt out (taken as ``StudyRow.on_intact``), each with its intact twin:
    the run of equal settings but for that, on the same split and seed, that told its reliance too. Those without one
    are left out."""
    rows = [row for variant in field.variants for row in variant.rows if row.record.result.get("routing")]
    intact = {_but_content(row): row for row in reversed(rows) if not row.dealt}
    return [
        DealtPair(twin, row)
        for row in rows
        if row.dealt and (twin := intact.get(_but_content(row))) is not None
    ]


def _but_content(row: StudyRow) -> str:
    """What a run's twin has to share with it."""
    settings = {name: row.record.settings.get(name) for name in ("model", "training", "seed", "modalities")}
    return json.dumps([settings, row.record.question], sort_keys=True)


def _routed_pairs(row: StudyRow) -> RoutedPairs | None:
    """How the test pairs of a run were routed, from what it stored."""
    told = None if row.run is None else row.run.routing()
    if told is None:
        return None
    return RoutedPairs(told["users"].numpy(), told["items"].numpy(), told["routing"], told["reliance"])
