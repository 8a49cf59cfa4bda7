"""alnico: ranked, explained recommendations from interactions and what items look, read and sound like.

These names are the front door; everything else is imported from its module. A name is looked up in its
module when it is first asked for, so ``import alnico`` alone loads nothing heavy.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alnico.data.dataset import Dataset as Dataset
    from alnico.data.features import ItemFeatures as ItemFeatures
    from alnico.data.interactions import Interactions as Interactions
    from alnico.data.sources import read_dataset as read_dataset
    from alnico.data.split import Split as Split
    from alnico.data.splitting import split as split
    from alnico.data.store import open_dataset as open_dataset
    from alnico.data.store import save_dataset as save_dataset
    from alnico.evaluation.evaluate import evaluate as evaluate
    from alnico.evaluation.significance import compare as compare
    from alnico.experiment.answer import recommend as recommend
    from alnico.experiment.folder import open_run as open_run
    from alnico.experiment.run import run as run
    from alnico.experiment.spec import RunSpec as RunSpec
    from alnico.models import MODELS as MODELS

__version__ = "0.1.0"

# Threads that wait spin for some microseconds only and then sleep. Left alone they spin for milliseconds: where
# another program wants the core, a step of training then takes ten to thirty times as long; without any spinning
# each of its many small operations waits to be woken. Read by the OpenMP library when torch loads it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# The same names once more, because type checkers cannot follow a table; a test keeps the two equal.
_HOMES = {
    "MODELS": "alnico.models",
    "Dataset": "alnico.data.dataset",
    "Interactions": "alnico.data.interactions",
    "ItemFeatures": "alnico.data.features",
    "RunSpec": "alnico.experiment.spec",
    "Split": "alnico.data.split",
    "compare": "alnico.evaluation.significance",
    "evaluate": "alnico.evaluation.evaluate",
    "open_dataset": "alnico.data.store",
    "open_run": "alnico.experiment.folder",
    "read_dataset": "alnico.data.sources",
    "recommend": "alnico.experiment.answer",
    "run": "alnico.experiment.run",
    "save_dataset": "alnico.data.store",
    "split": "alnico.data.splitting",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    """The object behind a name of the front door. Raises AttributeError for any other name."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'alnico' has no attribute {name!r}; it offers {', '.join(_HOMES)}")
    found: object = getattr(import_module(home), name)
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
