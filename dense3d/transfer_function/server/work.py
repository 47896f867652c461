"""The threads that compute: one classifies, the newest document first, one measures, one prepares."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from dense3d.errors import Dense3dError
from dense3d.transfer_function.classified import Classified
from dense3d.transfer_function.editing import Snapshot
from dense3d.transfer_function.measures import Uncertainty, dice, uncertainty, voxel_counts
from dense3d.transfer_function.resolving import resolve
from dense3d.transfer_function.workspace import Workspace

REPORT_EVERY = 0.2  # seconds between reports of progress
SETTLED = 0.25  # seconds after a result until it is measured, unless a newer one comes
DRAWING = 0.06  # seconds after a preview that are left to the browser, which may share the processor
LONGEST_PAUSE = 1.0  # seconds of a preparation, while marks are classified
LONGEST_WITHOUT_MAPS = 1.0  # seconds, while clicks come faster than maps


class Cancelled(Exception):
    """Ends a preparation that nobody waits for any more."""


@dataclass(frozen=True)
class _Preparation:
    """What is under way.

    Args:
        method: that is prepared.
        ends: set when nobody waits for it any more.
    """

    method: str
    ends: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Measures:
    """Figures of one revision: millilitres and Dice by class id, and where it is unsure."""

    revision: int
    millilitres: dict[int, float]
    dice: dict[int, float | None]
    uncertainty: Uncertainty


class Results(Protocol):
    """Who is told, from the computing threads."""

    def wanted_planes(self) -> set[tuple[int, int]]:
        """(axis, canonical index) of the slices that pages show."""

    def show_planes(
        self, revision: int, class_ids: tuple[int, ...], planes: dict[tuple[int, int], np.ndarray]
    ) -> None:
        """Scores of slices, by (axis, working index)."""

    def show_maps(self, revision: int, class_ids: tuple[int, ...], scores: np.ndarray) -> None:
        """Scores of the whole working grid."""

    def show_measures(self, measures: Measures) -> None:
        """Figures."""

    def show_progress(self, report: dict[str, Any]) -> None:
        """Of a preparation."""

    def show_problem(self, sentence: str | None) -> None:
        """What keeps the classification from being computed."""


class Work:
    """Classifies after every change, in a thread of its own, and never what is out of date already.

    Args:
        workspace: what is classified.
        results: who is told.
    """

    def __init__(self, workspace: Workspace, results: Results) -> None:
        self.workspace, self.results = workspace, results
        # Only set and cleared: who wakes the thread holds the workspace's lock, which the thread takes later.
        self._woken = threading.Event()
        self._stopped = False
        self._idle = threading.Event()  # nothing waits to be classified
        self._idle.set()
        self._done: Any = None
        self._mapped = 0.0
        self._to_measure: tuple[Snapshot, np.ndarray] | None = None
        self._measure_due = threading.Event()
        self._preparation: _Preparation | None = None  # the one that pages are told of
        self._changing = threading.Lock()  # of it
        self._threads = [
            threading.Thread(target=self._run, name="classification", daemon=True),
            threading.Thread(target=self._measure, name="measures", daemon=True),
        ]

    def start(self) -> None:
        """Start to classify and to prepare."""
        for thread in self._threads:
            thread.start()
        self.prepare()

    def wake(self) -> None:
        """Tell that something changed; returns at once."""
        self._idle.clear()
        self._woken.set()

    def stop(self) -> None:
        """End the threads, after what they are at."""
        self.cancel()
        self._stopped = True
        self._woken.set()
        self._measure_due.set()
        for thread in self._threads:
            thread.join(timeout=10)

    # ------------------------------------------------------------------ preparation

    def prepare(self) -> None:
        """Prepare the workspace's method, unless it is ready or under way, in place of any other."""
        with self._changing:
            method, old = self.workspace.method, self._preparation
            if old is not None and old.method == method and not old.ends.is_set():
                return
            if old is not None:
                old.ends.set()
            is_needed = not self.workspace.prepared
            self._preparation = new = _Preparation(method) if is_needed else None
        if new is not None:
            threading.Thread(target=self._prepare, args=(new,), daemon=True).start()
        else:
            report = {"type": "progress", "task": "ready", "done": 1.0, "left_s": 0.0}
            self.results.show_progress({**report, "ready": self.workspace.ready})

    def cancel(self) -> None:
        """End the preparation at its next step."""
        with self._changing:
            if self._preparation is not None:
                self._preparation.ends.set()

    def _prepare(self, own: _Preparation) -> None:
        last = {"type": "progress", "task": "", "done": 0.0, "left_s": None, "ready": False}
        reported = 0.0

        def progress(done: float, task: str, left: float | None) -> None:
            nonlocal reported
            if own.ends.is_set():
                raise Cancelled
            if self.workspace.ready:
                self._idle.wait(LONGEST_PAUSE)
            left = None if left is None else round(float(left), 1)
            last.update(task=str(task), done=round(float(done), 4), left_s=left, ready=self.workspace.ready)
            if time.monotonic() - reported > REPORT_EVERY:
                reported = time.monotonic()
                self.results.show_progress(dict(last))
                self.wake()  # it may have become ready

        try:
            self.workspace.prepare(progress)
            last.update(done=1.0, left_s=0.0)
        except Cancelled:
            last.update(cancelled=True)
        except Exception as error:
            last.update(failed=_sentence(error, f"the preparation of {own.method}"))
        with self._changing:
            if self._preparation is not own:
                return  # another one is told of instead
            self._preparation = None
        last.update(ready=self.workspace.ready)
        self.results.show_progress(dict(last))
        self.wake()

    # ------------------------------------------------------------------ classification

    def _run(self) -> None:
        while not self._stopped:
            if not self._is_due():
                self._idle.set()
                self._woken.wait()
                self._woken.clear()
                continue
            self._idle.clear()  # a change may have come after it was set
            try:
                self._classify()
                self.results.show_problem(None)
            except Exception as error:
                self._done = self._key()
                self.results.show_problem(_sentence(error, "the classification"))

    def _key(self) -> tuple:
        return self.workspace.revision, self.workspace.reference_number, self.workspace.generation

    def _is_due(self) -> bool:
        if self._done == self._key():
            return False
        snapshot = self.workspace.snapshot()
        return self.workspace.ready or not snapshot.needs_method

    def _classify(self) -> None:
        key, workspace = self._key(), self.workspace
        snapshot = workspace.snapshot()
        scores = workspace.kept_scores(snapshot)
        if scores is None and snapshot.needs_method and not workspace.is_ready(snapshot.method):
            return  # the method was changed a moment ago
        if scores is None:
            places = {(a, index // workspace.factors[a]) for a, index in self.results.wanted_planes()}
            if places and (preview := workspace.preview(snapshot)) is not None:
                self._show_planes(snapshot, preview, places)
                time.sleep(DRAWING)
                if self._key() != key and time.monotonic() - self._mapped < LONGEST_WITHOUT_MAPS:
                    return  # something newer is waiting
            classified = workspace.classified(snapshot)
            self._show_planes(snapshot, classified, places)
            if self._key() != key and time.monotonic() - self._mapped < LONGEST_WITHOUT_MAPS:
                return  # something newer is waiting
            scores = workspace.keep_scores(snapshot, classified.volume())
        self.results.show_maps(snapshot.revision, snapshot.class_ids, scores)
        self._mapped = time.monotonic()
        self._done = key
        self._to_measure = snapshot, scores
        self._measure_due.set()

    def _show_planes(self, snapshot: Snapshot, scores: Classified, places: set[tuple[int, int]]) -> None:
        planes = {place: scores.plane(*place) for place in places}
        self.results.show_planes(snapshot.revision, snapshot.class_ids, planes)

    def _measure(self) -> None:
        """In a thread of its own, so that the next click does not wait for figures of the last one."""
        while not self._stopped:
            self._measure_due.wait()
            time.sleep(SETTLED)
            self._measure_due.clear()
            if self._to_measure is None or self._stopped:
                continue
            try:
                self.results.show_measures(measure(self.workspace, *self._to_measure))
            except Exception as error:
                self.results.show_problem(_sentence(error, "the measuring"))


def measure(workspace: Workspace, snapshot: Snapshot, scores: np.ndarray) -> Measures:
    """Figures of scores on the working grid."""
    labels = snapshot.ids[resolve(scores, snapshot.thresholds)]
    counts = voxel_counts(labels, workspace.volume.shape, workspace.factors)
    agreement = {}
    for one in snapshot.document.classes:
        reference = workspace.working_reference(one.name)
        agreement[one.id] = None if reference is None else dice(labels, reference, one.id, 1)
    millilitres = {one: float(counts[one]) * workspace.voxel_ml for one in snapshot.class_ids}
    return Measures(snapshot.revision, millilitres, agreement, uncertainty(scores, snapshot.thresholds))


def _sentence(error: Exception, what: str) -> str:
    if isinstance(error, Dense3dError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"there is not enough memory for {what}; start again with a smaller --working-limit"
    logging.getLogger(__name__).exception("%s failed", what)
    return f"{what} failed: {type(error).__name__}: {str(error)[:200]}"
