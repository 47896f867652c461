"""The computing threads: what waits for what."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np

from dense3d.structures.volume import Volume
from dense3d.transfer_function.server.work import Work
from dense3d.transfer_function.workspace import Workspace

SECONDS = 60.0  # until a test gives up waiting; the machine may be busy


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
            self.answer.wait(SECONDS)
        return super().classified(snapshot)


def test_a_preparation_rests_while_marks_are_classified(monkeypatch):
    monkeypatch.setattr("dense3d.transfer_function.server.work.LONGEST_PAUSE", SECONDS)
    workspace = Slow()
    told = threading.Event()
    names = ("show_planes", "show_measures", "show_progress", "show_problem")
    results = SimpleNamespace(**dict.fromkeys(names, lambda *given: None))
    results.wanted_planes = set
    results.show_maps = lambda revision, ids, scores: ids and told.set()
    work = Work(workspace, results)
    work.start()
    try:
        assert workspace.running.wait(SECONDS)
        workspace.add_class("one")
        work.wake()
        assert workspace.asked.wait(SECONDS)
        before = workspace.steps_done
        threading.Event().wait(0.2)  # in which it could do thousands
        assert workspace.steps_done <= before + 1, "the step that it was at"
        workspace.running.clear()
        workspace.answer.set()
        assert told.wait(SECONDS) and workspace.running.wait(SECONDS), "it goes on afterwards"
    finally:
        workspace.answer.set()
        workspace.stop = True
        work.stop()


class Learning:
    """Scores of 200 at once, of 250 once it has learnt."""

    name, ready = "graph", False

    def __init__(self) -> None:
        self.score, self.may_end = 200, threading.Event()

    def prepare(self, progress) -> None:
        self.ready = True
        progress(0.1, "ready for clicks", None)
        assert self.may_end.wait(SECONDS)
        self.score = 250
        progress(1.0, "ready", 0.0)

    def classify(self, prompts, class_ids):
        scores = np.full((len(class_ids), 8, 8, 8), self.score, np.uint8)
        return SimpleNamespace(
            class_ids=class_ids, volume=lambda: scores, plane=lambda axis, index: scores.take(index, axis + 1)
        )


def test_marks_are_classified_again_when_learning_ends():
    workspace = Workspace(Volume(np.arange(512, dtype=np.int16).reshape(8, 8, 8), np.eye(4)))
    classifier = workspace._classifiers[workspace.method] = Learning()
    shown = {200: threading.Event(), 250: threading.Event()}
    names = ("show_planes", "show_measures", "show_progress", "show_problem")
    results = SimpleNamespace(**dict.fromkeys(names, lambda *given: None))
    results.wanted_planes = set
    results.show_maps = lambda revision, ids, scores: scores.any() and shown[int(scores.max())].set()
    work = Work(workspace, results)
    work.start()
    try:
        workspace.click(workspace.add_class("one"), (4, 4, 4))
        work.wake()
        assert shown[200].wait(SECONDS)
        classifier.may_end.set()
        assert shown[250].wait(SECONDS), "without another click"
        assert workspace.scores().max() == 250
    finally:
        classifier.may_end.set()
        work.stop()
