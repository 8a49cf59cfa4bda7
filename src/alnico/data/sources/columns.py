"""Which column of somebody's table means what."""

from collections.abc import Mapping, Sequence

from alnico.errors import ConfigError, DataError, nearest

# Known names, lower case without spaces and punctuation, the most telling first.
EVENT_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "user": ("userid", "user", "uid", "customerid", "customer", "reviewerid", "visitorid", "memberid"),
    "item": ("itemid", "item", "parentasin", "asin", "productid", "product", "iid", "articleid"),
    "time": ("timestamp", "time", "unixreviewtime", "datetime", "date"),
    "rating": ("rating", "overall", "stars"),
    "event": ("event", "eventtype", "behavior", "behaviour", "behaviortype", "behaviourtype", "action"),
    "weight": ("weight", "strength"),
    "label": ("xlabel", "split", "part", "label"),
}
CARD_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "item": EVENT_COLUMNS["item"],
    "title": ("title", "name", "itemname", "productname"),
    "description": ("description", "summary", "plot", "abstract"),
    "category": ("category", "categories", "maincategory", "genres", "genre"),
    "brand": ("brand",),
    "price": ("price",),
    "image": ("image", "imagepath", "picture", "poster", "imurl", "imageurl"),
}


def plain(name: str) -> str:
    """A column's name without case, spaces and punctuation."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def recognise(
    found: Sequence[str],
    known: Mapping[str, Sequence[str]],
    given: Mapping[str, str],
    required: Sequence[str],
    where: str,
) -> dict[str, str]:
    """Role -> column, for every role that the table ``where`` fills.

    ``given`` names columns outright and wins over recognition by name.
    Raises ConfigError for an unknown role, DataError for a column that is not there or a required role that
    no column fills.
    """
    chosen: dict[str, str] = {}
    for role, column in given.items():
        if role not in known:
            raise ConfigError(f"there is no column role {role!r}{nearest(role, known)}")
        if column not in found:
            raise DataError(
                f"{where} has no column {column!r} (wanted as {role}); it has {', '.join(found)}"
                f"{nearest(column, found) if _is_near(column, found) else ''}"
            )
        chosen[role] = column
    free = {plain(column): column for column in reversed(found) if column not in chosen.values()}
    for role, names in known.items():
        if role not in chosen:
            match = next((free[name] for name in names if name in free), None)
            if match is not None:
                chosen[role] = match
    for role in required:
        if role not in chosen:
            raise DataError(_missing(role, known[role], found, where))
    return chosen


def _missing(role: str, names: Sequence[str], found: Sequence[str], where: str) -> str:
    """The sentence for a required role without a column."""
    nearby = next((column for column in found if _is_near(plain(column), names)), None)
    hint = nearby or "NAME"
    guess = f"; {nearby!r} looks nearest" if nearby else ""
    return (
        f"{where} has no column for the {role}: it has {', '.join(found)}{guess}; "
        f"name the column with --column {role}={hint}"
    )


def _is_near(word: str, names: Sequence[str]) -> bool:
    return "did you mean" in nearest(word, names)
