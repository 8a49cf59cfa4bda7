"""Which column means what."""

import pytest

from alnico.data.sources.columns import CARD_COLUMNS, EVENT_COLUMNS, plain, recognise
from alnico.errors import ConfigError, DataError


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (["userID", "itemID", "x_label"], {"user": "userID", "item": "itemID", "label": "x_label"}),
        (["reviewerID", "asin", "overall", "unixReviewTime"],
         {"user": "reviewerID", "item": "asin", "rating": "overall", "time": "unixReviewTime"}),
        (["customer_id", "product_id", "event_type", "date"],
         {"user": "customer_id", "item": "product_id", "event": "event_type", "time": "date"}),
        (["uid", "item", "behavior"], {"user": "uid", "item": "item", "event": "behavior"}),
        (["User", "Item Id", "TIME", "split"],
         {"user": "User", "item": "Item Id", "time": "TIME", "label": "split"}),
        # Amazon 2023 has both: the family of a product, not its colour, is the item.
        (["user_id", "asin", "parent_asin"], {"user": "user_id", "item": "parent_asin"}),
    ],
)  # fmt: skip
def test_usual_names_are_recognised(found: list[str], expected: dict[str, str]) -> None:
    assert recognise(found, EVENT_COLUMNS, {}, ("user", "item"), "t.csv") == expected


def test_given_columns_win_and_free_the_recognised_one() -> None:
    roles = recognise(
        ["user_id", "buyer", "item_id"], EVENT_COLUMNS, {"user": "buyer"}, ("user", "item"), "t.csv"
    )
    assert roles == {"user": "buyer", "item": "item_id"}


def test_one_column_never_fills_two_roles() -> None:
    roles = recognise(
        ["user_id", "item_id", "date"], EVENT_COLUMNS, {"event": "date"}, ("user", "item"), "t.csv"
    )
    assert "time" not in roles


def test_missing_column_names_those_found_and_the_nearest() -> None:
    message = (
        r"t\.csv has no column for the user: it has usr_id, item_id; 'usr_id' looks nearest; "
        r"name the column with --column user=usr_id"
    )
    with pytest.raises(DataError, match=message):
        recognise(["usr_id", "item_id"], EVENT_COLUMNS, {}, ("user", "item"), "t.csv")


def test_missing_column_without_anything_near_names_those_found() -> None:
    with pytest.raises(
        DataError, match=r"for the item: it has user, a, b; name the column with --column item=NAME"
    ):
        recognise(["user", "a", "b"], EVENT_COLUMNS, {}, ("user", "item"), "t.csv")


def test_given_column_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(
        DataError, match=r"no column 'byuer' \(wanted as user\); it has buyer, item; did you mean 'buyer'"
    ):
        recognise(["buyer", "item"], EVENT_COLUMNS, {"user": "byuer"}, ("user", "item"), "t.csv")


def test_unknown_role_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="no column role 'usr'; did you mean 'user'"):
        recognise(["a"], EVENT_COLUMNS, {"usr": "a"}, (), "t.csv")


def test_known_names_are_written_plainly_and_mean_one_thing() -> None:
    for table in (EVENT_COLUMNS, CARD_COLUMNS):
        names = [name for known in table.values() for name in known]
        assert [plain(name) for name in names] == names
        assert len(set(names)) == len(names)
