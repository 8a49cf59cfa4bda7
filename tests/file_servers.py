"""A server of files on this machine, as badly behaved as a test wants it."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Manners:
    """How one file is served.

    ``breaks`` counts answers that end after ``portion`` bytes of what they promise; ``becomes`` is what the file is
    from the second answer on, with good manners.
    """

    breaks: int = 0
    portion: int = 150_000
    hangs: bool = False
    ranges: bool = True
    tag: bool = True
    status: int = 200
    leads_to: str = ""
    claims: Callable[[int], object] = int
    starts: Callable[[int], int] = int
    becomes: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Shelf:
    """Files by path, their manners, and what was asked for: (path, Range header or "")."""

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    manners: dict[str, Manners] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def put(self, path: str, content: bytes, **manners: object) -> str:
        """Serve ``content`` at ``path``; the address."""
        self.files[path], self.manners[path] = content, Manners(**manners)  # type: ignore[arg-type]
        return f"{self.address}/{path}"

    @property
    def ranges(self) -> list[str]:
        """The Range headers of all that was asked, in order."""
        return [asked for _, asked in self.asked]


def _handler(shelf: Shelf) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nothing."""

        def do_GET(self) -> None:
            path, wanted = self.path.strip("/"), self.headers.get("Range", "")
            shelf.asked.append((path, wanted))
            if path not in shelf.files:
                self.send_error(404)
                return
            content, manners = shelf.files[path], shelf.manners[path]
            if manners.becomes is not None:
                shelf.put(path, manners.becomes)
            if manners.status != 200:
                self.send_response(manners.status)
                self.send_header("Location", f"/{manners.leads_to}")
                self.end_headers()
                return
            tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
            same = self.headers.get("If-Range", tag) == tag
            start = int(wanted[6:-1]) if wanted and manners.ranges and same else 0
            if start and start >= len(content):
                self.send_error(416)
                return
            start = manners.starts(start) if start else 0
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if manners.tag:
                self.send_header("ETag", tag)
            for name, value in manners.headers.items():
                self.send_header(name, value)
            rest = content[start:]
            self.send_header("Content-Length", str(manners.claims(len(rest))))
            self.end_headers()
            if manners.hangs or manners.breaks:
                manners.breaks -= not manners.hangs
                rest = rest[: manners.portion]
            self.wfile.write(rest)
            if manners.hangs:
                self.wfile.flush()
                shelf.closing.wait(20)

    return Handler


@contextmanager
def serving() -> Iterator[Shelf]:
    """An empty shelf that is served on a free port of this machine alone."""
    shelf = Shelf("")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(shelf))
    server.daemon_threads = True
    shelf.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02))
    thread.start()
    try:
        yield shelf
    finally:
        shelf.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
