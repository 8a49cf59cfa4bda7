"""Bundles of tiny finished runs, each written and read back."""

from dataclasses import dataclass
from pathlib import Path

from alnico.experiment.folder import Run
from alnico.experiment.run import run
from alnico.experiment.spec import read_spec
from alnico.serving.bundle import Bundle
from alnico.serving.export import bundle_of
from alnico.serving.folder import load_bundle, save_bundle
from finished_runs import Finished

SETTINGS = {
    "bpr_mf": {"name": "bpr_mf", "width": 8},
    # MAGNET's default, with a router that reads coherence too.
    "neighbourhood": {"name": "magnet", "width": 8, "neighbours": 5, "router_input": "coherence"},
}
NAMES = ("magnet", "neighbourhood", "bpr_mf", "item_knn", "popularity")


@dataclass(frozen=True)
class Exported:
    """A run, its bundle's folder, and the bundle as it was read back."""

    run: Run
    folder: Path
    bundle: Bundle


def export_all(finished: Finished, folder: Path) -> dict[str, Exported]:
    """One for each kind of finished model; takes a few seconds."""
    runs = {"magnet": finished.magnet, "item_knn": finished.item_knn, "popularity": finished.popularity}
    for name, model in SETTINGS.items():
        spec = read_spec({**finished.magnet.spec.resolved(), "model": model})
        runs[name] = run(spec, folder / "runs" / name, label=name)
    found = {}
    for name in NAMES:
        save_bundle(bundle_of(runs[name]), folder / name)
        found[name] = Exported(runs[name], folder / name, load_bundle(folder / name))
    return found
