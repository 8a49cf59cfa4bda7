"""Settings of MAGNET, each with the paper's symbol."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from alnico.contracts import ModelConfig
from alnico.graphs.content import Search

Family = Literal["dominant", "balanced", "complementary"]
FAMILIES: tuple[Family, ...] = ("dominant", "balanced", "complementary")

PROJECTED: dict[str, Any] = {
    "neighbours": 20,
    "induced_between": "users_and_items",
    "cue": "projection",
    "cue_weight": 1.0,
    "cue_gate": False,
    "anchored": False,
    "leave_one_out": True,
    "alpha": 1.0,
    "families": ("dominant",),
    "router_input": "coherence",
    "dropout": 0.1,
    "modality_dropout": 0.3,
    "identity_rate": 5.0,
    "head_rate": 0.02,
    "l2": 1e-3,
    "contrast": 0.01,
    "temperature": 0.5,
    "alignment": 0.0,
    "attraction": 0.0,
    "routing": 0.02,
}
"""What ``preset = "projected"`` fixes: cues are projected vectors, edges join users and items, and identities, which
each dominant expert reads apart from cues, are kept from learning the training pairs by heart."""

PAPER: dict[str, Any] = {
    **PROJECTED,
    "layers": 2,
    "induced": 150,
    "evidence": False,
    "leave_one_out": False,
    "alpha": 0.6,
    "families": FAMILIES,
    "router_input": "behaviour",
    "head": "concat",
    "modality_dropout": 0.0,
    "identity_rate": 1.0,
    "head_rate": 1.0,
    "routing": 0.3,
    "bpr": "sum",
    "regulariser": "everything",
    "l2": 2e-5,
    "trigger_unit": "step",
    "smoothing": 0.0,
    "coverage_floor": None,
}
"""What ``preset = "paper"`` fixes: every switch at its printed form."""

PRESETS: Mapping[str, Mapping[str, Any]] = {"alnico": {}, "projected": PROJECTED, "paper": PAPER}


THRIFTY_CAPS = (20, 10, 5)
THRIFTY_FANOUTS = (20, 10)


class MagnetConfig(ModelConfig):
    """Settings of MAGNET. Defaults are those of ``preset = "alnico"``; a setting that is given always wins."""

    preset: Literal["alnico", "projected", "paper"] = "alnico"
    """Which reading fills the settings that are not given: this project's; this project's with cues that are projected
    vectors; the printed one."""

    width: PositiveInt = 64
    """d, length of all hidden vectors."""
    layers: PositiveInt = 3
    """L, hops of propagation."""
    views: Literal["dual", "single"] = "dual"
    """dual: observed and augmented graph; single: observed only."""

    neighbours: PositiveInt = 10
    """k, content neighbours per item and modality."""
    neighbour_search: Search = "exact"
    """approximate: through faiss (``alnico[ann]``), for more than 10^5 items. The history then tells its recall."""
    induced_between: Literal["users_and_items", "items"] = "items"
    """Which edges content adds in the augmented view: those of Eq. (2), or directed edges between items that are
    among each other's k neighbours in every modality, in place of them (``induced``, ``visibility`` and evidence then
    say nothing about the graph). No such thing in the paper; source: GUME (Lin et al., CIKM 2024)."""
    induced: PositiveInt = 10
    """r, induced edges per user."""
    visibility: Literal["full", "neighbours"] = "full"
    """Which history items speak in Eq. (2): all (as printed), or those that list the candidate."""
    induced_weight: Literal["one", "visibility"] = "one"
    """Weight of an induced edge in the augmented graph: that of an observed one, or its c_uj against the largest."""
    evidence: bool = True
    """Whether induced edges and modality dropout are scaled by how far content foretells hidden training items
    (``alnico.graphs.evidence``): fully where it does, not at all where it says nothing."""
    induced_cap: PositiveInt | None = None
    """Induced edges per user, drawn anew each epoch; none keeps all. Evaluation uses all."""
    fanout: PositiveInt | None = None
    """F, neighbours per node and layer, of any kind and in any view, drawn anew each epoch; none takes all. What is
    gathered from them is scaled up to what all would give on average. Evaluation uses all."""

    cue: Literal["projection", "neighbourhood"] = "neighbourhood"
    """What a cue is. projection: the raw vector, projected (Eq. 7), and its mean over the history (Eq. 8).
    neighbourhood: the item's identity as far as its content lets it through, smoothed over the items of like content,
    and the sum of these over the history, each divided by the roots of the two degrees. No such thing in the paper;
    source: MGCN (Yu et al., MM 2023)."""
    cue_neighbours: PositiveInt = 10
    """Neighbours per item and modality of that item graph, the item itself among them. No such thing in the paper."""
    cue_hops: PositiveInt = 1
    """Hops over that item graph. No such thing in the paper."""
    cue_weight: PositiveFloat = 0.5
    """Factor on cues before they are mixed. No such thing in the paper."""
    cue_gate: bool = True
    """Whether each node lets through of its cues what its z says: h := h * sigmoid(W z + b), one gate per modality.
    No such thing in the paper; source: the preference gates of MGCN (Yu et al., MM 2023) and SMORE (WSDM 2025)."""
    anchored: bool = True
    """Whether cues stand on z, h := z + cue_weight * h: each expert then ranks as the graph does, and templates
    decide how much content comes on top. An absent cue stays absent. No such thing in the paper."""

    projection: Literal["linear", "mlp"] = "linear"
    """How raw vectors become cues (Eq. 7)."""
    feature_input: Literal["unit", "raw", "standardised"] = "unit"
    """Rows of the raw vectors: scaled to length one, as they are, or each column to mean 0 and deviation 1."""
    features_trainable: bool = False
    """Whether the raw vectors are moved by training."""
    cue_scale: Literal["none", "unit", "balanced"] = "none"
    """balanced: one factor per modality and side gives cues the mean length of the identities; unit: every cue gets
    just that length, which throws away that a scattered history has a short mean."""
    leave_one_out: bool = False
    """Whether the user's pool leaves out the positive item of the training pair."""

    alpha: float = Field(0.6, ge=0, le=1)
    """Dominance of the anchor in dominant templates."""
    beta: float = Field(0.2, ge=0, le=1)
    """Tilt towards the anchor in balanced templates."""
    delta: float = Field(0.5, ge=0, le=1)
    """Share of the first auxiliary in complementary templates."""
    epsilon: float = Field(0.1, ge=0, lt=1)
    """Share of the anchor in complementary templates."""
    auxiliary_order: Literal["global", "content_first"] = "global"
    """Order of auxiliaries for content anchors: behaviour first (global) or last."""
    families: tuple[Family, ...] = Field(FAMILIES, min_length=1)
    """Template families in the pool. Where cues are projected vectors, mixing identities and cues inside one expert
    lets identities learn the training pairs' content by heart: ``preset = "projected"`` has dominant experts alone,
    each of one part (alpha = 1), and the router does the mixing."""
    replicas: PositiveInt = 1
    """p, experts per template, each with its own parameters."""
    templates: Literal["fixed", "learned"] = "fixed"
    """learned: softmax of free parameters instead of templates (Table 5 f)."""
    mixture: bool = True
    """False: one head on all cues and no router (Table 5 g)."""

    router: Literal["linear", "mlp"] = "linear"
    """Linear logits are a user part plus an item part; mlp has one hidden layer."""
    router_input: Literal["behaviour", "coherence"] = "behaviour"
    """behaviour: [z_u; z_i]; coherence adds, per modality, how alike the user's items are to each other."""
    router_scale: PositiveFloat = 1.0
    """Factor on the router's logits."""
    experts_per_pair: PositiveInt = 4
    """K, experts kept per pair."""
    head: Literal["hadamard", "concat"] = "hadamard"
    """phi and Score: element-wise product of expert maps, or one layer on the concatenation."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """p_d, on cues and on the router's hidden layer."""

    modality_dropout: float = Field(0.0, ge=0, lt=1)
    """Share of training pairs that do without a given part (behaviour or a modality), drawn per part; the rest of the
    template is scaled up, so that every part learns to speak alone."""

    identity_rate: PositiveFloat = 3.0
    """Learning rate of the identity tables, relative to the plan's."""
    head_rate: PositiveFloat = 1e-5
    """Learning rate of the expert maps and the readout, relative to the plan's. Every pair of every batch moves them:
    at the identities' rate they fit the training pairs long before the identities have learnt anything."""

    bpr: Literal["mean", "sum"] = "mean"
    """Reduction of Eq. (27)."""
    regulariser: Literal["identities", "everything"] = "identities"
    """Whose squares the loss adds: identities of the batch, per pair; or all parameters, literally."""
    l2: NonNegativeFloat = 1e-4
    """lambda, weight of those squares."""
    contrast: NonNegativeFloat = 1e-3
    """lambda_ctr, weight of the agreement between views."""
    temperature: PositiveFloat = 0.2
    """tau of Eq. (28)."""
    alignment: NonNegativeFloat = 0.01
    """Weight of InfoNCE between z and the mean of a node's cues (before factor and anchor), over the batch's distinct
    users and distinct positives. No such thing in the paper; source: MGCN (Yu et al., MM 2023)."""
    alignment_temperature: PositiveFloat = 0.2
    """Its temperature. No such thing in the paper."""
    attraction: NonNegativeFloat = 0.01
    """Weight of InfoNCE between a pair's user (z plus mean cue) and its positive's z, plus the same with the
    positive's mean cue; candidates are the batch's positives. No such thing in the paper; source: SOIL (Su et al.,
    MM 2024)."""
    attraction_temperature: PositiveFloat = 0.2
    """Its temperature. No such thing in the paper."""
    routing: NonNegativeFloat = 0.01
    """lambda_r, weight of the routing terms."""
    schedule: Literal["linear", "quadratic", "constant", "reverse"] = "linear"
    """How entropy sets the stage weights (Eq. 31, Table 6)."""

    switch: Literal["entropy", "fixed", "never", "start"] = "entropy"
    """When coverage gives way to confidence."""
    entropy_threshold: float = Field(0.9, ge=0, le=1)
    """H*, of the normalised entropy."""
    window: PositiveInt = 3
    """W, consecutive steps (or epochs) at or above the threshold."""
    trigger_unit: Literal["step", "epoch"] = "epoch"
    """Whether the window counts mini-batches (Eq. 26 as printed) or epochs."""
    smoothing: float = Field(0.9, ge=0, lt=1)
    """Factor of the exponential mean over steps that the trigger reads; 0 reads the plain value."""
    min_stage1_steps: NonNegativeInt = 0
    """Steps before which the switch cannot happen."""
    fixed_switch_step: PositiveInt | None = None
    """The step at which ``switch = "fixed"`` happens."""
    coverage_floor: float | None = Field(0.85, ge=0, lt=1)
    """Normalised entropy at which stage 2 stops sharpening and restores coverage; none lets it collapse."""

    def thriftier(self) -> list[dict[str, Any]]:
        """Fewer edges in training, then no induced ones at all, then fewer to begin with, then shorter vectors."""
        fanouts = [
            {"fanout": fanout} for fanout in THRIFTY_FANOUTS if self.fanout is None or fanout < self.fanout
        ]
        if self.views == "single":
            return [*fanouts, *super().thriftier()]
        if self.induced_between == "items":
            return [*fanouts, {"views": "single"}, *super().thriftier()]
        drawn = min(self.induced, self.induced_cap or self.induced)
        caps = [{"induced_cap": cap} for cap in THRIFTY_CAPS if cap < drawn]
        fewer = [{"induced": self.induced // 2}] if self.induced > 1 else []
        return [*caps, *fanouts, {"views": "single"}, *fewer, *super().thriftier()]

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, given: Any) -> Any:
        if isinstance(given, dict):
            return {**PRESETS.get(given.get("preset", "alnico"), {}), **given}
        return given

    @model_validator(mode="after")
    def _agree(self) -> "MagnetConfig":
        if self.switch == "fixed" and self.fixed_switch_step is None:
            raise ValueError("switch = 'fixed' needs fixed_switch_step, the step at which stage 2 begins")
        if len(set(self.families)) != len(self.families):
            raise ValueError("families names a family twice")
        if self.features_trainable and self.router_input == "coherence":
            raise ValueError(
                "router_input = 'coherence' needs features that stay as they are; use 'behaviour'"
            )
        if self.feature_input != "unit" and self.router_input == "coherence":
            raise ValueError(
                "router_input = 'coherence' compares vectors of length one; use feature_input = 'unit'"
            )
        if self.cue == "neighbourhood" and (self.projection != "linear" or self.feature_input != "unit"):
            raise ValueError(
                "cue = 'neighbourhood' reads raw vectors through gates; projection and feature_input belong to "
                "cue = 'projection', leave them out"
            )
        if self.induced_between == "items" and (self.induced_cap is not None or self.induced_weight != "one"):
            raise ValueError(
                "induced_cap and induced_weight are about users' edges, which induced_between = 'items' has none of; "
                "leave them out, or use 'users_and_items'"
            )
        return self
