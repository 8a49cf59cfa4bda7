"""Best lists of a trained MAGNET for everybody, beside dot products of the same size and beside whole tensors."""

from typing import Any

import numpy as np
import torch

from alnico.contracts import ExplainingScorer
from alnico.models.magnet.scorer import MagnetScorer
from alnico.ranking import Seen, as_users
from alnico.scorers import DotScorer
from alnico.training.batches import BatchSource
from benchmarks import naive
from benchmarks.timing import Machine, Row, once, timed
from benchmarks.training import PAPER, epoch_seconds, magnet
from benchmarks.worlds import World

LENGTH, NAIVE_USERS, EPOCHS = 50, 512, 3


def trained(world: World, **settings: Any) -> MagnetScorer:
    """MAGNET, single view, after three epochs."""
    model = magnet(world, {**PAPER, "views": "single", **settings})
    batches = BatchSource(world.train, 1024)
    for _ in range(EPOCHS):
        epoch_seconds(model, batches)
    scorer = model.eval().scorer()  # type: ignore[operator]
    assert isinstance(scorer, MagnetScorer)
    return scorer


def ranking(world: World, machine: Machine) -> list[Row]:
    """Nine experts, four kept, 50 best: both heads and both routers."""
    train = world.train
    people, seen = np.arange(train.n_users), Seen(train.offsets, train.items_by_id)
    rows = []
    for head in ("hadamard", "concat"):
        for router in ("linear", "mlp"):
            scorer = trained(world, head=head, router=router)
            dot = DotScorer(scorer.users.z, scorer.items.z)
            repeats = 5 if head == "hadamard" else 2
            ours, plain = timed(
                [lambda s=scorer: s.top(people, seen, LENGTH), lambda d=dot: d.top(people, seen, LENGTH)],
                repeats,
            )
            ratios = {"dot products": ours / plain}
            some = people[:: len(people) // NAIVE_USERS][:NAIVE_USERS]
            lists, slow = naive_lists(scorer, some)
            ratios["naive"] = slow * len(people) / len(some) / ours
            nothing = Seen(np.zeros(len(people) + 1, np.int64), np.zeros(0, np.int64))
            same = (scorer.top(some, nothing, LENGTH).items == lists).mean()
            # Two operations per number of each expert's product, if every expert scored every pair.
            floor = (
                2 * len(scorer.templates) * len(people) * train.n_items * scorer.config.width / machine.rate
            )
            target = head == "hadamard" and router == "linear"
            rows.append(
                Row(
                    f"50 best of {train.n_items:,} for {len(people):,} users, {router} router, {head} head",
                    ours,
                    ratios,
                    "3 x dot products; 10 x naive" if target else "",
                    ratios["dot products"] <= 3 and ratios["naive"] >= 10 if target else None,
                    f"all nine experts' products alone would take {floor:.2f} s at the machine's rate; "
                    f"dot ranking {plain:.2f} s; {100 * same:.2f} % of places as naive",
                )
            )
    return rows


def naive_lists(scorer: ExplainingScorer, some: np.ndarray) -> tuple[np.ndarray, float]:
    """Lists of these users from users x items x experts tensors, and the seconds that took."""
    assert isinstance(scorer, MagnetScorer)
    everything, users = torch.arange(scorer.n_items), as_users(some, scorer.device)
    items = scorer.head.item_side(
        scorer._mixed(scorer.part_vectors(scorer.items, everything), scorer.items.present)
    )
    router = scorer.router
    assert router is not None
    scale = router.scale if router.second is None else 1.0
    arguments = (
        scorer._user_side(users),
        items,
        scale * scorer._user_part(users),
        scale * router.item_part(scorer.items.z),
        scorer.config.experts_per_pair,
        LENGTH,
        getattr(scorer.head, "readout", None) if scorer.config.head == "concat" else None,
        router.second,
    )
    found: list[torch.Tensor] = []
    with torch.no_grad():
        seconds = once(lambda: found.append(naive.routed_top(*arguments)))
    return found[0].numpy(), seconds
