"""What MAGNET rests on before anything is trained: item neighbours, graph views, and cues."""

from collections.abc import Mapping
from dataclasses import dataclass

from alnico.contracts import TrainingData
from alnico.data.neighbours import ItemNeighbours
from alnico.graphs.augment import induce_edges
from alnico.graphs.content import nearest_neighbours
from alnico.graphs.evidence import content_evidence
from alnico.graphs.items import content_lists
from alnico.models.magnet.config import MagnetConfig
from alnico.models.magnet.cues import ModalityCues
from alnico.models.magnet.neighbourhood import NeighbourhoodCues
from alnico.models.magnet.views import Views

AnyCues = ModalityCues | NeighbourhoodCues


@dataclass(frozen=True)
class Ground:
    """Graph views, how far content is trusted (0 to 1), and the recall of neighbours that were searched approximately,
    by modality."""

    views: Views
    trust: float
    recall: Mapping[str, float]


def laid(config: MagnetConfig, data: TrainingData) -> Ground:
    """The views that these settings ask for. Neighbours are looked for, and evidence is asked, where something needs
    them."""
    views, trust = Views.single(data.interactions), 1.0
    dual, users_too = config.views == "dual", config.induced_between == "users_and_items"
    asked = config.evidence and ((dual and users_too) or config.modality_dropout > 0)
    if not data.features or not (dual or asked):
        return Ground(views, trust, {})
    lists = _neighbours(config, data)
    question = (data.interactions, data.features, lists, config.induced, config.visibility, data.graphs)
    if asked:
        trust = content_evidence(*question).weight
    if dual and not users_too:
        views = Views.with_links(data, lists, config.layers)
    elif dual:
        edges = induce_edges(*question)
        if config.induced_weight == "visibility":
            edges = edges.weighed_by_visibility()
        views = Views.with_induced(data.interactions, edges.scaled(trust))
    recall = {name: found.recall for name, found in lists.items() if found.recall is not None}
    return Ground(views, trust, recall)


def _neighbours(config: MagnetConfig, data: TrainingData) -> Mapping[str, ItemNeighbours]:
    """Each modality's lists: those that came with the data, cut to size, or computed ones."""
    lists = {}
    for name, modality in data.features.items():
        given = data.neighbours.get(name)
        lists[name] = (
            nearest_neighbours(modality, config.neighbours, data.graphs, search=config.neighbour_search)
            if given is None
            else given.first(min(config.neighbours, given.k))
        )
    return lists


def made_cues(config: MagnetConfig, data: TrainingData) -> Mapping[str, AnyCues]:
    """Untrained cues of each modality."""
    train, features = data.interactions, data.features
    if config.cue == "projection":
        return {name: ModalityCues(modality, train, config) for name, modality in features.items()}
    near = content_lists(features, data.neighbours, data.graphs, config.cue_neighbours)
    return {
        name: NeighbourhoodCues(modality, near[name], train, config) for name, modality in features.items()
    }
