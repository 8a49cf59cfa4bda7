"""Edges of the second order: what resembles a history joins it, and items that serve the same interests join."""

from collections.abc import Mapping
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt

from alnico.contracts import Step, TrainingData
from alnico.data.features import ItemFeatures
from alnico.data.interactions import Interactions
from alnico.graphs.graph import Graph, directed_graph, row_sum_graph, symmetric_graph, user_block
from alnico.graphs.interest import interest_edges, second_order_edges
from alnico.graphs.items import Edges, content_lists, item_graph, mixed_graph
from alnico.model_card import ModelCard
from alnico.models.beside import GatedConfig, GatedViews, Nodes, Told
from alnico.nn.features import content_of
from alnico.nn.seeding import seeded
from alnico.nn.triples import Distinct

LEAST_ENTRY = 1e-7
"""What the official code raises smaller entries of its item graphs to."""


class SoilConfig(GatedConfig):
    """Settings of SOIL. Defaults are the official ones for Baby, from the published configuration and logs."""

    interests: PositiveInt = 10
    """Interests k_i of a user per modality; 10 on Baby, 5 on Sports and Clothing."""
    added: NonNegativeInt = 2
    """Second-order edges k_a of a user beyond the history's own; 2 on Baby, 6 on Sports, 3 on Clothing."""
    contrast: NonNegativeFloat = 0.01
    """Weight lambda_1 of the contrast between content and behaviour; .01 on Baby and Clothing, .1 on Sports."""
    interest_contrast: NonNegativeFloat = 0.01
    """Weight lambda_2 of the contrast between users and their items; .01 on Baby and Sports, .001 on Clothing."""
    features_trainable: bool = False
    """Whether the raw vectors are trained too; not in the official code."""
    l2: NonNegativeFloat = 0.0
    """Weight of half the squared norm of the batch's final embeddings; the official code has none."""
    user_degrees_at_both_ends: bool = True
    """Whether second-order edges on which users gather their items' content are scaled by the degree of the *user*
    with the item's number, as the official code does by mistake; else by the item's degree."""


class Soil(GatedViews):
    """score(u, i) = <C_u + side_u, C_i + side_i>: LightGCN plus what content adds, over graphs of shared interests.

    Each user gets edges to the items that resemble the history in all modalities at once; they join the user-item
    graph at half their weight. In the item graphs, edges from a history to what it resembles as a whole join the
    nearest neighbours. Identities gated by content go over these graphs; the side is the mean of what the modalities
    share and of what each has alone. Loss: BPR + lambda_1 * InfoNCE between side and C + lambda_2 * (InfoNCE between
    final users and their items' C + the same with their items' side).

    Source: Su et al., SOIL: Contrastive Second-Order Interest Learning for Multimodal Recommendation, MM 2024; graphs,
    losses and frozen raw vectors as in its official code, without its tables of items by items. Any number of
    modalities from one on; where an item lacks one, likeness in it is taken from the others (`second_order_edges`).
    """

    Config = SoilConfig
    card = ModelCard(
        "SOIL",
        "SOIL: Contrastive Second-Order Interest Learning for Multimodal Recommendation, MM 2024",
        2024,
        ("content",),
    )

    def __init__(
        self,
        config: SoilConfig,
        train: Interactions,
        item_graphs: Mapping[str, Graph],
        content: ItemFeatures,
        graph: Graph,
        histories: Graph,
    ) -> None:
        super().__init__(config, train, item_graphs, content, graph, histories, preferences=False)
        self.config = config

    @classmethod
    def build(cls, config: SoilConfig, data: TrainingData, rng: np.random.Generator) -> Self:
        train, content = data.interactions, content_of(data.features, "soil")
        lists = content_lists(content, data.neighbours, data.graphs, config.neighbours)
        interests = interest_edges(train, content, config.interests, data.graphs)
        item_graphs = {
            name: mixed_graph(
                [
                    row_sum_graph(*interests[name], train.n_items, LEAST_ENTRY),
                    item_graph(lists[name], "cosine", LEAST_ENTRY),
                ],
                [1, 1],
            )
            for name in content
        }
        edges = second_order_edges(train, content, config.added, data.graphs)
        graph, histories = interaction_graphs(train, edges, config.user_degrees_at_both_ends)
        with seeded(rng):
            return cls(config, train, item_graphs, content, graph, histories)

    def _more_terms(self, rows: Distinct, told: Told, side: Nodes) -> Step:
        config = self.config
        if not config.interest_contrast:
            return Step({})
        users, _ = rows.apart(told.behaviour + side)
        items = [rows.apart(nodes)[1] for nodes in (told.behaviour, side)]
        contrasts = [rows.contrast_across(users, table, config.temperature) for table in items]
        return Step({"interest contrast": config.interest_contrast * torch.stack(contrasts).sum()})


def interaction_graphs(
    train: Interactions, edges: Edges, user_degrees_at_both_ends: bool
) -> tuple[Graph, Graph]:
    """The user-item graph with the second-order ``edges`` added at half their weight; and its users x items part.

    Both parts of a sum are normalised by their own degrees. ``user_degrees_at_both_ends`` scales second-order edges of
    the users x items part by the degrees of two users, of the second the number is the item's.
    """
    users, items, weights = edges
    observed = symmetric_graph(train.users, train.items, train.n_users, train.n_items)
    second = symmetric_graph(users, items, train.n_users, train.n_items, weights)
    part = user_block(second, train.n_users)
    if user_degrees_at_both_ends:
        values = weights / np.sqrt(_degrees_by_mistake(edges, train.n_users, train.n_items))
        shape = train.n_users, train.n_items
        part = directed_graph(users, items, values.astype(np.float32), shape, "by mistake")
    halves = [1, 0.5]
    return (
        mixed_graph([observed, second], halves),
        mixed_graph([user_block(observed, train.n_users), part], halves),
    )


def _degrees_by_mistake(edges: Edges, n_users: int, n_items: int) -> NDArray[np.float64]:
    """Products of the degrees of each edge's user and of the user with the item's number.

    Where there is no such user, or one without edges, the item's own degree stands.
    """
    users, items, weights = edges
    of_users = np.bincount(users, weights, n_users).astype(np.float64, copy=False)
    of_items = np.bincount(items, weights, n_items).astype(np.float64, copy=False)
    namesakes = of_items.copy()
    both = min(n_users, n_items)
    np.copyto(namesakes[:both], of_users[:both], where=of_users[:both] > 0)
    return of_users[users] * namesakes[items]
