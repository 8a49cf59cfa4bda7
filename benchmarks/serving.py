"""Requests per second and waiting times of a served MAGNET, over loopback, from another process."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from alnico.data.store import save_dataset
from alnico.ranking import Seen
from alnico.serving.bundle import Bundle
from alnico.serving.folder import load_bundle, save_bundle
from benchmarks.catalogues import enlarged
from benchmarks.timing import Row, timed
from benchmarks.worlds import ROOT, dataset_of_baby

CONNECTIONS = (1, 8, 64)
SECONDS = 6.0
LARGE = 100_000
MAIN = "from alnico.cli.main import main; raise SystemExit(main())"


@dataclass(frozen=True)
class Load:
    """What came of some seconds of asking: requests per second, and waiting times in seconds."""

    rate: float
    waits: np.ndarray[tuple[int], np.dtype[np.float64]]

    def percentile(self, share: float) -> float:
        """The time within which this share of the requests was answered."""
        return float(np.quantile(self.waits, share))


def serving() -> list[Row]:
    """Lists of ten for users in turn, by connections that ask one thing at a time.

    On a catalogue of Baby's size, and on two of 100,000 items: noisy copies of Baby's, and noise.
    """
    with tempfile.TemporaryDirectory() as folder:
        data, run, bundle = (Path(folder) / name for name in ("data", "run", "bundle"))
        dataset = dataset_of_baby()
        save_dataset(dataset, data)
        settings = str(ROOT / "experiments" / "baby" / "magnet-projected.toml")
        # One epoch: how long an answer takes does not depend on how good it is.
        _alnico("train", settings, "--set", f"dataset={data}", "--set", "training.epochs=1", "--to", str(run))
        _alnico("export", str(run), "--to", str(bundle))
        users = [str(name) for name in dataset.users.names[:2000].tolist()]
        size = f"{len(dataset.users):,} users x {len(dataset.items):,} items"
        rows = [
            _row(
                size,
                n,
                load,
                "150 requests/s, p99 under 50 ms",
                load.rate >= 150 and load.percentile(0.99) < 0.05,
            )
            for n, load in _loads(bundle, users).items()
        ]
        known = load_bundle(bundle)
        for name, noise in (("noisy copies of its items", False), ("noise", True)):
            rows += _large(enlarged(known, LARGE, noise=noise), name, users, Path(folder) / f"large-{noise}")
    return rows


def _large(bundle: Bundle, name: str, users: list[str], folder: Path) -> list[Row]:
    save_bundle(bundle, folder)
    stages, numbers, seen = bundle.facts.stages, np.arange(50), Seen.nothing(len(bundle.users))
    scorer = bundle.scorer
    one_by_one = [
        lambda way=way: [way(one, seen, 10) for one in np.split(numbers, len(numbers))]
        for way in (scorer.top_of_few, scorer.top)
    ]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the service does
    few, exact = (seconds / len(numbers) for seconds in timed(one_by_one, 3))
    torch.set_num_threads(threads)
    assert stages.recall is not None
    told = (
        f"recall@{stages.k} {stages.recall:.4f} of {stages.users} users; one list {1e3 * few:.1f} ms, "
        f"{1e3 * exact:.1f} in one stage"
    )
    size = f"{len(bundle.users):,} users x {bundle.n_items:,} items ({name})"
    target = "p99 under 150 ms, recall 0.99"
    return [
        _row(size, n, load, target, load.percentile(0.99) < 0.15 and stages.recall >= 0.99, told)
        for n, load in _loads(folder, users).items()
    ]


def _loads(bundle: Path, users: list[str]) -> dict[int, Load]:
    with _served(bundle) as (host, port):
        asyncio.run(_asked(host, port, users, 8, 2.0))
        return {n: asyncio.run(_asked(host, port, users, n, SECONDS)) for n in CONNECTIONS}


def _row(size: str, connections: int, load: Load, target: str, reached: bool, told: str = "") -> Row:
    """One load's row; the target is for eight connections."""
    name = f"GET recommendations, k = 10, {size}, {connections} connection{'s' * (connections > 1)}"
    p50, p95, p99 = (load.percentile(share) for share in (0.5, 0.95, 0.99))
    note = f"{load.rate:.0f} requests/s; p50 {1e3 * p50:.1f}, p95 {1e3 * p95:.1f}, p99 {1e3 * p99:.1f} ms"
    if connections != 8:
        return Row(name, p50, {}, note=note)
    return Row(name, p50, {}, target, reached, "; ".join(part for part in (note, told) if part))


def _alnico(*arguments: str) -> None:
    subprocess.run([sys.executable, "-c", MAIN, *arguments], cwd=ROOT, check=True, capture_output=True)


@contextmanager
def _served(bundle: Path) -> Iterator[tuple[str, int]]:
    command = [sys.executable, "-c", MAIN, "serve", str(bundle), "--port", "0", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ})
    assert process.stdout is not None
    said = ""
    try:
        while not said.rstrip().endswith("}"):
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("the service ended before it listened")
            said += line
        host, port = json.loads(said)["address"].removeprefix("http://").split(":")
        yield host, int(port)
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


async def _asked(host: str, port: int, users: list[str], connections: int, seconds: float) -> Load:
    waits: list[float] = []
    began = time.perf_counter()
    asking = [
        _connection(host, port, users[n::connections], began + seconds, waits) for n in range(connections)
    ]
    await asyncio.gather(*asking)
    return Load(len(waits) / (time.perf_counter() - began), np.array(waits))


async def _connection(host: str, port: int, users: list[str], until: float, waits: list[float]) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    number = 0
    while (sent := time.perf_counter()) < until:
        path = f"/users/{users[number % len(users)]}/recommendations?k=10"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"the service answered {head.splitlines()[0].decode()}")
        length = next(
            int(line.split(b":")[1])
            for line in head.splitlines()
            if line.lower().startswith(b"content-length")
        )
        await reader.readexactly(length)
        waits.append(time.perf_counter() - sent)
        number += 1
    writer.close()
    await writer.wait_closed()
