"""Nothing is lost: reloads, tabs, a server that goes and comes back, a lost context, files out and in."""

from __future__ import annotations

import numpy as np
from transfer_function.browser.pages import ToolPage
from transfer_function.browser.phantom import LEFT, ORGANS, RIGHT, organ

IN_RIGHT, IN_LEFT = ORGANS[RIGHT][0], ORGANS[LEFT][0]

NO_WEBGL = """
const given = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  return kind === "webgl2" ? null : given.call(this, kind, ...rest);
};
"""


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def tinted(tool: ToolPage, voxel: tuple) -> bool:
    return np.ptp(tool.color("axial", voxel)) > 25


def mark_both(tool: ToolPage) -> None:
    tool.click("axial", IN_RIGHT)
    tool.page.keyboard.press("n")
    tool.wait(lambda: len(tool.server.state["classes"]) == 2)
    tool.settle()
    tool.click("axial", (*IN_LEFT[:2], 22))
    tool.page.keyboard.press("0")
    tool.click("axial", (62, 24, 22))
    tool.click("axial", (36, 54, 22))


def test_export_reads_back_where_the_organs_are(tool, phantom, tmp_path):
    import nibabel

    mark_both(tool)
    tool.page.locator("#export").click()
    with tool.page.expect_download() as download:
        tool.page.locator('[data-format="nifti"]').click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert path.name.endswith(".nii.gz")
    image, source = nibabel.load(path), nibabel.load(phantom)
    np.testing.assert_allclose(image.affine, source.affine)
    labels = np.asarray(nibabel.as_closest_canonical(image).dataobj)
    first, second = (one["id"] for one in tool.server.state["classes"])
    assert dice(labels == first, organ(RIGHT)) > 0.85
    assert dice(labels == second, organ(LEFT)) > 0.85
    assert tool.hears("Exported").startswith("Exported")

    # and in again, after everything was taken back
    tool.server.undo_all()
    tool.open()
    tool.page.locator("#import").click()
    tool.page.locator("#import-file").set_input_files(path)
    tool.wait(lambda: len(tool.server.state["classes"]) >= 2, "import")
    tool.settle()
    assert tinted(tool, (51, 36, 22)) and tinted(tool, (23, 34, 22)) and not tinted(tool, (62, 24, 22))


def test_a_bad_import_is_a_sentence(tool, tmp_path):
    path = tmp_path / "broken.nii.gz"
    path.write_bytes(b"\x1f\x8b no volume")
    tool.page.locator("#import").click()
    tool.page.locator("#import-file").set_input_files(path)
    assert "Traceback" not in tool.hears("broken.nii.gz")
    assert len(tool.said) == 1


def test_a_reload_finds_the_work(tool):
    tool.click("axial", IN_RIGHT)
    name = tool.page.locator(".class input.name").first
    name.fill("liver")
    name.press("Enter")
    tool.wait(lambda: tool.server.state["classes"][0]["name"] == "liver")
    tool.page.get_by_label("Look from the back").click()
    tool.wait(lambda: tool.server.state["view"].get("camera", {}).get("azimuth") == 180)
    before = tool.pane("axial")
    tool.page.reload()
    tool.settle()
    assert tool.page.locator(".class input.name").first.input_value() == "liver"
    assert len(tool.server.state["prompts"]) == 1
    assert tool.facts["crosshair"] == list(IN_RIGHT)
    assert tool.facts["view"]["camera"]["azimuth"] == 180
    assert np.abs(tool.pane("axial").astype(int) - before).mean() < 1


def test_two_tabs_stay_in_step_and_keep_each_others_marks(tool, chromium):
    other = ToolPage(chromium, tool.server)
    other.open()
    tool.click("axial", IN_RIGHT)
    other.settle()
    assert tinted(other, (51, 36, 22))
    other.page.keyboard.press("n")
    other.wait(lambda: len(other.server.state["classes"]) == 2)
    other.settle()
    other.click("axial", (*IN_LEFT[:2], 22))
    tool.settle()
    first, second = tool.server.state["classes"]
    assert [mark["class"] for mark in tool.server.state["prompts"]] == [first["id"], second["id"]]
    assert tool.page.locator(".class input.name").count() == 2
    assert tinted(tool, (51, 36, 22)) and tinted(tool, (23, 34, 22))
    other.close()
    assert not other.errors


def test_a_server_that_comes_back_finds_the_page_and_the_page_its_work(tool):
    tool.click("axial", IN_RIGHT)
    tool.wait(lambda: tool.server.state["session"]["saved"])
    tool.server.kill()
    tool.wait(lambda: tool.page.locator(".connection.off").count() == 1)
    tool.page.keyboard.press("p")
    tool.page.mouse.click(*tool.point("axial", (52, 34, 22)))  # while it is away
    tool.server.start()
    tool.hears("is back")
    tool.wait(lambda: len(tool.server.state["prompts"]) == 2, "the mark that waited")
    tool.settle()
    assert tinted(tool, (51, 36, 22))


