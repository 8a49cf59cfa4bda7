"""Bundles on disk: folders of safetensors and JSON, written whole or not at all, and believed after their checks."""

import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alnico.data.dataset import ItemCards
from alnico.data.features import ItemFeatures, Modality
from alnico.data.ids import IdMap
from alnico.data.interactions import Interactions
from alnico.data.neighbours import ItemNeighbours
from alnico.data.store import check_place, file_record, replaced_folder
from alnico.errors import DataError, StorageError
from alnico.models import restore
from alnico.serving.bundle import TRAINED, Bundle
from alnico.serving.card import card_text
from alnico.serving.manifest import (
    CARD,
    CARDS,
    CONTENT,
    ENCODERS,
    FORMAT,
    HISTORIES,
    IDS,
    ITEMS,
    MANIFEST,
    NEIGHBOURS,
    PICTURES,
    SCORER,
    VERSION,
    Manifest,
    check_files,
    read_manifest,
)
from alnico.storage import read_json, read_tensors, write_json, write_tensors, write_text
from alnico.training.checkpoint import load_scorer_state, save_scorer


def check_free(folder: Path, *, force: bool) -> None:
    """Raise StorageError if a bundle may not be written to ``folder``; with ``force`` an old bundle may be replaced."""
    check_place(folder, force=force, expected=MANIFEST)


def save_bundle(bundle: Bundle, folder: Path, *, force: bool = False) -> Manifest:
    """Write the bundle as a folder and return its manifest.

    Everything is written beside the target and moved into place at the end, so that under the final name stands either
    nothing, the old bundle, or all of the new one. With ``force`` an old bundle is replaced, else it is an error; what
    is no bundle is never replaced. Raises StorageError if that fails; nothing stays behind then.
    """
    with replaced_folder(folder, force=force, expected=MANIFEST) as partial:
        _write_files(bundle, partial)
        manifest = Manifest(
            format=FORMAT,
            version=VERSION,
            created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            alnico=version("alnico"),
            users=len(bundle.users),
            items=bundle.n_items,
            added_items=int((bundle.standing != TRAINED).sum()),
            modalities={name: modality.width for name, modality in bundle.content.items()},
            facts=bundle.facts,
            files={path.name: file_record(path) for path in sorted(partial.iterdir())},
            fingerprint="",
        )
        manifest = manifest.model_copy(update={"fingerprint": manifest.true_fingerprint()})
        write_json(partial / MANIFEST, manifest.model_dump(mode="json"))
    return manifest


def _write_files(bundle: Bundle, folder: Path) -> None:
    write_text(folder / CARD, card_text(bundle))
    save_scorer(folder / SCORER, bundle.scorer.state())
    write_json(folder / IDS, {"users": bundle.users.names.tolist(), "items": bundle.items.names.tolist()})
    write_json(folder / CARDS, {name: list(values) for name, values in bundle.cards.columns.items()})
    _write_numbered(
        folder / CONTENT,
        {name: {"vectors": own.vectors, "present": own.present} for name, own in bundle.content.items()},
    )
    _write_numbered(
        folder / NEIGHBOURS,
        {name: {"items": own.items, "weights": own.weights} for name, own in bundle.neighbours.items()},
    )
    _write_arrays(folder / ITEMS, {"takers": bundle.takers, "standing": bundle.standing})
    if bundle.histories is not None:
        arrays = {"offsets": bundle.histories.offsets, "items": bundle.histories.items}
        _write_arrays(folder / HISTORIES, arrays)
    if any(picture is not None for picture in bundle.pictures):
        lengths = [len(picture or b"") for picture in bundle.pictures]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        body = np.frombuffer(b"".join(picture or b"" for picture in bundle.pictures), np.uint8)
        _write_arrays(folder / PICTURES, {"offsets": offsets, "bytes": body})
    if bundle.encoders:
        write_tensors(folder / ENCODERS, bundle.encoders, {})


def _write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    write_tensors(path, {name: torch.from_numpy(np.array(values)) for name, values in arrays.items()}, {})


def _write_numbered(path: Path, tables: Mapping[str, Mapping[str, NDArray[Any]]]) -> None:
    """Tables of several arrays each, by name and in order; tensors are named by number, since names may be anything."""
    tensors = {
        f"{number}.{part}": torch.from_numpy(np.array(values))
        for number, arrays in enumerate(tables.values())
        for part, values in arrays.items()
    }
    write_tensors(path, tensors, {"names": list(tables)})


