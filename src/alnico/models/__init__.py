"""Every model by name. A new model is one file and one line here."""

from alnico.contracts import Recommender, Scorer, ScorerState
from alnico.errors import ConfigError, StorageError, nearest
from alnico.models.bm3 import Bm3
from alnico.models.bpr_mf import BprMf
from alnico.models.cmdl import Cmdl
from alnico.models.dragon import Dragon
from alnico.models.freedom import Freedom
from alnico.models.grcn import Grcn
from alnico.models.gume import Gume
from alnico.models.itcohd import ItCoHd
from alnico.models.item_knn import ItemKnn
from alnico.models.lattice import Lattice
from alnico.models.lgmrec import LgmRec
from alnico.models.lightgcn import LightGcn
from alnico.models.magnet.model import Magnet
from alnico.models.magnet.scorer import MagnetScorer
from alnico.models.mentor import Mentor
from alnico.models.mgcn import Mgcn
from alnico.models.mig_gt import MigGt
from alnico.models.mmgcn import Mmgcn
from alnico.models.popularity import Popularity
from alnico.models.sgl import Sgl
from alnico.models.simgcl import SimGcl
from alnico.models.slmrec import SlmRec
from alnico.models.smore import Smore
from alnico.models.soil import Soil
from alnico.models.vbpr import Vbpr
from alnico.scorers import DotScorer, NeighbourScorer, PopularityScorer

MODELS: dict[str, type[Recommender]] = {
    "popularity": Popularity,
    "item_knn": ItemKnn,
    "bpr_mf": BprMf,
    "vbpr": Vbpr,
    "mmgcn": Mmgcn,
    "lightgcn": LightGcn,
    "grcn": Grcn,
    "sgl": Sgl,
    "lattice": Lattice,
    "simgcl": SimGcl,
    "slmrec": SlmRec,
    "bm3": Bm3,
    "freedom": Freedom,
    "mgcn": Mgcn,
    "dragon": Dragon,
    "lgmrec": LgmRec,
    "soil": Soil,
    "gume": Gume,
    "smore": Smore,
    "mig_gt": MigGt,
    "mentor": Mentor,
    "cmdl": Cmdl,
    "itcohd": ItCoHd,
    "magnet": Magnet,
}


def model_class(name: str) -> type[Recommender]:
    """The model of this name. Raises ConfigError with the nearest name when there is none."""
    if name not in MODELS:
        raise ConfigError(f"there is no model {name!r}{nearest(name, MODELS)}")
    return MODELS[name]


SCORERS: dict[str, type[Scorer]] = {
    scorer.kind: scorer for scorer in (DotScorer, PopularityScorer, NeighbourScorer, MagnetScorer)
}


def restore(state: ScorerState) -> Scorer:
    """The finished model that ``state`` describes. Raises StorageError for a kind this version does not know."""
    if state.kind not in SCORERS:
        raise StorageError(
            f"a finished model of kind {state.kind!r} is unknown to this version{nearest(state.kind, SCORERS)}"
        )
    return SCORERS[state.kind].from_state(state)
