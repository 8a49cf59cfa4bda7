"""What a service allows and how long it waits."""

from pydantic import BaseModel, NonNegativeInt, PositiveFloat, PositiveInt


class ServiceSettings(BaseModel, frozen=True, extra="forbid"):
    """Limits of a service."""

    api_key: str | None = None
    """If given, every request but those for the page, ``/health`` and ``/openapi.json`` has to bring it in
    ``X-API-Key``; reloading needs one in any case."""
    most_listed: PositiveInt = 500
    """Longest list that can be asked for."""
    most_bytes: PositiveInt = 10 * 2**20
    """Largest body of a request."""
    most_history: PositiveInt = 1000
    """Most items in the history of somebody unknown."""
    per_minute: NonNegativeInt = 0
    """Requests that one client may make in a minute; 0 sets no limit."""
    most_waiting: PositiveInt = 256
    """Questions that may wait for the model; beyond that the service says that it is busy."""
    seconds: PositiveFloat = 10.0
    """Longest time that a question or a body may take."""
