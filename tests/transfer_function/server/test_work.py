"""The computing threads: what waits for what."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np

from dense3d.structures.volume import Volume
from dense3d.transfer_function.server.work import Work
from dense3d.transfer_function.workspace import Workspace


class Slow(Workspace):
    """Ready at once, prepares in many steps, and classifies when it is told to."""

    def __init__(self) -> None:
        super().__init__(Volume(np.arange(512, dtype=np.int16).reshape(8, 8, 8), np.eye(4)))
        self.steps_done, self.stop = 0, False
        self.asked, self.answer = threading.Event(), threading.Event()
        self.running = threading.Event()

    @property
    def ready(self) -> bool:
        return True

    def prepare(self, progress=None) -> None:
        while not self.stop:
            progress(0.5, "learning", None)
            self.steps_done += 1
            self.running.set()

    def classified(self, snapshot=None):
        if snapshot.class_ids:
            self.asked.set()
            self.answer.wait(10)
        return super().classified(snapshot)


def test_a_preparation_rests_while_marks_are_classified(monkeypatch):
    monkeypatch.setattr("dense3d.transfer_function.server.work.LONGEST_PAUSE", 30.0)
    workspace = Slow()
    told = threading.Event()
    names = ("show_planes", "show_measures", "show_progress", "show_problem")
    results = SimpleNamespace(**dict.fromkeys(names, lambda *given: None))
    results.wanted_planes = set
    results.show_maps = lambda revision, ids, scores: ids and told.set()
    work = Work(workspace, results)
    work.start()
    try:
        assert workspace.running.wait(10)
        workspace.add_class("one")
        work.wake()
        assert workspace.asked.wait(10)
        threading.Event().wait(0.1)  # the step that it was at
        before = workspace.steps_done
        threading.Event().wait(0.2)
        assert workspace.steps_done == before
        workspace.running.clear()
        workspace.answer.set()
        assert told.wait(10) and workspace.running.wait(10), "it goes on afterwards"
    finally:
        workspace.answer.set()
        workspace.stop = True
        work.stop()
