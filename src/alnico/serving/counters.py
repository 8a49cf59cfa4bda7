"""What a service counts of itself, for Prometheus."""

import time
from collections.abc import MutableMapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from alnico.serving.limits import App, Message, Receive, Send
from alnico.serving.shelf import Shelf

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
UNKNOWN = "none"
"""The route of requests that no route is for: their paths are not told apart, for anybody can think of new ones."""


class Counters:
    """Requests by route and status, their times, and what waits."""

    def __init__(self, shelf: Shelf) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "alnico_requests", "Requests answered", ["route", "method", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "alnico_request_seconds",
            "Time from request to answer",
            ["route"],
            registry=self.registry,
            buckets=BOUNDS,
        )
        self.reloads = Counter("alnico_reloads", "Bundles loaded while serving", registry=self.registry)
        waiting = Gauge("alnico_waiting", "Questions that wait for the model", registry=self.registry)
        waiting.set_function(lambda: shelf.waiting)
        for name, of in (("items", lambda: shelf.bundle.n_items), ("users", lambda: len(shelf.bundle.users))):
            gauge = Gauge(f"alnico_{name}", f"Number of {name}", registry=self.registry)
            gauge.set_function(of)

    def text(self) -> bytes:
        """Everything, in Prometheus' text form."""
        return generate_latest(self.registry)


class Counting:
    """Counts each request that passes."""

    def __init__(self, app: App, counters: Counters) -> None:
        self.app, self.counters = app, counters

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def heard(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, heard)
        finally:
            route = getattr(scope.get("route"), "path_format", UNKNOWN)
            method = scope["method"] if route != UNKNOWN else UNKNOWN
            self.counters.requests.labels(route, method, str(status)).inc()
            self.counters.seconds.labels(route).observe(time.perf_counter() - began)
