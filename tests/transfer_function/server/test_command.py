"""The command as a person starts it: a real process, a real socket."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from transfer_function.cubes import BRIGHT, two_cubes

from dense3d.errors import ConfigError
from dense3d.transfer_function.server.running import PORT, bind, url

SECONDS = 60.0  # until a test gives up waiting; the machine may be busy


class Command:
    """``dense3d transfer-function`` in a process of its own."""

    def __init__(self, folder: Path, *words: str) -> None:
        repository = Path(__file__).resolve().parents[3]
        environment = dict(os.environ, PYTHONPATH=str(repository))
        command = [
            sys.executable,
            "-m",
            "dense3d",
            "transfer-function",
            "cubes.nii.gz",
            "--no-browser",
            *words,
        ]
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.said = ""
        while "Ctrl+C" not in self.said:
            line = self.process.stdout.readline()
            assert line, self.said
            self.said += line
        self.address = re.search(r"open (\S+)", self.said)[1]
        self.port = int(re.search(r":(\d+)/", self.address)[1])

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        """Status and body."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def state(self) -> dict:
        return json.loads(self.get("/api/state")[1])

    def raw(self, content: bytes) -> bytes:
        """What a connection answers to these bytes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            found = b""
            try:
                while part := connection.recv(65536):
                    found += part
            except (ConnectionError, TimeoutError):
                pass
            return found

    def end(self, number: int = signal.SIGINT) -> str:
        """End it; all that it said."""
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=SECONDS)
        return self.said + rest


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    import nibabel

    place = tmp_path_factory.mktemp("volumes")
    volume = two_cubes()
    nibabel.save(nibabel.Nifti1Image(volume.values, volume.affine), place / "cubes.nii.gz")
    return place


@pytest.fixture(scope="module")
def command(folder) -> Iterator[Command]:
    running = Command(folder, "--port", "0")
    yield running
    if running.process.poll() is None:
        running.process.kill()
        running.process.communicate()


def edit(port: int, *messages: dict) -> list[dict]:
    """Send messages on a websocket; the answers to them."""
    from websockets.sync.client import connect

    answers = []
    with connect(f"ws://127.0.0.1:{port}/ws", max_size=None) as websocket:
        for number, message in enumerate(messages):
            websocket.send(json.dumps({"request": number, **message}))
            while True:
                found = websocket.recv(timeout=SECONDS)
                if isinstance(found, str) and json.loads(found).get("request") == number:
                    answers.append(json.loads(found))
                    break
    return answers


def test_it_says_what_was_opened_and_where(command):
    assert "cubes.nii.gz: 20 x 16 x 12 voxels of 1 x 2 x 3 mm, int16" in command.said
    assert "work is kept in" in command.said and command.address.startswith("http://127.0.0.1:")
    assert command.get("/")[0] == 200 and command.state()["volume"]["name"] == "cubes.nii.gz"


def test_malformed_http_leaves_a_living_server(command):
    good = b"GET /api/state HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    upgrade = good.replace(b"/api/state", b"/ws") + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    key = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    random = np.random.default_rng(0)
    for content in (
        b"",
        b"\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        good + b"Host: evil.com\r\n\r\n",
        good + b"A" * 100_000 + b": x\r\n\r\n",
        good + b"X-Odd: " + b"\x00\xff" * 10 + b"\r\n\r\n",
        good + b"".join(b"X-%d: y\r\n" % n for n in range(20_000)) + b"\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /../../../../etc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET //etc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET http://evil.com/ HTTP/1.1\r\nHost: evil.com\r\n\r\n",
        b"POST /api/export HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/export HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
        b"POST /api/export HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n{}",
        b"POST /api/export HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /api/export HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n{}",
        b"POST /api/import?name=a.nii HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999\r\n\r\n",
        upgrade + b"\r\n",
        upgrade + b"Origin: http://evil.com\r\n" + key,
        upgrade + key + b"\xff\xff\xff\xff" * 40,
        upgrade + key + b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff" + b"a" * 50,
        *(bytes(random.integers(0, 256, 300, np.uint8)) for _ in range(20)),
    ):
        answer = command.raw(content)
        status = re.match(rb"HTTP/1.1 (\d+)", answer)
        assert status is None or int(status[1]) < 500, (content[:80], answer[:200])
        assert b"root:" not in answer
    assert edit(command.port, {"type": "undo"})[0]["type"] == "done"


def test_a_message_that_is_too_large_ends_its_page_alone(command):
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    with connect(f"ws://127.0.0.1:{command.port}/ws", max_size=None) as other:
        with connect(f"ws://127.0.0.1:{command.port}/ws", max_size=None) as websocket:
            websocket.send("x" * (2**20 + 1))
            with pytest.raises(ConnectionClosed):
                while True:
                    websocket.recv(timeout=SECONDS)
        other.send(json.dumps({"type": "undo", "request": 1}))
        assert other.recv(timeout=SECONDS)


def test_a_second_process_is_told(command, folder):
    with pytest.raises(AssertionError, match=f"in use by process {command.process.pid}"):
        Command(folder, "--port", "0")


def test_a_busy_port_is_told_or_passed_over(command, folder):
    with pytest.raises(AssertionError, match=f"port {command.port} is in use: name a free one by --port"):
        Command(folder, "--port", str(command.port), "--session", "other.json")
    with bind("127.0.0.1", None) as first, bind("127.0.0.1", None) as second:
        assert PORT <= first.getsockname()[1] < second.getsockname()[1] < PORT + 20


def test_a_killed_server_keeps_its_work_and_ctrl_c_saves(command, folder):
    """Last in this file: it ends the server of the others."""
    edit(
        command.port,
        {"type": "class.add", "name": "bright"},
        {"type": "prompt", "class": 1, "kind": "point", "voxels": [list(BRIGHT)]},
        {"type": "view", "view": {"crosshair": [1, 2, 3]}},
    )
    end = time.monotonic() + SECONDS
    while not command.state()["session"]["saved"]:
        assert time.monotonic() < end
        time.sleep(0.05)
    command.end(signal.SIGKILL)
    again = Command(folder, "--port", "0")
    assert "2 steps taken up" in again.said
    state = again.state()
    assert state["steps"] == ["new class bright", "click on bright"] and state["view"] == {
        "crosshair": [1, 2, 3]
    }
    edit(again.port, {"type": "class.update", "class": 1, "name": "very bright"})
    assert again.end().rstrip().endswith("saved")
    assert again.process.returncode == 0
    session = json.loads((folder / "cubes.nii.gz.session.json").read_text())
    assert session["documents"][-1]["name"] == "name of bright"
    assert session["classes"][-1]["name"] == "very bright"


@pytest.mark.parametrize(
    ("host", "port", "sentence"),
    [
        ("a..b", 0, "no such host"),
        ("203.0.113.7", 0, "no address of this machine"),
        ("127.0.0.1", 70000, "ports are 0 to 65535"),
        ("127.0.0.1", -1, "ports are 0 to 65535"),
    ],
)
def test_addresses_that_are_not_possible_are_told(host, port, sentence):
    with pytest.raises(ConfigError, match=sentence):
        bind(host, port)


def test_the_address_to_open():
    assert url("127.0.0.1", 80) == "http://127.0.0.1:80/" and url("::1", 80) == "http://[::1]:80/"
    assert url("0.0.0.0", 80, "t") == f"http://{socket.gethostname()}:80/?token=t"


def test_the_session_lies_beside_the_volume_or_here_or_nowhere(tmp_path, monkeypatch):
    from dense3d.cli.transfer_function import keep

    class Asked(list):
        """What stands for a workspace: it remembers where its work is to be kept."""

        keep_in = list.append

    (tmp_path / "scans" / "series").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    unwritable: set[Path] = set()

    def require_writable(path) -> None:
        if Path(path).parent in unwritable:
            raise ConfigError("read only")

    monkeypatch.setattr("dense3d.files.require_writable_file", require_writable)
    asked = Asked()
    keep(asked, str(tmp_path / "scans" / "series"), None)  # a DICOM folder
    keep(asked, "../scans/ct.nii.gz", None, frame=2)  # a series: each frame has its own
    unwritable.add(tmp_path / "scans")
    keep(asked, "../scans/ct.nii.gz", None, frame=0)
    unwritable.add(tmp_path / "here")
    assert keep(asked, "../scans/ct.nii.gz", None) is None
    assert asked == [
        tmp_path / "scans" / "series.session.json",
        tmp_path / "scans" / "ct.nii.gz.frame2.session.json",
        tmp_path / "here" / "ct.nii.gz.session.json",
    ]
    with pytest.raises(ConfigError):
        keep(asked, "ct.nii.gz", str(tmp_path / "here" / "named.json"))


def test_without_a_volume_it_says_how_to_make_one():
    from dense3d.cli.dispatch import main

    assert main(["transfer-function"]) == 2


def test_help_imports_nothing_heavy(repository):
    code = (
        "import sys\nfrom dense3d.cli.dispatch import main\n"
        "try: main(['transfer-function', '--help'])\nexcept SystemExit: pass\n"
        "assert not {'torch', 'numpy', 'starlette', 'numba', 'nibabel'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=repository, stdout=subprocess.DEVNULL)
