"""Test values that others published, to stand beside measured ones."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from alnico.experiment.results import OWN_MODEL, RunRecord

MMREC = "the evaluation table of MMRec"
DA_MRS = "public logs of DA-MRS"
LOGS = "logs of the model's authors"
PAPER = "the model's paper, as MAGNET's Table 4 repeats it"
TABLE_4 = "MAGNET's Table 4"


class Published(NamedTuple):
    """Test recall@10, recall@20, ndcg@10 and ndcg@20, and where they were read."""

    values: tuple[float, float, float, float]
    source: str


_BABY: Mapping[str, Published] = {
    "bpr_mf": Published((0.0357, 0.0575, 0.0192, 0.0249), MMREC),
    "vbpr": Published((0.0423, 0.0663, 0.0223, 0.0284), MMREC),
    "mmgcn": Published((0.0378, 0.0615, 0.0200, 0.0261), MMREC),
    "lightgcn": Published((0.0479, 0.0754, 0.0257, 0.0328), MMREC),
    "grcn": Published((0.0539, 0.0833, 0.0288, 0.0363), MMREC),
    "sgl": Published((0.0505, 0.0808, 0.0279, 0.0357), DA_MRS),
    "lattice": Published((0.0547, 0.0850, 0.0292, 0.0370), MMREC),
    "simgcl": Published((0.0492, 0.0778, 0.0268, 0.0341), DA_MRS),
    "slmrec": Published((0.0568, 0.0861, 0.0310, 0.0384), DA_MRS),
    "bm3": Published((0.0564, 0.0883, 0.0301, 0.0383), MMREC),
    "freedom": Published((0.0627, 0.0992, 0.0330, 0.0424), MMREC),
    "mgcn": Published((0.0620, 0.0964, 0.0339, 0.0427), PAPER),
    "lgmrec": Published((0.0644, 0.1002, 0.0347, 0.0440), LOGS),
    "soil": Published((0.0680, 0.1028, 0.0365, 0.0454), LOGS),
    "gume": Published((0.0673, 0.1042, 0.0365, 0.0460), PAPER),
    "smore": Published((0.0680, 0.1035, 0.0365, 0.0457), PAPER),
    "mig_gt": Published((0.0665, 0.1021, 0.0361, 0.0452), f"{PAPER}, with an easier mask"),
    "mentor": Published((0.0678, 0.1048, 0.0362, 0.0450), PAPER),
    "cmdl": Published((0.0649, 0.0910, 0.0314, 0.0393), TABLE_4),
    "itcohd": Published((0.0667, 0.1016, 0.0361, 0.0451), TABLE_4),
    OWN_MODEL: Published((0.0703, 0.1076, 0.0373, 0.0478), TABLE_4),
}

PUBLISHED: Mapping[str, Mapping[str, Published]] = {
    "baby": _BABY,
    # The same interactions and split, with the published item graph in place of vectors.
    "baby-structure": {name: _BABY[name] for name in ("lightgcn", "freedom")},
}
"""By data set and model, on the split that came with the data. DRAGON's could not be read at the source."""


def published(dataset: str, record: RunRecord) -> Published | None:
    """What others published for this run's model in its question, None where nothing is known.

    MAGNET's numbers are those of its dual view.
    """
    asked: Mapping[str, Any] = record.settings
    same = record.record["split"]["recipe"]["rule"] == "given" and asked["evaluation"]["mask"] == "train"
    is_other = record.model == OWN_MODEL and asked["model"].get("views") == "single"
    return PUBLISHED.get(dataset, {}).get(record.model) if same and not is_other else None


def sources(dataset: str, records: Sequence[RunRecord]) -> str | None:
    """One sentence on where the published numbers of these runs were read; None where there are none."""
    by_source: dict[str, list[str]] = {}
    for record in records:
        known = published(dataset, record)
        if known is not None and record.model not in by_source.setdefault(known.source, []):
            by_source[known.source].append(record.model)
    if not by_source:
        return None
    told = "; ".join(f"{', '.join(models)}: {source}" for source, models in by_source.items())
    return (
        "`published` is what others report of the same split, with the original vectors where a model reads content, "
        f"for orientation only. {told}."
    )
