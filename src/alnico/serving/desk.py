"""What the routes of a service share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Request

from alnico.serving.counters import Counters
from alnico.serving.settings import ServiceSettings
from alnico.serving.shelf import Shelf

Found = TypeVar("Found")


@dataclass(frozen=True)
class Desk:
    """What the routes share."""

    shelf: Shelf
    settings: ServiceSettings
    counters: Counters

    async def ask(self, question: Callable[[], Found]) -> Found:
        """An answer of the model, or BusyError."""
        return await self.shelf.ask(question, self.settings.seconds)


def _desk(request: Request) -> Desk:
    found: Desk = request.app.state.desk
    return found


At = Annotated[Desk, Depends(_desk)]