def load_bundle(folder: Path) -> Bundle:
    """The bundle in this folder, ready to answer; nothing of its training data is needed.

    Raises StorageError if it is none, is of a newer version, holds a file that its manifest does not list, or a file
    that is not as it was written.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    try:
        check_files(folder, manifest)
        bundle = _read_files(folder, manifest)
    except OSError as problem:
        raise StorageError(
            f"{folder} cannot be read: {problem.strerror}; it may have been replaced just now, read it again"
        ) from problem
    except (KeyError, TypeError, IndexError, AttributeError, ValueError, RuntimeError) as problem:
        raise StorageError(f"{folder} cannot be read back ({problem}); export the run again") from problem
    except DataError as problem:
        raise StorageError(f"{folder} cannot be read back: {problem}") from problem
    if read_manifest(folder).fingerprint != manifest.fingerprint:
        raise StorageError(f"{folder} was replaced while it was being read; read it again")
    return bundle


def _read_files(folder: Path, manifest: Manifest) -> Bundle:
    ids, cards = read_json(folder / IDS), read_json(folder / CARDS)
    items = IdMap(_names(ids["items"]), "item")
    users = IdMap(_names(ids["users"]), "user")
    content = {
        name: Modality(own["vectors"].numpy(), own["present"].numpy())
        for name, own in _read_numbered(folder / CONTENT).items()
    }
    neighbours = {
        name: ItemNeighbours(own["items"].numpy(), own["weights"].numpy())
        for name, own in _read_numbered(folder / NEIGHBOURS).items()
    }
    about, _ = read_tensors(folder / ITEMS)
    bundle = Bundle(
        facts=manifest.facts,
        scorer=restore(load_scorer_state(folder / SCORER)),
        users=users,
        items=items,
        cards=ItemCards({name: tuple(values) for name, values in cards.items()}),
        content=ItemFeatures(len(items), content),
        neighbours=neighbours,
        histories=_read_histories(folder, manifest, len(users), len(items)),
        takers=about["takers"].numpy(),
        standing=about["standing"].numpy(),
        pictures=_read_pictures(folder, manifest, len(items)),
        encoders=read_tensors(folder / ENCODERS)[0] if ENCODERS in manifest.files else {},
    )
    _check_sizes(bundle, folder)
    return bundle


def _names(names: Sequence[int | str]) -> NDArray[Any]:
    if not all(type(name) is int for name in names) and not all(type(name) is str for name in names):
        raise ValueError("ids are neither all integers nor all texts")
    return np.array(names, np.str_ if names and isinstance(names[0], str) else np.int64)


def _read_numbered(path: Path) -> dict[str, dict[str, Tensor]]:
    tensors, notes = read_tensors(path)
    found: dict[str, dict[str, Tensor]] = {name: {} for name in notes["names"]}
    for key, tensor in tensors.items():
        number, part = key.split(".")
        found[notes["names"][int(number)]][part] = tensor
    return found


def _read_histories(folder: Path, manifest: Manifest, n_users: int, n_items: int) -> Interactions | None:
    if HISTORIES not in manifest.files:
        return None
    arrays, _ = read_tensors(folder / HISTORIES)
    counts = np.diff(arrays["offsets"].numpy())
    taken = arrays["items"].numpy()
    # The place in the list stands for the time, so that the oldest stays first.
    return Interactions(
        np.repeat(np.arange(n_users), counts),
        taken,
        n_users,
        n_items,
        np.arange(len(taken), dtype=np.float64),
    )


def _read_pictures(folder: Path, manifest: Manifest, n_items: int) -> tuple[bytes | None, ...]:
    if PICTURES not in manifest.files:
        return (None,) * n_items
    arrays, _ = read_tensors(folder / PICTURES)
    offsets, body = arrays["offsets"].tolist(), arrays["bytes"].numpy().tobytes()
    return tuple(body[start:end] or None for start, end in pairwise(offsets))


def _check_sizes(bundle: Bundle, folder: Path) -> None:
    """Raise StorageError if the bundle's parts do not belong together."""
    n_users, n_items = len(bundle.users), bundle.n_items
    rows = {
        "items of the model": bundle.scorer.n_items,
        "counts of takers": len(bundle.takers),
        "standings": len(bundle.standing),
        "pictures": len(bundle.pictures),
        **{f"neighbour lists by {name}": lists.n_items for name, lists in bundle.neighbours.items()},
        **{f"values of {name}": len(values) for name, values in bundle.cards.columns.items()},
    }
    for what, n in rows.items():
        if n != n_items:
            raise StorageError(f"{folder} has {n_items} items but {n} {what}; export the run again")
    if bundle.scorer.n_users != n_users:
        raise StorageError(
            f"{folder} has {n_users} users but its model {bundle.scorer.n_users}; export the run again"
        )
