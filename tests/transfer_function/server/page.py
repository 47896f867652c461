"""What a page does, for tests: sends messages, waits for answers, puts textures together."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from dense3d.transfer_function.server.protocol import read_binary

ADDRESS = "ws://127.0.0.1:8765/ws"


@contextlib.contextmanager
def page_of(client: Any) -> Iterator[Page]:
    """A page that is connected, and has the state."""
    with client.websocket_connect(ADDRESS) as websocket:
        page = Page(websocket)
        page.until(lambda found: found["type"] == "state")
        yield page


class Page:
    """A page on a websocket of a test client."""

    def __init__(self, websocket: Any) -> None:
        self.websocket = websocket
        self.request = 0
        self.state: dict[str, Any] = {}
        self.textures: dict[int, np.ndarray] = {}
        self.ids: dict[int, list[int]] = {}
        self.planes: list[dict[str, Any]] = []
        self.boxes: list[tuple[dict[str, Any], memoryview]] = []  # of a frame, that wait to be read
        self.answered = 0  # the newest revision that an answer told
        self.current = -1  # the revision whose maps are all here
        self.order: list[str] = []

    def read(self) -> dict[str, Any]:
        """One message of the server, or one box of a binary frame."""
        if self.boxes:
            return self._draw(*self.boxes.pop(0))
        message = self.websocket.receive()
        if message.get("text") is not None:
            found = json.loads(message["text"])
            if found["type"] == "state":
                self.state = found
            if found["type"] == "current":
                self.current = found["revision"]
        else:
            self.boxes = read_binary(message["bytes"])
            return self._draw(*self.boxes.pop(0))
        self.order.append(found["type"])
        return found

    def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Read until a message satisfies a condition."""
        while True:
            found = self.read()
            if condition(found):
                return found

    def wait_for(self, condition: Callable[[dict[str, Any]], bool]) -> None:
        """Read until the state satisfies a condition."""
        while not condition(self.state):
            self.read()

    def send(self, type: str, **fields: Any) -> dict[str, Any]:
        """Send a message; the answer to it."""
        self.request += 1
        number = self.request
        self.websocket.send_text(json.dumps({"type": type, "request": number, **fields}))
        answer = self.until(lambda found: found.get("request") == number)
        self.answered = max(self.answered, answer.get("revision", 0))
        return answer

    def settle(self) -> None:
        """Read until maps and figures of the newest revision are there."""
        while min(self.state.get("measured", -1), self.current) < max(
            self.answered, self.state.get("revision", 0)
        ):
            self.read()

    def scores(self, class_id: int) -> np.ndarray:
        """(X, Y, Z) what the textures hold of a class."""
        slot = next(one["slot"] for one in self.state["classes"] if one["id"] == class_id)
        assert self.ids[slot // 4][slot % 4] == class_id
        return self.textures[slot // 4][..., slot % 4]

    def _draw(self, header: dict[str, Any], payload: memoryview) -> dict[str, Any]:
        shape = header["shape"]
        size = 4 * shape[0] * shape[1] * shape[2]
        assert len(payload) == size * len(header["groups"])
        if header["type"] == "planes":
            self.planes.append(header)
        whole = self.state["volume"]["working"]["shape"]
        for place, group in enumerate(header["groups"]):
            box = np.frombuffer(payload[size * place : size * (place + 1)], np.uint8)
            texture = self.textures.setdefault(group, np.zeros((*whole, 4), np.uint8))
            low, high = header["offset"], [o + n for o, n in zip(header["offset"], shape)]
            texture[low[0] : high[0], low[1] : high[1], low[2] : high[2]] = box.reshape(
                *shape[::-1], 4
            ).transpose(2, 1, 0, 3)
            self.ids[group] = header["class_ids"][4 * place : 4 * place + 4]
        self.order.append(header["type"])
        return header


def click(page: Page, class_id: int, voxel, positive: bool = True, **fields) -> dict:
    """Mark a voxel, which is also where the page's slices lie; the answer."""
    return page.send(
        "prompt",
        **{"class": class_id},
        kind="point",
        voxels=[voxel],
        positive=positive,
        planes=voxel,
        **fields,
    )
