"""A person chooses a method, sees how far it is, cancels it, lets it go on; marks stay through all of it."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from transfer_function.browser import held
from transfer_function.browser.pages import Server, ToolPage
from transfer_function.browser.phantom import ORGANS, RIGHT

IN_RIGHT = (*ORGANS[RIGHT][0][:2], 22)
BESIDE_RIGHT = (51, 36, 22)
IN_BODY = (62, 24, 22)
CLOSE = 0.2  # of 255, mean difference of scores that are the same


@pytest.fixture
def start(chromium, phantom, repository, tmp_path, monkeypatch) -> Iterator[Callable]:
    """A page of a server that has computed nothing yet, and the folder whose files let it compute."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    started: list[tuple[ToolPage, Server]] = []

    def start(*words: str) -> tuple[ToolPage, Path]:
        environment = os.environ | {"PYTHONPATH": str(repository), "PYTHONUNBUFFERED": "1"}
        options = [*words, "--session", str(tmp_path / "session.json")]
        command = [sys.executable, held.__file__, str(tmp_path), "transfer-function", str(phantom), *options]
        server = Server(command, environment)
        server.start()
        tool = ToolPage(chromium, server)
        started.append((tool, server))
        tool.open()
        return tool, tmp_path

    yield start
    for tool, server in started:
        tool.close()
        server.stop()
        assert not tool.errors


def choose(tool: ToolPage, method: str) -> None:
    """Of the list; it is taken at once, and the server has it."""
    control = tool.page.get_by_label("Method", exact=True)
    control.select_option(method)
    assert control.input_value() == method
    tool.wait(lambda: tool.server.state["method"] == method, method)
    assert control.input_value() == method


def work(tool: ToolPage) -> str:
    """What the line at the bottom says of what is computed."""
    return tool.page.locator(".work").inner_text()


def prepared(tool: ToolPage) -> None:
    """Wait until all is computed and the page says nothing of it any more."""
    tool.wait(lambda: (tool.server.state["progress"] or {}).get("done") == 1, "the end of the preparation")
    tool.wait(lambda: not tool.page.locator(".work").is_visible())
    tool.settle()


def shown(tool: ToolPage) -> np.ndarray:
    """(X, Y, Z) scores of the only class, as every page gets them."""
    shape = tool.server.state["volume"]["working"]["shape"]
    return np.frombuffer(tool.server.get("/api/maps"), np.uint8).reshape(4, *shape, order="F")[0]


def differ(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first.astype(int) - second).mean())


def tinted(tool: ToolPage, voxel: tuple) -> bool:
    return np.ptp(tool.color("axial", voxel)) > 25


def test_learning_shows_its_progress_is_cancelled_and_goes_on(start):
    tool, gates = start()
    task, bar = tool.page.locator(".work .task"), tool.page.locator(".work .bar i")
    cancel, go_on = (tool.page.get_by_role("button", name=text, exact=True) for text in ("Cancel", "Go on"))
    tool.wait(lambda: task.is_visible() and "learning features" in task.inner_text(), "progress")
    tool.wait(lambda: int(task.inner_text().split("%")[0].split()[-1]) >= 20, "how far it is")
    assert 0.1 < bar.evaluate("(one) => parseFloat(one.style.width)") / 100 < 0.9
    assert cancel.is_visible() and not go_on.is_visible()
    tool.click("axial", IN_RIGHT)  # one may mark meanwhile
    tool.wait(lambda: tinted(tool, BESIDE_RIGHT), "what follows from hand-made features")

    cancel.click()
    assert "learning features; marks work with what is there" in tool.hears("Cancelled")
    tool.wait(lambda: "learning features: cancelled at" in work(tool))
    assert go_on.is_visible() and not cancel.is_visible() and not bar.is_visible()
    assert tool.server.state["progress"]["cancelled"] and tool.server.state["ready"]
    tool.page.keyboard.press("0")
    tool.click("axial", IN_BODY)
    tool.page.keyboard.press("Control+z")
    tool.wait(lambda: len(tool.server.state["prompts"]) == 1)
    tool.settle()
    assert tinted(tool, BESIDE_RIGHT) and not tinted(tool, IN_BODY)
    tool.page.reload()  # it is told after a reload, too
    tool.settle()
    tool.wait(lambda: "cancelled at" in work(tool))
    assert len(tool.server.state["prompts"]) == 1 and not tool.said

    before = shown(tool)
    (gates / held.LEARNING).touch()
    go_on.click()
    prepared(tool)
    assert tool.server.state["method"] == "graph" and len(tool.server.state["prompts"]) == 1
    tool.wait(lambda: (shown(tool) != before).any(), "scores by learnt features")


