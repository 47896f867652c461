"""More classes than shaders take, a reference to compare with, and a CT of a person."""

from __future__ import annotations

import os
import sys

import numpy as np
from transfer_function.browser.pages import Server, ToolPage
from transfer_function.browser.phantom import ORGANS, RIGHT

IN_RIGHT = ORGANS[RIGHT][0]
ONE_GROUP = """() => {
  const get = WebGL2RenderingContext.prototype.getParameter;
  WebGL2RenderingContext.prototype.getParameter = function (name) {
    return name === this.MAX_TEXTURE_IMAGE_UNITS ? 4 : get.call(this, name);
  };
}"""


def test_more_classes_than_shaders_take_are_drawn_by_the_server(chromium, server):
    server.undo_all()
    tool = ToolPage(chromium, server, f"({ONE_GROUP})()")
    tool.open()
    assert tool.facts["webgl"]
    for number in range(2, 6):
        tool.page.keyboard.press("n")
        tool.wait(
            lambda n=number: tool.page.locator(".class.active input.name").input_value() == f"structure {n}"
        )
    tool.wait(lambda: not tool.facts["webgl"], "the fifth class")
    assert "takes 4 classes" in tool.page.locator(".banner").inner_text()
    tool.page.mouse.click(*tool.point("axial", (*IN_RIGHT[:2], 22)))
    box = tool.page.locator(".pane.axial").bounding_box()
    x, y = tool.point("axial", (51, 36, 22))
    place = round(y - box["y"]), round(x - box["x"])
    tool.wait(lambda: np.ptp(tool.pane("axial", lines=True)[place].astype(int)) > 25, "overlay")
    tool.close()
    assert not tool.errors


def test_a_reference_shows_the_dice_of_its_structures(tool, tmp_path):
    tool.click("axial", (*IN_RIGHT[:2], 22))
    tool.page.locator("#export").click()
    with tool.page.expect_download() as download:
        tool.page.locator('[data-format="nifti"]').click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    tool.page.locator("#import").click()
    tool.page.locator('input[name="role"][value="reference"]').check()
    tool.page.locator("#import-file").set_input_files(path)
    count = tool.page.locator(".class.active .marks-count")
    tool.wait(lambda: "Dice 1.000" in count.inner_text(), "Dice")  # of what it is itself
    tool.page.keyboard.press("0")
    tool.click("axial", (*IN_RIGHT[:2], 22))  # the organ belongs to nothing now
    tool.page.keyboard.press("1")
    tool.wait(lambda: "Dice 1.000" not in count.inner_text(), "another Dice")


def test_a_ct_of_a_person_opens_and_a_click_takes_in_liver(chromium, repository, sample_data, tmp_path):
    volume = sample_data / "volumes" / "ct_body_tall" / "ct.nii.gz"
    environment = os.environ | {"PYTHONPATH": str(repository), "PYTHONUNBUFFERED": "1"}
    session = ["--session", str(tmp_path / "session.json")]
    server = Server(
        [sys.executable, "-m", "dense3d", "transfer-function", str(volume), *session], environment
    )
    server.start()
    try:
        tool = ToolPage(chromium, server)
        tool.open()
        tool.wait(lambda: tool.server.state["ready"])
        tool.page.locator(".axial .pane-slider").fill("100")
        tool.settle()
        before = tool.pane("volume")
        tool.click("axial", (85, 50, 100))
        tool.wait(lambda: tool.server.state["classes"][0]["ml"])
        assert 20 < tool.server.state["classes"][0]["ml"] < 3000  # a liver has about 1500 ml
        red, _, blue = tool.color("axial", (88, 52, 100))
        assert red > blue + 30
        assert np.ptp(tool.color("axial", (20, 40, 100))) < 8, "the spleen is not marked"
        assert np.abs(tool.pane("volume").astype(int) - before).mean() > 0.5
        tool.wait(lambda: " HU" in tool.page.locator(".where").inner_text(), "the value")
        tool.close()
        assert not tool.errors
    finally:
        server.stop()
