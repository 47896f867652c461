"""The server as a process and its page as a person sees it: clicks at voxels, pixels on the screen."""

from __future__ import annotations

import io
import json
import queue
import re
import subprocess
import threading
import time
import urllib.request
from typing import Any

import numpy as np

SECONDS = 240.0  # until a test gives up waiting; the machine may be busy
FIRST_COLOR = [230, 159, 80]
# every sentence that the page said, which it takes away by itself
KEEP_SENTENCES = """
window.said = [];
new MutationObserver((changes) => {
  for (const { addedNodes } of changes)
    for (const one of addedNodes)
      if (one.classList?.contains("toast")) window.said.push(one.querySelector("span").textContent);
}).observe(document, { childList: true, subtree: true });
"""


class Server:
    """A process that can be killed and started again at the same address."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.command, self.environment = command, environment
        self.port = 0
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        command = [*self.command, "--no-browser", "--port", str(self.port)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.environment
        )
        lines: queue.Queue = queue.Queue()

        def read() -> None:
            for line in self.process.stdout:
                lines.put(line)
            lines.put(None)

        threading.Thread(target=read, daemon=True).start()
        said, end = [], time.monotonic() + 2 * SECONDS
        while True:
            line = lines.get(timeout=max(0.1, end - time.monotonic()))
            assert line is not None, f"the server ended: {''.join(said)}"
            said.append(line)
            found = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
            if found:
                self.port = int(found[1])
                return

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.address + path, timeout=SECONDS) as answer:
            return answer.read()

    @property
    def state(self) -> dict[str, Any]:
        return json.loads(self.get("/api/state"))

    def undo_all(self, and_add_class: bool = False) -> None:
        """Back to a session without classes, whose method is prepared: nothing is classified again by itself.

        Args:
            and_add_class: and then with one, as a page makes it.
        """
        from websockets.sync.client import connect

        address = f"ws://127.0.0.1:{self.port}/ws"
        with connect(address, max_size=None, origin=self.address, close_timeout=0.2) as line:

            def ask(type: str, **fields: Any) -> dict[str, Any]:
                line.send(json.dumps({"type": type, "request": 1, **fields}))
                while True:
                    found = line.recv(timeout=SECONDS)
                    if isinstance(found, str) and (answer := json.loads(found)).get("request") == 1:
                        assert answer["type"] == "done", answer
                        return answer

            while ask("undo")["step"]:
                pass
            ask("view", view={})
            if and_add_class:
                ask("class.add", color=FIRST_COLOR)
        end = time.monotonic() + 2 * SECONDS
        while (self.state["progress"] or {}).get("done") != 1:
            assert time.monotonic() < end, self.state["progress"]
            time.sleep(0.05)


class ToolPage:
    """One tab."""

    def __init__(self, browser: Any, server: Server, init: str = "") -> None:
        self.server = server
        self.context = browser.new_context(viewport={"width": 1024, "height": 700}, accept_downloads=True)
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._told)
        self.context.set_default_timeout(1000 * SECONDS)
        self.page.add_init_script(KEEP_SENTENCES)
        if init:
            self.page.add_init_script(init)

    def _told(self, message: Any) -> None:
        # what the browser itself says of a server that is away, or of an answer that a test asked for
        expected = ("WebSocket", "Failed to load resource", "GPU stall", "CONTEXT_LOST", "WebGL")
        if message.type == "error" and not any(part in message.text for part in expected):
            self.errors.append(message.text)

    def open(self) -> None:
        before = self.server.state
        self.page.goto(self.server.address)
        self.settle()
        if not before["classes"]:
            if before["undo"] or before["redo"]:  # else the page makes one by itself
                self.page.keyboard.press("n")
            self.wait(lambda: self.server.state["classes"])
            self.settle()

    def close(self) -> None:
        self.context.close()

    def wait(self, condition: Any, what: str = "") -> Any:
        end = time.monotonic() + SECONDS
        while True:
            found = condition()
            if found:
                return found
            assert time.monotonic() < end, f"waited for nothing: {what} {self.facts}"
            self.page.wait_for_timeout(40)

    @property
    def facts(self) -> dict[str, Any]:
        return self.page.evaluate("() => window.dense3d?.facts ?? {}")

    def settle(self) -> None:
        """Wait until the page shows the newest revision, its 3D view the full picture."""

        def settled() -> bool:
            facts = self.facts
            if not facts.get("ready"):
                return False
            if facts["webgl"] and not (facts["volume"]["still"] and facts["settled"]):
                return False
            return facts["revision"] == facts["current"] == self.server.state["revision"]

        self.wait(settled, "a settled page")

    def point(self, plane: str, voxel: tuple) -> tuple[float, float]:
        """Where a voxel lies on the screen."""
        return tuple(
            self.page.evaluate(
                "([plane, voxel]) => window.dense3d.screen(plane, voxel)", [plane, list(voxel)]
            )
        )

    def click(self, plane: str, voxel: tuple, button: str = "left") -> None:
        before = self.server.state["revision"]
        self.page.mouse.click(*self.point(plane, voxel), button=button)
        self.wait(lambda: self.server.state["revision"] > before, "a click")
        self.settle()

    def drag(self, plane: str, voxels: list[tuple], button: str = "left") -> None:
        points = [self.point(plane, voxel) for voxel in voxels]
        self.page.mouse.move(*points[0])
        self.page.mouse.down(button=button)
        for point in points[1:]:
            self.page.mouse.move(*point, steps=4)
        self.page.mouse.up(button=button)

    def screen(self) -> np.ndarray:
        """(H, W, 3) uint8 of the window."""
        from PIL import Image

        return np.array(Image.open(io.BytesIO(self.page.screenshot())).convert("RGB"))

    def pane(self, name: str, lines: bool = False) -> np.ndarray:
        """(H, W, 3) uint8 of a pane, without crosshair and letters unless ``lines``."""
        parts = ".${name} .marks, .${name} .sides, .${name} .pane-head, #toasts"
        hide = f"(name) => document.querySelectorAll(`{parts}`)"
        if not lines:
            self.page.evaluate(hide + ".forEach((one) => (one.style.visibility = 'hidden'))", name)
        box = self.page.locator(f".pane.{name}").bounding_box()
        x, y, width, height = (round(box[part]) for part in ("x", "y", "width", "height"))
        picture = self.screen()[y : y + height, x : x + width]
        if not lines:
            self.page.evaluate(hide + ".forEach((one) => (one.style.visibility = ''))", name)
        return picture

    def color(self, plane: str, voxel: tuple) -> np.ndarray:
        """(3,) colour on the screen at a voxel, without crosshair and marks."""
        box = self.page.locator(f".pane.{plane}").bounding_box()
        x, y = self.point(plane, voxel)
        return self.pane(plane)[round(y - box["y"]), round(x - box["x"])].astype(int)

    @property
    def said(self) -> list[str]:
        """Every sentence that it said since it was loaded."""
        return self.page.evaluate("() => window.said")

    def hears(self, words: str) -> str:
        """Wait for a sentence."""
        return self.wait(lambda: [text for text in self.said if words in text], words)[0]
