"""A bundle served by a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

MAIN = "import sys; from alnico.cli.main import main; sys.exit(main())"
KEY = "k"
PATIENCE = 60.0


@dataclass
class Service:
    """A running service, where it listens, and the bundle it was given."""

    process: subprocess.Popen[str]
    address: str
    folder: Path

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.address + path, headers={"X-API-Key": KEY}, timeout=PATIENCE)

    def post(self, path: str, content: object) -> httpx.Response:
        return httpx.post(self.address + path, json=content, headers={"X-API-Key": KEY}, timeout=PATIENCE)


@contextmanager
def served(folder: Path, *options: str) -> Iterator[Service]:
    """The service of this bundle on a free port, ended by force."""
    command = [sys.executable, "-c", MAIN, "serve", str(folder), "--port", "0", "--json", *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert process.stdout is not None
    said = ""
    try:
        while not said.rstrip().endswith("}"):
            line = process.stdout.readline()
            assert line, "the service ended before it listened"
            said += line
        yield Service(process, json.loads(said)["address"], folder)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
