"""Where pages, workspace and computing threads meet. Results come from threads, all else on the loop."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from dense3d.errors import DataError, Dense3dError
from dense3d.transfer_function.server.maps import Maps, Slots, plane_message
from dense3d.transfer_function.server.messages import (
    CancelMessage,
    Message,
    MethodMessage,
    PrepareMessage,
    read_message,
    request_of,
)
from dense3d.transfer_function.server.state import state, volume_state
from dense3d.transfer_function.server.tab import Tab
from dense3d.transfer_function.server.work import Measures, Work
from dense3d.transfer_function.workspace import Workspace

MOST_TABS = 32
OTHER_VOLUME = 4410  # closes the websocket of a page that shows another volume than is open


class Hub:
    """One workspace and all its pages.

    Edits of all pages run one after another, in the order in which they arrive; every page is told of every
    result.

    Args:
        workspace: what is worked on.
        announce: told once how long a method's preparation takes, and of its end.
    """

    def __init__(self, workspace: Workspace, announce: Callable[[str], None] | None = None) -> None:
        self.workspace, self._announce = workspace, announce
        self._announced: set[str] = set()
        self.tabs: set[Tab] = set()
        self.slots = Slots()
        self.maps = self._newest_maps = Maps(workspace.working.shape)
        self.measures: Measures | None = None
        self.last_progress: dict[str, Any] | None = None
        self.problem: str | None = None
        self.file: dict[str, Any] | None = None  # what the volume is in the opened folder
        self.closed = False  # another volume is open now
        facts = volume_state(workspace)
        self.key = hashlib.blake2b(msgspec.json.encode(facts), digest_size=8).hexdigest()
        self.volume_state = msgspec.Raw(msgspec.json.encode({**facts, "key": self.key}))
        self.work = Work(workspace, self)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._state_is_due = False
        self._told: tuple = ()

    async def start(self) -> None:
        """Start to compute."""
        self._loop = asyncio.get_running_loop()
        self.workspace.listeners.append(self._changed)
        if self.workspace.session_file is not None:
            self.workspace.session_file.listeners.append(self._saved)
        self.work.start()

    async def stop(self) -> None:
        """End the computing threads."""
        self.workspace.listeners.remove(self._changed)
        if self.workspace.session_file is not None:
            self.workspace.session_file.listeners.remove(self._saved)
        await asyncio.to_thread(self.work.stop)
        self._loop = None

    # ------------------------------------------------------------------ pages

    def join(self, tab: Tab) -> None:
        """A page connects: it gets everything."""
        self.tabs.add(tab)
        tab.show_state(self.state_text())
        if self.maps.ids:
            tab.show_maps(self.maps, dict.fromkeys(range(len(self.maps.ids) // 4), self.maps.whole))

    def leave(self, tab: Tab) -> None:
        """A page goes."""
        self.tabs.discard(tab)

    async def end_tabs(self) -> None:
        """Another volume is open: pages that show this one begin anew with that."""
        self.closed = True
        for tab in list(self.tabs):
            with contextlib.suppress(RuntimeError, OSError):  # it went by itself
                await tab.websocket.close(OTHER_VOLUME, "another volume was opened")

    def receive(self, tab: Tab, text: str | bytes) -> None:
        """A message of a page: done, and answered."""
        try:
            if self.closed:
                raise DataError("another volume was opened; this is not done")
            message = read_message(text)
            answer = {"type": "done", "request": message.request, **self._apply(tab, message)}
            answer["revision"] = self.workspace.revision
        except Dense3dError as error:
            answer = {"type": "error", "request": request_of(text), "message": str(error)}
        tab.answer(msgspec.json.encode(answer).decode())

    def _apply(self, tab: Tab, message: Message) -> dict[str, Any]:
        if message.planes is not None:
            self.workspace.grid.check([message.planes])
            tab.planes = message.planes
        if isinstance(message, CancelMessage):
            self.work.cancel()
        done = message.apply(self.workspace)
        if isinstance(message, (MethodMessage, PrepareMessage)):
            self.work.prepare()
        return done

    # ------------------------------------------------------------------ state

    def state_text(self) -> str:
        """The state as JSON."""
        return msgspec.json.encode(state(self)).decode()

    def session_state(self) -> dict[str, Any]:
        """Where the work is kept, and whether it is."""
        file = self.workspace.session_file
        if file is None:
            return {"file": None, "saved": False, "problem": None}
        return {"file": file.path.name, "saved": file.saved, "problem": file.problem}

    def _changed(self) -> None:
        self.work.wake()
        self._in_loop(self.tell_state)

    def _saved(self) -> None:
        self._in_loop(self.tell_state)

    def tell_state(self) -> None:
        """Send the state to all pages soon; several changes at once are told together."""
        if not self._state_is_due and self._loop is not None:
            self._state_is_due = True
            self._loop.call_soon(self._send_state)

    def _what_pages_show(self) -> tuple:
        workspace = self.workspace
        edits = (
            workspace.revision,
            frozenset(workspace.hidden),
            workspace.method,
            workspace.reference_number,
        )
        results = (workspace.ready, id(self.measures), self.problem, self.last_progress)
        return *edits, *results, *self.session_state().values()

    def _send_state(self) -> None:
        self._state_is_due = False
        known = self._what_pages_show()
        if self.tabs and known != self._told:
            self._told = known
            text = self.state_text()
            for tab in self.tabs:
                tab.show_state(text)

    def sync_slots(self) -> list[int]:
        """The class of each channel, after what the document has now."""
        with self.workspace.lock:
            self.slots.update([one.id for one in self.workspace.classes])
            return list(self.slots.ids)

    # ------------------------------------------------------------------ results, from the computing threads

    def wanted_planes(self) -> set[tuple[int, int]]:
        """(axis, canonical index) of the slices that pages show."""
        shown = [tab.planes for tab in list(self.tabs) if tab.planes is not None]
        return {(axis, planes[axis]) for planes in shown for axis in range(3)}

    def show_planes(
        self, revision: int, class_ids: tuple[int, ...], planes: dict[tuple[int, int], np.ndarray]
    ) -> None:
        """Scores of slices, by (axis, working index)."""
        ids = self.sync_slots()
        messages = {
            place: plane_message(revision, ids, class_ids, *place, plane) for place, plane in planes.items()
        }

        def send() -> None:
            for tab in self.tabs:
                if tab.planes is not None:
                    shown = [(a, i // f) for a, (i, f) in enumerate(zip(tab.planes, self.workspace.factors))]
                    found = [place for place in shown if place in messages]
                    tab.show_planes({place[0]: messages[place] for place in found})
                    tab.loose.update({place: (class_ids, planes[place]) for place in found})

        self._in_loop(send)

    def show_maps(self, revision: int, class_ids: tuple[int, ...], scores: np.ndarray) -> None:
        """Scores of the whole working grid."""
        maps, changed = self._newest_maps.replaced(revision, self.sync_slots(), class_ids, scores)
        self._newest_maps = maps

        def send() -> None:
            self.maps = maps
            for tab in self.tabs:
                tab.show_maps(maps, changed, class_ids, scores)

        self._in_loop(send)

    def show_measures(self, measures: Measures) -> None:
        """Figures."""
        self.measures = measures
        self._in_loop(self.tell_state)

    def show_progress(self, report: dict[str, Any]) -> None:
        """Of a preparation."""
        was_ready = bool(self.last_progress and self.last_progress["ready"])
        self.last_progress = report
        self._tell_terminal(report)
        text = msgspec.json.encode(report).decode()

        def send() -> None:
            for tab in self.tabs:
                tab.show_progress(text)
            if report["ready"] != was_ready or report["done"] == 1 or len(report) > 6:
                self.tell_state()

        self._in_loop(send)

    def _tell_terminal(self, report: dict[str, Any]) -> None:
        method, left = self.workspace.method, report["left_s"]
        if "failed" in report:
            sentence = report["failed"]
        elif report["done"] == 1:
            sentence = f"method {method}: ready"
        elif left and not report.get("cancelled"):
            sentence = f"method {method}: {report['task']}, about {left:.0f} s; the page works meanwhile"
        else:
            return
        key = f"{method} {report['done'] == 1} {'failed' in report}"
        if self._announce is not None and key not in self._announced:
            self._announced.add(key)
            self._announce(sentence)

    def show_problem(self, sentence: str | None) -> None:
        """What keeps the classification from being computed."""
        if sentence != self.problem:
            self.problem = sentence
            self._in_loop(self.tell_state)

    def _in_loop(self, function: Callable[[], None]) -> None:
        """Run it on the event loop, from any thread; not at all once the loop has ended."""
        if self._loop is not None and not self._loop.is_closed():
            with contextlib.suppress(RuntimeError):  # closed in between
                self._loop.call_soon_threadsafe(function)
