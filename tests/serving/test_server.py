"""A service as a process: it loses no request when it ends or reloads, and bad clients leave it standing."""

import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from alnico.cli.main import main
from alnico.serving.folder import load_bundle, save_bundle
from exported_bundles import Exported
from served import KEY, PATIENCE, Service, served

Exports = Mapping[str, Exported]


@pytest.fixture
def service(exported: Exports, tmp_path: Path) -> Iterator[Service]:
    folder = tmp_path / "bundle"
    shutil.copytree(exported["magnet"].folder, folder)
    with served(folder, "--api-key", KEY, "--most-bytes", "1000000", "--seconds", "2") as found:
        yield found


def test_a_request_in_progress_is_answered_before_the_end(service: Service) -> None:
    host, port = service.address.removeprefix("http://").split(":")
    body = b'{"history": [], "k": 3}'
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as asking:
        asking.sendall(
            b"POST /recommendations HTTP/1.1\r\nHost: x\r\nX-API-Key: k\r\nContent-Type: application/json\r\n"
            + f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body[:5]
        )
        # Whoever answers this has taken the other connection before.
        assert service.get("/health").status_code == 200
        service.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE
        while not refused(host, int(port)):
            assert time.monotonic() < deadline, "it went on to listen"
        asking.sendall(body[5:])
        answer = asking.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200")
    assert service.process.wait(PATIENCE) == 0


def refused(host: str, port: int) -> bool:
    """Whether nobody listens there."""
    try:
        socket.create_connection((host, port), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        # It stopped listening while this one stood in the queue.
        pass
    return False


def test_another_bundle_takes_over_without_a_failed_request(service: Service, exported: Exports) -> None:
    stop, codes, models = threading.Event(), set(), set()
    user = service.get("/users?limit=1").json()["users"][0]

    def ask() -> None:
        with httpx.Client(base_url=service.address, headers={"X-API-Key": "k"}, timeout=PATIENCE) as client:
            while not stop.is_set():
                codes.add(client.get(f"/users/{user}/history").status_code)
                models.add(client.get("/health").json()["model"])

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for thread in asking:
        thread.start()

    def wait_for(model: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while model not in models and time.monotonic() < deadline:
            time.sleep(0.02)

    wait_for("magnet")
    save_bundle(load_bundle(exported["bpr_mf"].folder), service.folder, force=True)
    service.process.send_signal(signal.SIGHUP)
    wait_for("bpr_mf")
    # What cannot be read leaves in place what was.
    (service.folder / "scorer.safetensors").write_bytes(b"broken")
    assert service.post("/reload", {}).status_code == 409
    stop.set()
    for thread in asking:
        thread.join()
    assert codes == {200}
    assert models == {"magnet", "bpr_mf"}
    assert service.get("/health").json()["model"] == "bpr_mf"


def test_large_slow_and_broken_clients_leave_it_standing(service: Service) -> None:
    host, port = service.address.removeprefix("http://").split(":")
    idle = [socket.create_connection((host, int(port))) for _ in range(200)]
    for one in idle:
        one.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    assert service.get("/health").status_code == 200
    # 50 MB are refused by their length, before they are read.
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as large:
        large.sendall(
            b"POST /recommendations HTTP/1.1\r\nHost: x\r\nX-API-Key: k\r\nContent-Length: 50000000\r\n\r\n"
        )
        assert large.recv(100).startswith(b"HTTP/1.1 413")
    # A body that never comes is given up after --seconds.
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as slow:
        slow.sendall(
            b"POST /recommendations HTTP/1.1\r\nHost: x\r\nX-API-Key: k\r\n"
            b"Content-Type: application/json\r\nContent-Length: 40\r\n\r\n{"
        )
        assert slow.recv(100).startswith(b"HTTP/1.1 408")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as noise:
        noise.sendall(b"\x16\x03\x01\x00\xff\xfe no HTTP at all\r\n\r\n")
        assert noise.recv(100).startswith(b"HTTP/1.1 400")
    assert service.get("/health").status_code == 200
    for one in idle:
        one.close()


def test_a_taken_port_and_a_folder_without_a_bundle_are_said_in_one_sentence(
    exported: Exports, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(exported["magnet"].folder)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for arguments, told in (
            ([folder, "--port", port], f"cannot listen on 127.0.0.1 port {port}"),
            ([str(tmp_path / "nothing")], "is no bundle"),
            ([folder, "--seconds", "0"], "--seconds must be above 0"),
        ):
            assert main(["serve", *arguments]) == 2
            said = capsys.readouterr().err
            assert told in said
            assert len(said.strip().splitlines()) == 1
