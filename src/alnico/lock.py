"""One study, one search, or one fetch at a time in a folder."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from alnico.errors import StorageError

try:
    import fcntl
except ImportError:  # there is none on Windows
    fcntl = None  # type: ignore[assignment]

Work = Literal["study", "search", "fetch"]
PATIENCE_SECONDS = 30.0
_log = logging.getLogger(__name__)


@contextmanager
def locked(folder: Path, work: Work, option: str = "--to") -> Iterator[tuple[int, ...]]:
    """Hold the folder for this process; gives the open files that the lock hangs on.

    The system lets go of it when the process and all that inherited the files are gone, however they ended. Workers of
    what was killed save and end by themselves: they are waited for. Where the system has no such locks, a
    notice says so and nothing is held. ``option`` is what chooses the folder on the command line.
    Raises StorageError if other work of this kind goes on in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        _log.info("this system has no file locks: take care that no other %s works in %s", work, folder)
        yield ()
        return
    file = os.open(folder / f"{work}.lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _take(file, folder, work, option)
        os.ftruncate(file, 0)
        os.pwrite(file, str(os.getpid()).encode(), 0)
        yield (file,)
    finally:
        os.close(file)


def _take(file: int, folder: Path, work: Work, option: str) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            holder = os.pread(file, 32, 0).decode()
            if _is_alive(holder):
                raise StorageError(
                    f"another {work} is at work in {folder} (process {holder}); wait for it, or choose another "
                    f"{option}"
                ) from None
            if time.monotonic() > until:
                raise StorageError(
                    f"a {work} in {folder} was killed and its workers have not ended yet; try again in a while"
                ) from None
            time.sleep(0.1)


def _is_alive(process: str) -> bool:
    # Empty for a moment while another study writes itself in.
    if not process.isdigit():
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