def test_features_that_are_cancelled_leave_marks_for_another_method(start, tmp_path):
    tool, gates = start("--checkpoint", str(held.small_dino(tmp_path / "dino.pth")))
    tool.wait(lambda: tool.page.locator(".work").is_visible() and "features" in work(tool), "progress")
    tool.page.get_by_role("button", name="Cancel", exact=True).click()
    assert "marks do nothing until it is done" in tool.hears("Cancelled")
    tool.page.mouse.click(*tool.point("axial", IN_RIGHT))
    (mark,) = tool.wait(lambda: tool.server.state["prompts"], "a mark")
    assert not tinted(tool, BESIDE_RIGHT)
    choose(tool, "graph-quick")
    prepared(tool)
    assert tool.server.state["prompts"] == [mark]
    tool.wait(lambda: tinted(tool, BESIDE_RIGHT), "what follows from the mark")
    (gates / held.FEATURES).touch()
    choose(tool, "similarity")
    prepared(tool)
    assert tool.server.state["prompts"] == [mark] and shown(tool)[IN_RIGHT] > 200


def test_the_chosen_method_is_the_servers_and_is_kept(start, phantom, tmp_path, monkeypatch):
    from dense3d.backbones.vit_architectures import ARCHITECTURES
    from dense3d.datasets.volumes import open_volume
    from dense3d.transfer_function import Workspace

    monkeypatch.setitem(ARCHITECTURES, "dino_vits16", ARCHITECTURES["dino_vits16"] | held.SMALL)
    for name in (held.LEARNING, held.FEATURES):
        (tmp_path / name).touch()
    checkpoint = str(held.small_dino(tmp_path / "dino.pth"))
    tool, _ = start("--checkpoint", checkpoint)
    control = tool.page.get_by_label("Method", exact=True)
    names = control.locator("option").evaluate_all("(all) => all.map((one) => one.value)")
    assert names == ["similarity", "similarity-refined", "graph", "graph-quick"]
    assert control.input_value() == tool.server.state["method"] == "similarity"
    prepared(tool)
    tool.click("axial", IN_RIGHT)
    tool.page.keyboard.press("0")
    tool.click("axial", IN_BODY)
    marks = tool.server.state["prompts"]
    assert len(marks) == 2
    found = {}
    for name in ("similarity", "graph", "graph-quick", "similarity-refined"):
        choose(tool, name)
        prepared(tool)
        workspace = Workspace(open_volume(phantom), method=name, checkpoint=checkpoint)
        workspace.click(workspace.add_class(), IN_RIGHT)
        workspace.click(0, IN_BODY)
        found[name] = workspace.scores()[0]
        # features that come from the disk are rounded
        tool.wait(lambda one=found[name]: differ(shown(tool), one) < CLOSE, f"scores by {name}")
        assert tool.server.state["prompts"] == marks
    assert all(differ(a, b) > 3 * CLOSE for a, b in itertools.combinations(found.values(), 2))
    choose(tool, "graph")
    prepared(tool)
    tool.page.reload()
    tool.settle()
    assert control.input_value() == tool.server.state["method"] == "graph"
    assert tool.server.state["prompts"] == marks
    assert tinted(tool, BESIDE_RIGHT)
    tool.wait(lambda: tool.server.state["session"]["saved"], "the session's file")
    tool.server.kill()
    tool.server.start()
    tool.hears("The server is back")
    tool.settle()
    tool.wait(lambda: control.input_value() == tool.server.state["method"] == "graph", "the kept choice")
    assert tool.server.state["prompts"] == marks
