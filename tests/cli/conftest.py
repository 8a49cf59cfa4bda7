"""What tests of `alnico data fetch` share."""

from fetches import fetch, place, shelf

__all__ = ["fetch", "place", "shelf"]
