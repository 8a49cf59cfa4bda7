"""MGCN whose views are pulled apart into what modalities share and what each has alone."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from alnico.contracts import Step
from alnico.data.features import ItemFeatures
from alnico.data.interactions import Interactions
from alnico.graphs.graph import Graph
from alnico.model_card import ModelCard
from alnico.models.beside import Nodes, Told
from alnico.models.mgcn import Mgcn, MgcnConfig
from alnico.nn.mutual_information import (
    BiasStart,
    Pair,
    PairCritics,
    club_upper_bound,
    nce_lower_bound,
)
from alnico.nn.triples import Distinct


class CmdlConfig(MgcnConfig):
    """Settings of CMDL. Its authors' settings are not public: these are MGCN's, and information a middle value."""

    temperature: PositiveFloat = 0.2
    """Temperature of the contrast of items; MGCN's."""
    user_temperature: PositiveFloat | None = None
    """Temperature of the contrast of users, which the source sets by itself; by default that of items."""
    information: NonNegativeFloat = 1e-3
    """Weight of the bounds on mutual information; inferred, to be chosen among 1e-4, 1e-3, 1e-2 by validation."""
    critic_bias: BiasStart = "drawn"
    """How the bias of a critic's hidden unit starts; drawn in the source. That is far from the first views' sums, so
    that a unit passes all pairs or none, and a critic that passes none stays as it is until the views reach it."""


class Cmdl(Mgcn):
    """score(u, i) = <C_u + side_u, C_i + side_i>: LightGCN plus what content adds, as in MGCN.

    Of MGCN's views Y_m attention finds the shared part S, the rest V_m = Y_m - S is each modality's own. The side is
    sum_m n_m g_m * V_m + n_S g_S * S: gates g read from C, and one share n per part, the softmax over parts of the
    largest value over all nodes of W2 tanh(W1 C + b). The official code cuts the gradient there, so W1, b and W2 keep
    their first values.

    Loss: MGCN's, with a temperature for items and one for users, + information * (upper - lower), the sums for a
    batch's positives plus those for its negatives of

    * lower: sum over m of the InfoNCE bound on I(Y_m; S), and
    * upper: sum over m of CLUB on I(V_m; S) + sum over ordered pairs m, o of CLUB on I([S, Y_m]; Y_o),

    and, without weight, minus the InfoNCE bound of every critic of these.

    Which way critics move: whatever a bound is used for, its critic f has to come near the log ratio of the densities,
    and the InfoNCE bound is largest there. So all critics climb it, those of ``lower`` together with the views, those
    of ``upper`` while the views go down CLUB: a critic that followed ``upper`` too would only make f small where it
    should be large. Terms of the loss reach either the critics or the rest, never both. Critics are the parameter
    group "critics"; Adam's step does not depend on the weight of their term.

    Source: Lin et al., Contrastive Modality-Disentangled Learning for Multimodal Recommendation, TOIS 2025; forward
    pass, loss and critics as in a public copy of its code, bounds from Liang et al., Factorized Contrastive Learning,
    NeurIPS 2023. Inferred: every setting, and that critics are fitted at all, with one step per step of the model, at
    the same rate. Alternation would have a critic see views after their step or views a critic after its own; here
    both step at once from the same parameters, so each is one step behind. The source's bounds come with AdamW, whose
    decoupled decay of .01 takes a factor of 1 - 1e-5 per step; here critics have Adam like the rest.

    Any number of modalities from one on; the paper has two. With one nothing is apart from what is shared.
    """

    Config = CmdlConfig
    card = ModelCard(
        "CMDL",
        "Contrastive Modality-Disentangled Learning for Multimodal Recommendation, TOIS 2025",
        2025,
        ("content",),
        "partly reconstructed",
        "The settings of its authors and how they fitted the critics are not public: settings are MGCN's, the weight "
        "of the information bounds is a guess, critics take one step per step of the model on the InfoNCE bound.",
    )

    def __init__(
        self, config: CmdlConfig, train: Interactions, item_graphs: Mapping[str, Graph], content: ItemFeatures
    ) -> None:
        super().__init__(config, train, item_graphs, content)
        width, n = config.width, len(self.item_graphs)
        self.config: CmdlConfig = config
        # One gate for every modality's own part, and the last for the shared one.
        self.gates.append(nn.Linear(width, width))
        self.mixture = nn.Sequential(
            nn.Linear(width, width), nn.Tanh(), nn.Linear(width, n + 1, bias=False)
        ).requires_grad_(False)
        widths = [(width, width)] * (2 * n) + [(2 * width, width)] * (n * (n - 1))
        # Without their terms critics have no part in the model.
        self.critics = PairCritics(widths if config.information else [], config.critic_bias)

    def _views(self, rows: Distinct | None) -> list[Nodes]:
        """Y of each modality, and last what they share."""
        views = super()._views(rows)
        return [*views, self.attention(views)]

    @torch.no_grad()
    def _shares(self) -> Float[Tensor, " parts"]:
        """The share of each part of the side, read from all nodes."""
        highest: Tensor = self.mixture(self._behaviour(None)).amax(0)
        return highest.softmax(0)

    def _side(self, behaviour: Nodes, views: Sequence[Nodes]) -> Nodes:
        *own, shared = views
        parts = [*(view - shared for view in own), shared]
        gated = [
            share * torch.sigmoid(gate(behaviour)) * part
            for share, gate, part in zip(self._shares(), self.gates, parts, strict=True)
        ]
        return torch.stack(gated).sum(0)

    def _contrast(self, rows: Distinct, told: Told, side: Nodes) -> Float[Tensor, ""]:
        config = self.config
        return rows.contrast(
            rows.apart(side), rows.apart(told.behaviour), config.temperature, config.user_temperature
        )

    def _pairs(self, items: Sequence[Tensor]) -> list[Pair]:
        """What the critics compare: first those of the lower bounds, one per modality, then those of the upper."""
        *views, shared = items
        told = [
            (torch.cat([shared, view], 1), other) for view in views for other in views if other is not view
        ]
        return [*((view, shared) for view in views), *((view - shared, shared) for view in views), *told]

    def _more_terms(self, rows: Distinct, told: Told, side: Nodes) -> Step:
        if not self.config.information:
            return Step({})
        items = [rows.apart(view)[1] for view in told.views]
        # Positives and negatives are batches of their own.
        judged, learnt = self.critics(self._pairs(items), rows.item_place.view(2, -1))
        n = len(self.item_graphs)
        lower = nce_lower_bound(judged.only(slice(n))).sum()
        upper = club_upper_bound(judged.only(slice(n, None))).sum()
        return Step(
            {
                "information": self.config.information * (upper - lower),
                "critics": -nce_lower_bound(learnt).sum(),
            }
        )

    def parameter_groups(self) -> Mapping[str, Sequence[nn.Parameter]]:
        critics = list(self.critics.parameters())
        own = {id(parameter) for parameter in critics}
        rest = [parameter for parameter in self.parameters() if id(parameter) not in own]
        return {"model": rest, "critics": critics} if critics else {"model": rest}

    def inert_parameters(self) -> frozenset[str]:
        """Those of the shares: the official code cuts their gradient."""
        return frozenset(name for name, _ in self.named_parameters() if name.startswith("mixture."))
