"""What stands before every request: keys, rates, sizes of bodies, and how long one may take to send them."""

import asyncio
import contextlib
import hmac
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from alnico.serving.settings import ServiceSettings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

OPEN = ("/health", "/openapi.json", "/", "/page/")
"""What needs no key: the path itself, or what stands below it where it ends in a slash and is not the root."""
MOST_CLIENTS = 10_000
"""Clients whose rates are remembered; those not heard of for longest are forgotten first."""


class BodyError(Exception):
    """A body grew too large or came too slowly."""


class Limits:
    """Answers 401, 408, 413 and 429 itself, and hands on everything else."""

    def __init__(self, app: App, settings: ServiceSettings) -> None:
        self.app, self.settings = app, settings
        self.buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {key.lower(): value for key, value in scope["headers"]}
        refusal = self._refused(scope, headers)
        if refusal is not None:
            await refuse(send, *refusal)
            return
        body = _Body(receive, self.settings)
        started = False

        async def heard(message: Message) -> None:
            nonlocal started
            # Whatever the application makes of half a body is not its answer.
            if body.refusal is None or started:
                started = True
                await send(message)

        with contextlib.suppress(BodyError):
            await self.app(scope, body.receive, heard)
        if body.refusal is not None and not started:
            await refuse(send, *body.refusal)

    def _refused(
        self, scope: MutableMapping[str, Any], headers: dict[bytes, bytes]
    ) -> tuple[int, str] | None:
        key, path = self.settings.api_key, str(scope["path"])
        is_open = any(
            path == one or (len(one) > 1 and one.endswith("/") and path.startswith(one)) for one in OPEN
        )
        if key is not None and not is_open:
            given = headers.get(b"x-api-key", b"")
            if not hmac.compare_digest(given, key.encode()):
                return 401, "this needs the service's key in the header X-API-Key"
        length = headers.get(b"content-length", b"0")
        if not length.isdigit():
            return 400, "the header Content-Length is no number"
        if int(length) > self.settings.most_bytes:
            return too_large(self.settings)
        client = scope.get("client")
        if self.settings.per_minute and not is_open and not self._may(client[0] if client else ""):
            return 429, f"at most {self.settings.per_minute} requests a minute; wait a moment"
        return None

    def _may(self, client: str) -> bool:
        """Take one from a bucket that fills by ``per_minute`` a minute and holds as many."""
        most, now = float(self.settings.per_minute), time.monotonic()
        left, then = self.buckets.pop(client, (most, now))
        left = min(most, left + (now - then) * most / 60)
        allowed = left >= 1
        self.buckets[client] = (left - 1 if allowed else left, now)
        if len(self.buckets) > MOST_CLIENTS:
            self.buckets.popitem(last=False)
        return allowed


class _Body:
    """Hands on a body as it comes until it grows too large or too late; ``refusal`` is then what there is to say."""

    def __init__(self, receive: Receive, settings: ServiceSettings) -> None:
        self._receive, self._settings = receive, settings
        self._deadline = time.monotonic() + settings.seconds
        self._size, self._whole = 0, False
        self.refusal: tuple[int, str] | None = None

    async def receive(self) -> Message:
        """The next message of the client."""
        if self._whole:
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, self._deadline - time.monotonic()))
        except TimeoutError as problem:
            self.refusal = (408, f"the body was not there within {self._settings.seconds:g} seconds")
            raise BodyError from problem
        if message["type"] == "http.request":
            self._size += len(message.get("body", b""))
            self._whole = not message.get("more_body", False)
            if self._size > self._settings.most_bytes:
                self.refusal = too_large(self._settings)
                raise BodyError
        return message


def too_large(settings: ServiceSettings) -> tuple[int, str]:
    """The refusal of a body."""
    return 413, f"a body may have at most {settings.most_bytes:,} bytes"


async def refuse(send: Send, status: int, sentence: str) -> None:
    """Send an error as JSON."""
    body = json.dumps({"error": sentence}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status in (408, 413):
        # What is still on its way would be read as the next request.
        headers.append((b"connection", b"close"))
    if status == 429:
        headers.append((b"retry-after", b"60"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
