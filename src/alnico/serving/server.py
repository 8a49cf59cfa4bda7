"""A service as a process: signals, sockets, an end without losing a request."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import torch
import uvicorn

from alnico.errors import AlnicoError, ConfigError
from alnico.serving.app import make_app
from alnico.serving.bundle import Bundle
from alnico.serving.settings import ServiceSettings
from alnico.serving.shelf import Shelf

GRACE = 30
"""Seconds that requests in progress have to end after the service was asked to."""
QUIET = 5
"""Seconds that a connection may stay open without a request."""
MOST_CONNECTIONS = BACKLOG = 2048

_log = logging.getLogger("alnico.serving")


def bound(host: str, port: int) -> socket.socket:
    """A listening place. Raises ConfigError if it is taken or not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP: asyncio sends at once only where it can see that, and answers would else wait 40 ms for a receipt.
    place = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        place.bind((host, port))
    except (OSError, OverflowError) as problem:
        place.close()
        raise ConfigError(
            f"cannot listen on {host} port {port}: {problem}; choose another with --host and --port"
        ) from problem
    return place


def serve(
    folder: Path, place: socket.socket, settings: ServiceSettings, ready: Callable[[Bundle], None]
) -> None:
    """Answer from the bundle in ``folder`` until SIGINT or SIGTERM; SIGHUP loads the folder again.

    ``ready`` hears of the bundle when it can answer. Requests in progress are answered before the end, for at most half
    a minute. Raises StorageError if the folder holds no sound bundle.
    """
    # What one list asks for is too little to share: threads would wait for each other, long where a machine is busy.
    torch.set_num_threads(1)
    shelf = Shelf.open(folder, most_waiting=settings.most_waiting)
    place.listen(BACKLOG)
    ready(shelf.bundle)
    config = uvicorn.Config(
        make_app(shelf, settings),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=QUIET,
        timeout_graceful_shutdown=GRACE,
        backlog=BACKLOG,
        limit_concurrency=MOST_CONNECTIONS,
        lifespan="on",
    )
    server = uvicorn.Server(config)
    # The server takes these itself, and raises them once more at its end: an end that was asked for is no failure.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    asyncio.run(_serve(server, shelf, place))


async def _serve(server: uvicorn.Server, shelf: Shelf, place: socket.socket) -> None:
    loop, tasks = asyncio.get_running_loop(), set()

    def again() -> None:
        task = loop.create_task(_reload(shelf))
        # The loop itself keeps no hold of it.
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    if hasattr(signal, "SIGHUP"):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(signal.SIGHUP, again)
    await server.serve(sockets=[place])


async def _reload(shelf: Shelf) -> None:
    try:
        bundle = await shelf.reload()
        _log.warning("loaded %s again: %d items", shelf.folder, bundle.n_items)
    except AlnicoError as problem:
        _log.error("kept what was there: %s", problem)
