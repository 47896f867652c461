"""One page that is connected, and what is on its way to it: what is urgent first, nothing out of date."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dense3d.transfer_function.server.maps import Maps, Region

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

MOST_ANSWERS = 10_000  # that wait for a page that does not read


class Tab:
    """A connected page.

    Answers leave in order; slices, the state and progress in their newest form only; maps after them, slab by
    slab from the newest maps, so that a slow page skips what it would have missed anyway.

    Args:
        websocket: accepted.
    """

    def __init__(self, websocket: WebSocket) -> None:
        self.websocket = websocket
        self.planes: tuple[int, int, int] | None = None  # the slices that it shows, canonical
        self._answers: deque[str] = deque()
        self._slices: dict[int, bytes] = {}
        self._state: str | None = None
        self._progress: str | None = None
        self._maps: Maps | None = None
        self._missing: dict[int, Region] = {}  # what it lacks of each group
        self._rough: deque[tuple[int, Region]] = deque()  # slices that show what is not in the maps, by group
        # (axis, working index) of slices that it got since it got maps: class ids and (C, A, B) scores
        self.loose: dict[tuple[int, int], tuple[Sequence[int], np.ndarray]] = {}
        self._told = -1  # the revision up to which it has all maps
        self._wake = asyncio.Event()

    def answer(self, text: str) -> None:
        """Send an answer to a message."""
        if len(self._answers) < MOST_ANSWERS:
            self._answers.append(text)
        self._wake.set()

    def show_planes(self, messages: dict[int, bytes]) -> None:
        """Send slices, by axis."""
        self._slices.update(messages)
        self._wake.set()

    def show_state(self, text: str) -> None:
        """Send the state."""
        self._state = text
        self._wake.set()

    def show_progress(self, text: str) -> None:
        """Send progress."""
        self._progress = text
        self._wake.set()

    def show_maps(
        self,
        maps: Maps,
        changed: dict[int, Region],
        class_ids: Sequence[int] = (),
        scores: np.ndarray | None = None,
    ) -> None:
        """Send what changed of the maps, by group.

        Args:
            maps: the newest.
            changed: the box in which they differ from those before.
            class_ids: of the scores.
            scores: (C, X, Y, Z) what the maps are of. A slice that was shown meanwhile, a preview or of marks
                that came and went, may differ from them outside of the box: it is sent again.
        """
        self._maps = maps
        for group, region in changed.items():
            self._missing[group] = region.union(self._missing.get(group))
        for (axis, index), (ids, plane) in self.loose.items():
            same = scores is not None and tuple(ids) == tuple(class_ids)
            if not same or not np.array_equal(plane, scores.take(index, axis + 1)):
                region = maps.plane(axis, index)
                self._rough.extend((group, region) for group in range(len(maps.ids) // 4))
        self.loose.clear()
        self._wake.set()

    async def send_all(self) -> None:
        """Send for ever; ends with an exception when the page goes."""
        while True:
            await self._wake.wait()
            if self._answers:
                await self.websocket.send_text(self._answers.popleft())
            elif self._slices:
                slices, self._slices = self._slices, {}
                await self.websocket.send_bytes(b"".join(slices.values()))
            elif self._state is not None:
                text, self._state = self._state, None
                await self.websocket.send_text(text)
            elif self._progress is not None:
                text, self._progress = self._progress, None
                await self.websocket.send_text(text)
            elif (self._rough or self._missing) and self._maps is not None:
                await self._send_slab(self._maps)
            elif self._maps is not None and self._told < self._maps.revision:
                self._told = self._maps.revision
                await self.websocket.send_text(f'{{"type":"current","revision":{self._told}}}')
            else:
                self._wake.clear()

    async def _send_slab(self, maps: Maps) -> None:
        if self._rough:
            group, part = self._rough.popleft()
        else:
            group, region = next(iter(self._missing.items()))
            part, rest = region.first_slab()
            del self._missing[group]
            if rest is not None:
                self._missing[group] = rest
        if 4 * group < len(maps.ids):
            last = not self._rough and not self._missing
            message = await asyncio.to_thread(maps.message, group, part, last)
            await self.websocket.send_bytes(message)
