"""From raw files to a stored data set."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from alnico.data.dataset import Dataset
from alnico.data.filtering import filter_to_core
from alnico.data.sources import read_dataset
from alnico.data.store import Manifest, check_place, save_dataset


def import_dataset(
    source: Path,
    to: Path,
    *,
    core: int = 0,
    min_user: int = 0,
    min_item: int = 0,
    force: bool = False,
    enrich: Callable[[Dataset], tuple[Dataset, list[str]]] | None = None,
    **reading: Any,
) -> Manifest:
    """Read raw files, as ``read_dataset`` does with ``reading``, into a data folder; its manifest.

    ``core`` keeps users and items with at least that many interactions, to a fixed point; ``min_user`` and
    ``min_item`` ask it of one side. ``enrich`` gives the data set with more in it, and notices. The manifest's notices
    say what a person should know.
    Raises as ``read_dataset`` and ``save_dataset`` do; before anything is read if ``to`` cannot be written.
    """
    check_place(to, force=force)
    dataset, notices = read_dataset(source, **reading)
    users, items = max(core, min_user), max(core, min_item)
    if users or items:
        dataset, dropped = filter_to_core(dataset, users=users, items=items)
        if dropped.users or dropped.items:
            notices.append(
                f"the filter dropped {dropped.users} users, {dropped.items} items and {dropped.interactions} "
                "interactions"
            )
    if enrich is not None:
        dataset, told = enrich(dataset)
        notices += told
    return save_dataset(dataset, to, force=force, notices=notices)
