"""One file over HTTP, going on where an earlier transfer broke off."""

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel, ValidationError

from alnico.errors import StorageError
from alnico.storage import write_text

Tell = Callable[[int, int], None]

# Small, because what a connection brought of a chunk is lost when it breaks.
_CHUNK = 1 << 16
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for, in seconds, and how often it is asked while the file grows."""

    connect_seconds: float = 10.0
    silent_seconds: float = 30.0
    attempts: int = 8


class Begun(BaseModel, frozen=True, extra="forbid"):
    """What a transfer that has begun knows of the whole file; stands beside the part as JSON.

    ``validator`` is the server's strong ETag, or its date of the last change: a server that still has it sends the
    rest, any other sends the whole. ``total`` is the size in bytes where the server said it.
    """

    address: str
    validator: str | None
    total: int | None


class _Elsewhere(Exception):
    """What the server sends does not continue what is here."""


def download(address: str, part: Path, patience: Patience, tell: Tell) -> None:
    """Make ``part`` the whole of what stands at ``address``, told (bytes done, bytes in total or 0) on the way.

    A part that an earlier transfer from there left is continued if the server can; else it is replaced, but only once
    the server sends. While every attempt brings something, a transfer that breaks off is taken up again.
    Raises StorageError; what came so far stays in ``part``.
    """
    import requests
    from urllib3.exceptions import HTTPError

    reason = "was not asked"
    for _ in range(patience.attempts):
        had = _size(part)
        try:
            _transfer(address, part, patience, tell)
            return
        except _Elsewhere:
            reason = "sends another part than it is asked for"
            discard(part)
        except requests.HTTPError as problem:
            answer = problem.response
            if answer is None or answer.status_code != 416 or not had:
                said = str(problem) if answer is None else f"{answer.status_code} {answer.reason}"
                raise StorageError(f"{address} answers {said}") from None
            reason = "has less than it sent before"
            discard(part)
        except (requests.RequestException, HTTPError, ValueError) as problem:
            reason = _reason(problem, part, patience)
            if _size(part) <= had:
                break
    raise StorageError(f"{address} {reason}")


def discard(part: Path) -> None:
    """Remove a part and what is known of it."""
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def _transfer(address: str, part: Path, patience: Patience, tell: Tell) -> None:
    import requests
    from pooch import HTTPDownloader

    begun = _begun(part)
    start = _size(part) if begun and begun.address == address and begun.validator else 0
    if begun and start and begun.total == start:
        return
    headers = {"Accept-Encoding": "identity", "User-Agent": "alnico"}
    if begun and begun.validator and start:
        headers |= {"Range": f"bytes={start}-", "If-Range": begun.validator}
    part.parent.mkdir(parents=True, exist_ok=True)
    part.touch()
    with part.open("r+b") as file:
        file.seek(start)
        flow = _Flow(address, part, file, start, begun, tell)
        fetch = HTTPDownloader(
            progressbar=flow,
            chunk_size=_CHUNK,
            headers=headers,
            timeout=(patience.connect_seconds, patience.silent_seconds),
            hooks={"response": flow.answered},
        )
        fetch(address, file, None)
        came = file.tell()
    if flow.whole and came != flow.whole:
        raise requests.ConnectionError("cut short")


class _Flow:
    """Looks at the server's answer before its content is written, and counts what is; a progress bar to pooch."""

    def __init__(
        self, address: str, part: Path, file: BinaryIO, start: int, begun: Begun | None, tell: Tell
    ) -> None:
        self.address, self.part, self.file, self.start, self.begun = address, part, file, start, begun
        self.tell = tell
        self.whole = 0
        self.over = False
        self.total = 0  # set by pooch, which knows of the rest only

    def answered(self, response: Any, **_: Any) -> None:
        """Decide where the content goes. Raises _Elsewhere if it continues something else."""
        head = response.headers
        # A server that says of a .gz file that it is a gzipped something would have it unpacked on the way.
        response.raw.headers.pop("Content-Encoding", None)
        if response.status_code == 206:
            self._continue(head)
        elif response.status_code == 200:
            length = head.get("Content-Length", "")
            self.whole = int(length) if length.isdigit() else 0
            self.file.seek(0)
            self.file.truncate()
            begun = Begun(address=self.address, validator=_validator(head), total=self.whole or None)
            write_text(_note(self.part), begun.model_dump_json())
        else:
            return
        self.tell(self.file.tell(), self.whole)

    def _continue(self, head: Any) -> None:
        place = _RANGE.fullmatch(head.get("Content-Range", ""))
        if self.begun is None or place is None or int(place[1]) != self.start:
            raise _Elsewhere
        total = None if place[2] == "*" else int(place[2])
        if total != self.begun.total or _validator(head) not in (None, self.begun.validator):
            raise _Elsewhere
        self.whole = total or 0

    def update(self, count: int) -> None:
        """A chunk was written."""
        del count  # pooch counts whole chunks, as if the last were one too
        if not self.over:
            self.tell(self.file.tell(), self.whole)

    def reset(self) -> None:
        """All was written; pooch updates once more, for bars that believed its count."""
        self.over = True

    def close(self) -> None:
        """Nothing."""


def _validator(head: Any) -> str | None:
    """What a server recognises this very file by; a weak ETag does not promise the same bytes."""
    tag: str = head.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else head.get("Last-Modified") or None


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _begun(part: Path) -> Begun | None:
    with contextlib.suppress(OSError, ValidationError):
        return Begun.model_validate_json(_note(part).read_text(encoding="utf-8"))
    return None


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _reason(problem: Exception, part: Path, patience: Patience) -> str:
    import requests

    text = str(problem)
    if isinstance(problem, requests.ConnectTimeout):
        return f"did not answer within {patience.connect_seconds:g} seconds"
    if isinstance(problem, requests.Timeout) or "Read timed out" in text:
        return f"was silent for {patience.silent_seconds:g} seconds"
    if isinstance(problem, requests.exceptions.SSLError):
        return "has a certificate that cannot be trusted"
    if isinstance(problem, requests.TooManyRedirects):
        return "redirects without end"
    if "resolve" in text or "Name or service" in text:
        return "cannot be found: there is no network, or no such host"
    if "refused" in text or "unreachable" in text:
        return "does not take connections"
    begun = _begun(part)
    of = f" of {begun.total}" if begun and begun.total else ""
    return f"broke off after {_size(part)}{of} bytes"