def test_a_lost_context_comes_back_with_the_same_pictures(tool):
    tool.click("axial", IN_RIGHT)
    before = {name: tool.pane(name).astype(int) for name in ("axial", "volume")}
    tool.page.evaluate("() => { window.lost = window.dense3d.loseContext(); window.lost.loseContext(); }")
    tool.wait(lambda: tool.facts["lost"] == 1)
    tool.page.evaluate("() => window.lost.restoreContext()")
    tool.hears("back")
    tool.settle()
    for name, picture in before.items():
        assert np.abs(tool.pane(name) - picture).mean() < 2, name


def test_without_webgl_the_server_draws_and_tools_work(chromium, server):
    server.undo_all()
    tool = ToolPage(chromium, server, NO_WEBGL)
    tool.open()
    assert not tool.facts["webgl"]
    assert "WebGL2" in tool.page.locator(".banner").inner_text()

    def picture(name: str) -> np.ndarray:
        return tool.pane(name, lines=True)

    for name in ("axial", "coronal", "sagittal", "volume"):
        tool.wait(lambda name=name: picture(name).std() > 8, name)
    before = picture("axial")
    tool.click("axial", IN_RIGHT)

    def color(voxel: tuple) -> np.ndarray:
        box = tool.page.locator(".pane.axial").bounding_box()
        x, y = tool.point("axial", voxel)
        return picture("axial")[round(y - box["y"]), round(x - box["x"])].astype(int)

    tool.wait(lambda: np.ptp(color((51, 36, 22))) > 25, "overlay")
    assert np.ptp(color((66, 24, 22))) < 8
    assert np.abs(picture("axial").astype(int) - before).mean() > 0.5
    tool.close()
    assert not tool.errors


def test_keys_slices_window_zoom_and_the_list(tool):
    page = tool.page
    page.mouse.move(*tool.point("axial", (36, 30, 22)))
    page.keyboard.press("w")
    page.keyboard.press("w")
    page.keyboard.press("s")
    tool.wait(lambda: tool.facts["crosshair"][2] == 23)
    page.mouse.wheel(0, -100)
    tool.wait(lambda: tool.facts["crosshair"][2] > 23)
    window = tool.facts["view"]["window"]
    page.keyboard.press("q")
    tool.drag("axial", [(30, 30, 22), (20, 40, 22)])
    tool.wait(lambda: tool.facts["view"]["window"] != window)
    page.keyboard.press("v")
    page.mouse.click(*tool.point("axial", (30, 40, 22)))
    tool.wait(lambda: tool.facts["crosshair"][:2] == [30, 40])
    x, y = tool.point("axial", (30, 40, 22))
    page.mouse.move(x, y)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    tool.wait(lambda: abs(tool.point("axial", (40, 40, 22))[0] - x) > 30)
    tool.wait(lambda: np.allclose(tool.point("axial", (30, 40, 22)), (x, y), atol=6))
    page.keyboard.press("Home")
    page.keyboard.press("n")
    tool.wait(lambda: len(tool.server.state["classes"]) == 2)
    tool.wait(lambda: tool.facts["view"]["activeClass"] == tool.server.state["classes"][1]["id"])
    page.keyboard.press("x")
    assert tool.facts["view"]["activeClass"] == 0
    page.keyboard.press("1")
    page.keyboard.press(" ")
    tool.wait(lambda: tool.server.state["prompts"])
    assert tool.server.state["prompts"][0]["voxels"] == [tool.facts["crosshair"]]
    radius = tool.facts["view"]["radius"]
    page.keyboard.press("]")
    assert tool.facts["view"]["radius"] > radius
    page.keyboard.press("f")
    tool.wait(lambda: page.locator(".pane:visible").count() == 1)
    tool.wait(lambda: tool.pane("axial").std() > 8)
    page.keyboard.press("f")
    tool.wait(lambda: page.locator(".pane:visible").count() == 4)
    page.keyboard.press("?")
    page.locator(".key-row").first.wait_for()
    rows = page.locator(".key-row").all_inner_texts()
    for text in ("Undo", "New class", "Brush", "Shift + move", "Mark the voxel at the crosshair"):
        assert any(text.lower() in row.lower() for row in rows), text
    # another key for "next class"
    page.get_by_label("Change the key for: Next class").click()
    page.keyboard.press("g")
    page.keyboard.press("Escape")
    tool.wait(lambda: not page.locator("dialog").count())
    page.keyboard.press("g")
    tool.wait(lambda: tool.facts["view"]["activeClass"] == tool.server.state["classes"][1]["id"])


def test_everything_that_can_be_pressed_has_a_name_and_a_tooltip(tool):
    unnamed = tool.page.evaluate(
        """() => [...document.querySelectorAll("button, select, input, summary")].filter((one) => {
          const text = one.textContent.trim() || one.labels?.[0]?.textContent;
          return !(one.getAttribute("aria-label") || text) || !(one.dataset.tip || one.closest("[data-tip]"));
        }).map((one) => one.outerHTML)"""
    )
    assert unnamed == []
