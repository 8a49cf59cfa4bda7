"""A shop as ordinary files, the truth kept apart."""

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alnico.catalogue.drawing import STYLES, draw
from alnico.catalogue.shop import KINDS, Items, ShopPlan, check_feasible, draw_items
from alnico.catalogue.tastes import Users, draw_choices, draw_users
from alnico.catalogue.wording import PURPOSES, write
from alnico.data.interactions import Interactions
from alnico.data.store import check_place, replaced_folder
from alnico.randomness import rng

PLAN_FILE = "truth/plan.json"
"""What tells a folder written here from any other."""

_JPEG_QUALITY = 88

Progress = Callable[[int, int], None]
"""Told (done, total) from time to time."""


@dataclass(frozen=True)
class Shop:
    """What was written where."""

    folder: Path
    plan: ShopPlan
    n_users: int
    n_items: int
    n_interactions: int
    n_images: int
    n_texts: int
    n_new: int
    n_unsold: int


def make_shop(plan: ShopPlan, folder: Path, *, force: bool = False, progress: Progress | None = None) -> Shop:
    """Write the shop of this plan and say what was written; the same plan gives the same bytes.

    ``interactions.csv`` (user_id, item_id, timestamp in seconds), ``items.csv`` (item_id, title, description,
    category, price, image) and ``images/*.jpg`` are what a data source sees. ``truth/`` holds what only the
    maker knows: users.csv, items.csv and plan.json. The folder appears complete or not at all.
    Raises: ConfigError if the plan cannot be carried out; StorageError if something stands there (unless
    ``force`` and it is a shop written here) or the folder cannot be written.
    """
    check_feasible(plan)
    check_place(folder, force=force, expected=PLAN_FILE)
    items, users = draw_items(plan), draw_users(plan)
    choices = draw_choices(plan, users, items)
    with replaced_folder(folder, force=force, expected=PLAN_FILE) as fresh:
        _write_items(plan, items, fresh)
        _write_interactions(plan, choices, fresh / "interactions.csv")
        _write_truth(plan, users, items, choices, fresh / "truth")
        _write_images(plan, items, fresh / "images", progress)
    return Shop(
        folder=folder,
        plan=plan,
        n_users=len(users),
        n_items=len(items),
        n_interactions=len(choices),
        n_images=int(items.has_image.sum()),
        n_texts=int(items.has_text.sum()),
        n_new=int(items.new.sum()),
        n_unsold=int((choices.item_degrees == 0).sum()),
    )


def outside_ids(letter: str, n: int) -> list[str]:
    """Ids like u0042: the letter and a number with at least four digits."""
    width = max(4, len(str(n - 1)))
    return [f"{letter}{number:0{width}d}" for number in range(n)]


def _write_items(plan: ShopPlan, items: Items, folder: Path) -> None:
    # One stream per item: an item without a text does not change what the next one says.
    random = rng(plan.seed, "shop prices")
    prices = np.exp(random.normal(3.2, 0.6, len(items)))
    rows = []
    for number, name in enumerate(outside_ids("i", len(items))):
        title = description = category = ""
        if items.has_text[number]:
            title, description, category = write(
                int(items.told[number]), rng(plan.seed, "shop texts", number)
            )
        image = f"images/{name}.jpg" if items.has_image[number] else ""
        rows.append((name, title, description, category, f"{prices[number]:.2f}", image))
    header = ("item_id", "title", "description", "category", "price", "image")
    _write_table(folder / "items.csv", header, rows)


def _write_interactions(plan: ShopPlan, choices: Interactions, path: Path) -> None:
    users, items = outside_ids("u", plan.n_users), outside_ids("i", plan.n_items)
    assert choices.times is not None
    order = np.lexsort((choices.items, choices.users, choices.times))
    columns = (choices.users[order].tolist(), choices.items[order].tolist(), choices.times[order].tolist())
    rows = ((users[u], items[i], int(time)) for u, i, time in zip(*columns, strict=True))
    _write_table(path, ("user_id", "item_id", "timestamp"), rows)


def _write_images(plan: ShopPlan, items: Items, folder: Path, progress: Progress | None) -> None:
    folder.mkdir()
    names = outside_ids("i", len(items))
    pictured = np.flatnonzero(items.has_image).tolist()
    for done, number in enumerate(pictured):
        picture = draw(int(items.pictured[number]), rng(plan.seed, "shop pictures", number))
        picture.save(folder / f"{names[number]}.jpg", "JPEG", quality=_JPEG_QUALITY)
        if progress is not None:
            progress(done + 1, len(pictured))


def _write_truth(plan: ShopPlan, users: Users, items: Items, choices: Interactions, folder: Path) -> None:
    folder.mkdir()
    names = outside_ids("u", len(users))
    likes = (users.likes_style, users.likes_purpose, users.likes_fashion)
    user_rows = []
    for number, name in enumerate(names):
        shares = (f"{share:.6f}" for share in users.shares[number])
        favourites = (_favourites(grades[number]) for grades in likes)
        user_rows.append((name, KINDS[users.kinds[number]], *shares, *favourites))
    header = (
        "user_id",
        "kind",
        "style_share",
        "purpose_share",
        "fashion_share",
        "styles",
        "purposes",
        "fashions",
    )
    _write_table(folder / "users.csv", header, user_rows)
    columns: dict[str, Sequence[object]] = {
        "item_id": outside_ids("i", len(items)),
        "style": items.styles.tolist(),
        "purpose": items.purposes.tolist(),
        "fashion": items.fashions.tolist(),
        "pictured_style": items.pictured.tolist(),
        "told_purpose": items.told.tolist(),
        "style_name": [STYLES[style].name for style in items.styles],
        "purpose_name": [PURPOSES[purpose].name for purpose in items.purposes],
        "new": items.new.astype(int).tolist(),
        "has_image": items.has_image.astype(int).tolist(),
        "has_text": items.has_text.astype(int).tolist(),
        "buyers": choices.item_degrees.tolist(),
    }
    _write_table(folder / "items.csv", tuple(columns), zip(*columns.values(), strict=True))
    (folder / "plan.json").write_text(plan.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _favourites(grades: NDArray[np.float64]) -> str:
    """Liked groups, most liked first."""
    order = np.argsort(-grades, kind="stable")
    return " ".join(str(group) for group in order[: int((grades > 0).sum())])


def _write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
