"""Finished runs to look at: records made by hand, and real ones on a shop of a few dozen items."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alnico.catalogue.shop import ShopPlan
from alnico.catalogue.writing import make_shop
from alnico.data.sources import read_dataset
from alnico.data.store import save_dataset
from alnico.encoders.encode import encode_folder
from alnico.encoders.encoder import LIGHT
from alnico.evaluation.evaluate import Scores
from alnico.experiment.folder import Run
from alnico.experiment.results import RunRecord, record_of
from alnico.experiment.run import run
from alnico.experiment.spec import read_spec
from alnico.experiment.variants import StudyRow

METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")


def record(
    name: str,
    values: Sequence[float],
    *,
    model: str = "magnet",
    dataset: str = "toy",
    valid: float = 0.5,
    question: str = "q",
    history: Sequence[Mapping[str, float | None]] = (),
) -> RunRecord:
    """A record whose per-user values are the same for each of four measures."""
    column = np.array(values, dtype=np.float64)
    told: dict[str, Any] = {
        "label": name,
        "spec": {
            "model": {"name": model, "width": 8},
            "seed": 3,
            "training": {"metric": "ndcg@20", "patience": 5},
            "evaluation": {"mask": "train"},
        },
        "dataset": {
            "name": dataset,
            "fingerprint": f"data {question}",
            "users": 9,
            "items": 7,
            "modalities": ["image"],
        },
        "split": {
            "recipe": {"rule": "random", "seed": 1},
            "fingerprint": f"split {question}",
            "facts": {"train": 30, "valid": 4, "test": 5, "cold_test_interactions": 1},
        },
    }
    result: dict[str, Any] = {
        "valid": dict.fromkeys(METRICS, valid),
        "test": dict.fromkeys(METRICS, float(column.mean())),
        "test_users": len(column),
        "epochs": len(history),
        "best_epoch": min(1, len(history)),
        "train_seconds_per_epoch": 0.25,
        "peak_memory_bytes": 300 * 2**20,
    }
    scores = Scores(np.arange(len(column)), dict.fromkeys(METRICS, column))
    return RunRecord(name, told, result, list(history), scores)


@dataclass(frozen=True)
class Finished:
    """A tiny shop and three finished runs on it: MAGNET, item-kNN on content, popularity."""

    shop: Path
    data: Path
    magnet: Run
    item_knn: Run
    popularity: Run

    @property
    def runs(self) -> list[Run]:
        """All of them."""
        return [self.magnet, self.item_knn, self.popularity]


def finish(folder: Path) -> Finished:
    """Make the shop, train and test; takes a few seconds."""
    shop, data = folder / "shop", folder / "data"
    make_shop(ShopPlan(n_users=40, n_items=48, n_interactions=400, without_image_share=0.2), shop)
    encode_folder(shop, LIGHT, LIGHT)
    dataset, notices = read_dataset(shop, name="toy")
    save_dataset(dataset, data, notices=notices)
    models = {
        "magnet": {
            **{"name": "magnet", "preset": "projected", "evidence": False},
            **{"width": 8, "neighbours": 5, "induced": 10},
        },
        "item_knn": {"name": "item_knn", "source": "content"},
        "popularity": {"name": "popularity"},
    }
    runs = {}
    for name, model in models.items():
        spec = read_spec(
            {
                "dataset": str(data),
                "model": model,
                "seed": 1,
                "split": {"rule": "random"},
                "training": {"epochs": 2, "batch_size": 64, "metric": "ndcg@20"},
            }
        )
        runs[name] = run(spec, folder / "runs" / name, label=name)
    return Finished(shop, data, **runs)


def record_row(run: Run, label: str | None = None) -> StudyRow:
    """A finished run as the row of a study."""
    kept = record_of(run)
    return StudyRow(label or run.label, {}, kept.dataset, int(kept.settings["seed"]), kept, run)
