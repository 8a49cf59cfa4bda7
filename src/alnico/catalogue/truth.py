"""Reading back what only the maker of a shop knows."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
from pydantic import ValidationError

from alnico.catalogue.shop import ShopPlan
from alnico.catalogue.writing import PLAN_FILE
from alnico.errors import StorageError


@dataclass(frozen=True, eq=False)
class Truth:
    """The plan of a shop, its users and its items as they truly are.

    ``users`` has user_id, kind (visual, textual or fashion), style_share, purpose_share, fashion_share, and
    the favourite styles, purposes and fashions as numbers between spaces, most liked first. ``items`` has
    item_id, style, purpose, fashion, pictured_style, told_purpose (what picture and text show), style_name,
    purpose_name, new, has_image, has_text (0 or 1) and buyers.
    """

    plan: ShopPlan
    users: pl.DataFrame
    items: pl.DataFrame


def read_truth(shop: Path) -> Truth:
    """The truth of a shop written by ``make_shop``. Raises StorageError if there is none."""
    try:
        plan = ShopPlan.model_validate_json((shop / PLAN_FILE).read_bytes())
        users, items = (pl.read_csv(shop / "truth" / name, glob=False) for name in ("users.csv", "items.csv"))
    except (OSError, ValidationError, pl.exceptions.PolarsError) as problem:
        reason = str(problem).splitlines()[0]
        raise StorageError(
            f"{shop} holds no truth that can be read here: {reason}; write the shop with `alnico catalogue`"
        ) from problem
    favourites = pl.col("styles", "purposes", "fashions").cast(pl.String)
    return Truth(plan, users.with_columns(favourites), items)
