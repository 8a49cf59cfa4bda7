"""The bundle that a service answers from, and the one thread that asks it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from alnico.errors import AlnicoError
from alnico.serving.bundle import Bundle
from alnico.serving.folder import load_bundle

Found = TypeVar("Found")


class BusyError(AlnicoError):
    """Too many questions wait already, or one waited too long."""


class Shelf:
    """Holds one bundle at a time.

    Kernels share one pool of threads and must not be entered twice at once: whatever asks the model goes through
    ``ask``. A bundle never changes, so a request that took one off the shelf keeps it while another takes its place.
    """

    def __init__(self, bundle: Bundle, folder: Path | None = None, *, most_waiting: int = 256) -> None:
        self.bundle = bundle
        self.folder = folder
        self.most_waiting = most_waiting
        self.waiting = 0
        self._asking = ThreadPoolExecutor(1, thread_name_prefix="alnico-model")
        self._loading = ThreadPoolExecutor(1, thread_name_prefix="alnico-load")
        self._change = asyncio.Lock()

    @classmethod
    def open(cls, folder: Path, *, most_waiting: int = 256) -> "Shelf":
        """The shelf with the bundle of this folder, ready to answer. Raises StorageError as ``load_bundle`` does."""
        bundle = load_bundle(folder)
        bundle.warm_up()
        return cls(bundle, folder, most_waiting=most_waiting)

    async def ask(self, question: Callable[[], Found], seconds: float) -> Found:
        """What ``question`` returns, asked when its turn comes. Raises BusyError instead of waiting for long."""
        if self.waiting >= self.most_waiting:
            raise BusyError(f"{self.waiting} questions wait already; ask again in a moment")
        self.waiting += 1
        asked = asyncio.get_running_loop().run_in_executor(self._asking, question)
        asked.add_done_callback(self._done)
        try:
            return await asyncio.wait_for(asked, seconds)
        except TimeoutError as problem:
            raise BusyError(f"no answer within {seconds:g} seconds; ask again in a moment") from problem

    def _done(self, asked: "asyncio.Future[Found]") -> None:
        self.waiting -= 1
        if not asked.cancelled():
            # Nobody may be left to hear of it.
            asked.exception()

    async def change(
        self, prepare: Callable[[Bundle], Found], make: Callable[[Bundle, Found], Bundle]
    ) -> Bundle:
        """Put what ``make`` makes of the bundle in its place, one change after the other.

        ``prepare`` comes first, gives ``make`` what it needs besides the bundle, and holds no question up.
        """
        async with self._change:
            loop = asyncio.get_running_loop()
            prepared = await loop.run_in_executor(self._loading, prepare, self.bundle)
            self.bundle = await loop.run_in_executor(self._asking, make, self.bundle, prepared)
            return self.bundle

    async def reload(self) -> Bundle:
        """Read the folder again; the bundle that stands there takes the place of this one once it can answer.

        Raises StorageError, and keeps what it has, if the folder cannot be read.
        """
        async with self._change:
            loop = asyncio.get_running_loop()
            folder = self.folder
            if folder is None:
                return self.bundle
            new = await loop.run_in_executor(self._loading, lambda: load_bundle(folder))
            await loop.run_in_executor(self._asking, new.warm_up)
            self.bundle = new
            return new

    def close(self) -> None:
        """Let the threads end after what they are at."""
        self._asking.shutdown(wait=True, cancel_futures=True)
        self._loading.shutdown(wait=True, cancel_futures=True)
