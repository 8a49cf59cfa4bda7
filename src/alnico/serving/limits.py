"""What stands before every request: keys, rates, sizes of bodies, and how long one may take to send them."""

import asyncio
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


class TooLarge(Exception):
    """More bytes came than a body may have."""


class TooSlow(Exception):
    """A body was not there in time."""


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
        started = False

        async def heard(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, self._measured(receive), heard)
        except TooLarge:
            if not started:
                await refuse(send, 413, self._too_large)
        except TooSlow:
            if not started:
                await refuse(send, 408, f"the body was not there within {self.settings.seconds:g} seconds")

    @property
    def _too_large(self) -> str:
        return f"a body may have at most {self.settings.most_bytes:,} bytes"

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
            return 413, self._too_large
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

    def _measured(self, receive: Receive) -> Receive:
        """The same, but a body that grows too large or comes too slowly ends it."""
        deadline, size, whole = time.monotonic() + self.settings.seconds, 0, False

        async def measured() -> Message:
            nonlocal size, whole
            if whole:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, deadline - time.monotonic()))
            except TimeoutError as problem:
                raise TooSlow from problem
            if message["type"] == "http.request":
                size += len(message.get("body", b""))
                whole = not message.get("more_body", False)
                if size > self.settings.most_bytes:
                    raise TooLarge
            return message

        return measured


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
