"""A person chooses a volume, a frame, a raw file; 2D transfer functions; clicks on pictures of the server."""

from __future__ import annotations

import os
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from transfer_function.browser.pages import SECONDS, Server, ToolPage
from transfer_function.browser.phantom import BODY, values, write_phantom
from transfer_function.browser.test_keeping import NO_WEBGL
from transfer_function.browser.test_pictures import TOLERANCE, compare


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A phantom, a series of three, a raw file, a cut one and one with values that are no numbers."""
    import nibabel

    place = tmp_path_factory.mktemp("scans")
    write_phantom(place / "body.nii.gz")
    whole = values()
    series = np.stack([whole, whole // 2, whole // 4], -1)[::2, ::2, ::2]
    nibabel.save(nibabel.Nifti1Image(series, np.diag([3.0, 3, 5, 1])), place / "series.nii")
    whole[::2, ::2, ::2].ravel(order="F").astype("<i2").tofile(place / "scan.raw")
    (place / "cut.nii.gz").write_bytes((place / "body.nii.gz").read_bytes()[:5000])
    holes = whole[::2, ::2, ::2].astype(np.float32)
    holes[5, 5, 5] = np.nan
    np.save(place / "holes.npy", holes)
    return place


@pytest.fixture(scope="module")
def server(folder, repository) -> Iterator[Server]:
    """`dense3d transfer-function` over the folder."""
    environment = os.environ | {"PYTHONPATH": str(repository), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "dense3d", "transfer-function", str(folder), "--method", "graph-quick"]
    server = Server(command, environment)
    server.start()
    yield server
    server.stop()


def choose(tool: ToolPage, name: str, **fields: str) -> None:
    """Choose an entry of the list and press Open."""
    tool.page.locator(f'[data-name="{name}"]').click()
    for label, text in fields.items():
        control = tool.page.locator(".opener").get_by_label(label, exact=True)
        if control.evaluate("(one) => one.tagName") == "SELECT":
            control.select_option(text)
        else:
            control.fill(text)
    tool.page.locator("#open-chosen").click()


def is_ready(tool: ToolPage) -> bool:
    """Whether the page stands; not while it loads anew."""
    from playwright.sync_api import Error

    try:
        return bool(tool.facts.get("ready"))
    except Error:
        return False


def shows(tool: ToolPage, name: str, frame: int = 0) -> None:
    """Wait until the server and the page have a volume."""

    def opened() -> bool:
        file = tool.server.state.get("file") or {}
        return (file.get("name"), file.get("frame") or 0) == (name, frame)

    end = time.monotonic() + SECONDS
    while not (opened() and is_ready(tool) and tool.page.title().startswith(name)):
        assert time.monotonic() < end, f"waited for {name}, frame {frame}"
        tool.page.wait_for_timeout(40)
    key = tool.server.state["volume"]["key"]
    tool.wait(lambda: tool.page.evaluate("() => window.dense3d?.facts.key") == key, "the page's volume")


def test_choosing_volumes_frames_and_layouts(chromium, server, folder):
    tool = ToolPage(chromium, server)
    tool.page.goto(server.address)
    tool.wait(lambda: tool.page.locator(".choice").count() == 5)
    problem = tool.page.locator(".opener .problem")
    tool.page.locator('[data-name="cut.nii.gz"]').click()
    tool.page.locator("#open-chosen").click()
    tool.wait(lambda: problem.is_visible() and "cut.nii.gz" in problem.inner_text(), "a sentence")
    assert str(folder) not in problem.inner_text()
    choose(tool, "scan.raw", Voxels="36x30x23", Type="int16")
    tool.wait(lambda: "but the file has" in problem.inner_text(), "the size of the raw file")
    choose(tool, "scan.raw", Voxels="36 x 30 x 22")
    shows(tool, "scan.raw")
    assert tool.server.state["volume"]["shape"] == [36, 30, 22]
    assert not tool.page.locator(".frames").is_visible()

    other = ToolPage(chromium, server)
    other.page.goto(server.address)
    shows(other, "scan.raw")
    tool.page.locator("#open").click()
    tool.page.locator('[data-name="series.nii"]').click()
    tool.wait(lambda: tool.page.locator(".opener").get_by_label("Frame", exact=True).is_visible())
    choose(tool, "series.nii", Frame="2")
    shows(tool, "series.nii", 2)
    shows(other, "series.nii", 2)  # the other tab follows
    other.close()
    assert not other.errors
    assert "frame 2 is open" in tool.page.locator(".notes").inner_text()
    assert tool.server.state["volume"]["range"][1] < 300
    tool.page.locator(".frames select").select_option("0")
    shows(tool, "series.nii", 0)
    assert tool.server.state["volume"]["range"][1] > 800

    tool.page.locator("#open").click()
    choose(tool, "holes.npy")
    shows(tool, "holes.npy")
    assert "finite" in tool.page.locator(".notes").inner_text()
    tool.page.locator("#open").click()
    choose(tool, "cut.nii.gz")
    tool.wait(lambda: problem.is_visible() and "cut.nii.gz" in problem.inner_text(), "a sentence")
    tool.page.keyboard.press("Escape")
    tool.wait(lambda: not tool.page.locator("dialog").count(), "the closed dialog")
    tool.page.mouse.click(*tool.point("axial", (18, 15, 11)))  # the volume from before is still there
    tool.wait(lambda: tool.server.state["prompts"], "a mark")
    assert tool.server.state["file"]["name"] == "holes.npy"
    tool.close()
    assert not tool.errors


def opened(chromium, server, init: str = "") -> ToolPage:
    body, headers = b'{"name": "body.nii.gz"}', {"Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(f"{server.address}/api/open", body, headers)).close()
    server.undo_all()
    tool = ToolPage(chromium, server, init)
    tool.open()
    return tool


def test_boxes_of_values_and_gradients_are_drawn_as_python_draws_them(chromium, server):
    tool = opened(chromium, server)
    before = tool.pane("volume").astype(int)
    tool.page.get_by_label("Seen by", exact=True).select_option("regions")
    tool.wait(lambda: (tool.server.state["transfer_function"] or {}).get("regions"), "boxes")
    tool.settle()
    assert np.abs(tool.pane("volume") - before).mean() > 1
    editor = tool.page.locator("#panels canvas.transfer:visible")
    editor.scroll_into_view_if_needed()
    box = editor.bounding_box()
    (first,) = tool.server.state["transfer_function"]["regions"]
    # the left edge, and then the lower one, by the mouse
    tool.page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    tool.page.mouse.down()
    tool.page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.3 * box["height"], steps=3)
    tool.page.mouse.up()
    tool.wait(lambda: tool.server.state["transfer_function"]["regions"][0]["values"][0] < first["values"][0])
    moved = tool.server.state["transfer_function"]["regions"][0]
    low, high = tool.server.state["volume"]["range"]
    assert abs(first["values"][0] - moved["values"][0] - 0.1 * (high - low)) < 0.02 * (high - low)
    assert moved["slopes"] == first["slopes"] and moved["values"][1] == first["values"][1]
    # hard edges of thin shells: where the samples of a ray lie decides more than with smooth functions
    assert compare(tool) < 1.5 * TOLERANCE
    assert compare(tool, lambda picture: picture[:, ::-1]) > 1.5 * TOLERANCE
    tool.page.reload()
    tool.settle()
    assert tool.page.get_by_label("Seen by", exact=True).input_value() == "regions"
    tool.page.get_by_label("Seen by", exact=True).select_option("values")
    tool.wait(lambda: not tool.server.state["transfer_function"]["regions"])
    names = tool.page.get_by_label("Volume", exact=True).locator("option").all_inner_texts()
    assert names[1:] == [one["name"] for one in tool.server.state["volume"]["transfer_functions"]]
    tool.close()
    assert not tool.errors


def test_without_webgl_a_click_on_the_servers_picture_marks_what_it_shows(chromium, server):
    tool = opened(chromium, server, NO_WEBGL)
    tool.page.get_by_label("Look from the front").click()
    tool.page.get_by_label("Volume", exact=True).select_option("CT skin")
    # the server picks, too, and by what it knows
    tool.wait(lambda: (tool.server.state["transfer_function"] or {}).get("name") == "CT skin")
    tool.wait(lambda: tool.pane("volume", lines=True).std() > 8, "a picture")
    box = tool.page.locator(".pane.volume").bounding_box()
    tool.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tool.wait(lambda: tool.server.state["prompts"], "a mark")
    (voxel,) = tool.server.state["prompts"][0]["voxels"]
    front = BODY[0][1] + BODY[1][1]
    assert abs(voxel[1] - front) <= 2 and abs(voxel[0] - BODY[0][0]) <= 2, "the skin before the middle"
    tool.page.mouse.click(box["x"] + 8, box["y"] + box["height"] / 2)
    tool.hears("Nothing is hit")
    tool.close()
    assert not tool.errors
