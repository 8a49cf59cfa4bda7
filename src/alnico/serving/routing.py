"""Where a bundle's model sends the pairs it was trained on."""

import numpy as np
import torch

from alnico.contracts import ExplainingScorer
from alnico.diagnostics.routing import PAIR_BLOCK, reliance_shares
from alnico.errors import UnsupportedError
from alnico.randomness import rng
from alnico.serving.bundle import Bundle
from alnico.serving.wire import RoutingHealth

MOST_PAIRS = 4096


def routing_health(bundle: Bundle) -> RoutingHealth:
    """The mean routing over at most 4,096 training pairs, drawn once and for all.

    Raises UnsupportedError for a model that does not route, or a bundle without histories.
    """
    scorer, histories = bundle.scorer, bundle.histories
    if not isinstance(scorer, ExplainingScorer):
        raise UnsupportedError(f"{bundle.facts.model} does not route; a bundle of magnet does")
    if histories is None or not len(histories):
        raise UnsupportedError("the bundle was exported without histories: there are no pairs to look at")
    drawn = np.sort(rng(0, "routing health").permutation(len(histories))[:MOST_PAIRS])
    users, items = (torch.from_numpy(np.array(own[drawn])) for own in (histories.users, histories.items))
    routing, reliance = [], []
    for start in range(0, len(drawn), PAIR_BLOCK):
        some = slice(start, start + PAIR_BLOCK)
        told = scorer.explain_pairs(users[some], items[some])
        routing.append(told.routing)
        reliance.append(reliance_shares(told.reliance))
    mean = torch.cat(routing).mean(0).double().numpy()
    shares = torch.cat(reliance).mean(0)
    experts: dict[str, float] = {}
    groups: dict[str, float] = {}
    families: dict[str, float] = {}
    for expert, share in zip(scorer.experts, mean.tolist(), strict=True):
        experts[expert.label] = share
        groups[expert.group] = groups.get(expert.group, 0.0) + share
        families[expert.family] = families.get(expert.family, 0.0) + share
    entropy = -float((mean * np.log(np.maximum(mean, 1e-12))).sum())
    return RoutingHealth(
        experts=experts,
        groups=groups,
        families=families,
        reliance=dict(zip(scorer.parts, shares.tolist(), strict=True)),
        effective=float(np.exp(entropy)),
        pairs=len(drawn),
        course=bundle.facts.course,
        notes=[] if len(experts) > 1 else ["there is one expert: nothing is routed"],
    )
