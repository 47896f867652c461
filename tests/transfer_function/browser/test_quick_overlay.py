"""The answer to a mark, which the page shows before WebGL has drawn it: the same as WebGL's picture then."""

from __future__ import annotations

import numpy as np
import pytest
from transfer_function.browser.pages import ToolPage
from transfer_function.browser.phantom import SHAPE

SLICES = {"axial": (0, 1), "coronal": (0, 2), "sagittal": (1, 2)}  # the axes along which their voxels lie
IN_RIGHT, IN_LEFT, IN_BODY = (50, 35, 20), (22, 28, 26), (62, 24, 22)

# What quick overlays have covered so far, as if WebGL drew nothing below them.
KEEP = """
window.quick = {};
const put = CanvasRenderingContext2D.prototype.putImageData;
CanvasRenderingContext2D.prototype.putImageData = function (picture, ...place) {
  put.call(this, picture, ...place);
  if (!this.canvas.classList.contains("quick")) return;
  const name = this.canvas.parentElement.className.split(" ")[1];
  const kept = (window.quick[name] ??= { width: picture.width, data: new Uint8Array(picture.data.length) });
  for (let at = 0; at < picture.data.length; at += 4)
    if (picture.data[at + 3]) kept.data.set(picture.data.subarray(at, at + 4), at);
};
"""

WITHOUT_WEBGL = """
const get = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...given) {
  return kind === "webgl2" ? null : get.call(this, kind, ...given);
};
"""


@pytest.fixture
def tool(chromium, server):
    """A page that keeps its quick overlays, one class, no outlines, and a voxel of one colour."""
    server.undo_all()
    tool = ToolPage(chromium, server, KEEP)
    tool.open()
    for name in ("Outlines", "Smooth"):
        tool.page.get_by_text(name, exact=True).click()
    tool.settle()
    yield tool
    tool.close()
    assert not tool.errors


def kept(tool, name: str) -> np.ndarray:
    """(H, W, 4) of the voxels of a slice: what quick overlays have covered since they were forgotten."""
    code = "name => [window.quick[name].width, [...window.quick[name].data]]"
    width, data = tool.page.evaluate(code, name)
    return np.array(data, np.uint8).reshape(-1, width, 4)


def drawn(tool, name: str) -> np.ndarray:
    """(H, W, 3) of the same voxels: what WebGL shows at their middles, which all lie in the pane."""
    u, v = SLICES[name]
    last = [0, 0, 0]
    last[u], last[v] = SHAPE[u] - 1, SHAPE[v] - 1
    tool.page.mouse.move(2, 2)  # a pane under the mouse shows its slider
    box = tool.page.locator(f".pane.{name}").bounding_box()
    left, top = tool.point(name, tuple(last))
    right, bottom = tool.point(name, (0, 0, 0))
    x = np.linspace(left, right, SHAPE[u]) - round(box["x"])
    y = np.linspace(top, bottom, SHAPE[v]) - round(box["y"])
    assert not tool.page.locator(f".pane.{name} .quick").is_visible()
    return tool.pane(name)[y.astype(int)[:, None], x.astype(int)[None]]


def check(tool, least: float) -> None:
    """What was covered looks as WebGL's picture does, in each slice; so much is covered in all of them."""
    covered = 0
    for name in SLICES:
        quick, picture = kept(tool, name).astype(int), drawn(tool, name).astype(int)
        there = quick[..., 3] > 0
        off = np.abs(quick[..., :3] - picture).max(-1)[there]
        assert (off > 3).sum() <= 0.001 * there.sum(), (name, off.max(), (off > 3).sum())
        mirrored = np.abs(quick[..., :3] - picture[:, ::-1]).max(-1)[there]
        assert (mirrored > 3).sum() >= 0.2 * there.sum(), name
        covered += there.mean() / len(SLICES)
    assert covered >= least


def click(tool, voxel: tuple, button: str = "left") -> None:
    """A click in the axial slice of a voxel; quick overlays of before are forgotten."""
    tool.page.locator(".axial .pane-slider").fill(str(voxel[2]))
    tool.settle()
    tool.page.evaluate("() => (window.quick = {})")
    tool.click("axial", voxel, button)


def test_the_quick_overlay_shows_the_classes_of_the_full_picture(tool):
    click(tool, IN_RIGHT)
    check(tool, least=0.02)  # of the slices that have moved all, unless WebGL was sooner
    tool.page.keyboard.press("n")
    tool.wait(lambda: len(tool.server.state["classes"]) == 2)
    tool.settle()
    click(tool, IN_LEFT)
    tool.page.keyboard.press("0")
    click(tool, IN_BODY)
    check(tool, least=0)


@pytest.mark.parametrize("mode", ["score", "unsure"])
def test_the_quick_overlay_has_the_colours_of_scores_and_margins(tool, mode):
    tool.page.get_by_label("Show", exact=True).select_option(mode)
    click(tool, IN_RIGHT)
    check(tool, least=0.9)


def test_only_what_changes_is_covered_where_the_slice_stays(tool):
    click(tool, IN_RIGHT)
    tool.page.evaluate("() => (window.quick = {})")
    tool.page.keyboard.press("Control+z")
    tool.wait(lambda: not tool.server.state["prompts"])
    tool.settle()
    quick, picture = kept(tool, "axial").astype(int), drawn(tool, "axial").astype(int)
    there = quick[..., 3] > 0
    assert 0.005 < there.mean() < 0.5
    assert np.abs(quick[..., :3] - picture).max(-1)[there].max() <= 3


def test_nothing_is_covered_without_overlay_or_webgl_or_for_a_hidden_class(tool, chromium, server):
    tool.page.keyboard.press("t")
    click(tool, IN_RIGHT)
    assert tool.page.evaluate("() => Object.keys(window.quick)") == []
    tool.page.keyboard.press("t")
    tool.page.keyboard.press("h")
    tool.wait(lambda: not tool.server.state["classes"][0]["visible"])
    click(tool, (48, 30, 24))
    check(tool, least=0)
    without = ToolPage(chromium, server, KEEP + WITHOUT_WEBGL)
    without.open()
    assert not without.facts["webgl"]
    without.click("axial", IN_LEFT)
    assert without.page.evaluate("() => Object.keys(window.quick)") == []
    without.close()
    assert not without.errors
