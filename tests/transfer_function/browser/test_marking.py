"""A person marks structures: what the slices and the 3D view show, what the server has, and back again."""

from __future__ import annotations

import json
import urllib.request

import numpy as np
from transfer_function.browser.phantom import BODY, LEFT, ORGANS, RIGHT, SPACING, organ
from transfer_function.browser.phantom import values as phantom_values

IN_RIGHT, IN_LEFT = ORGANS[RIGHT][0], ORGANS[LEFT][0]
BESIDE_RIGHT = (51, 36, 22)  # in the organ, off the crosshair
IN_BODY = (62, 24, 22)


def orange(picture: np.ndarray) -> np.ndarray:
    """Where a picture has the first class's hue, whatever the light."""
    red, green, blue = np.moveaxis(picture.astype(int), -1, 0)
    return (red > 60) & (red > 1.25 * green) & (green > 1.4 * blue)


def bluish(picture: np.ndarray) -> np.ndarray:
    red, green, blue = np.moveaxis(picture.astype(int), -1, 0)
    return (blue > 60) & (blue > 1.15 * green) & (green > 1.5 * red)


def share(tool, value: float) -> float:
    """Brightness 0..1 of a value through the page's window."""
    low, high = tool.server.state["volume"]["range"]
    window = tool.facts["view"]["window"]
    return float(
        np.clip(((value - low) / (high - low) - window["low"]) / (window["high"] - window["low"]), 0, 1)
    )


def test_opens_with_pictures_in_all_panes_in_the_radiological_convention(tool):
    assert tool.facts["webgl"]
    for name in ("axial", "coronal", "sagittal", "volume"):
        assert tool.pane(name).std() > 8, name
    # the patient's right is on the left of the picture, the front on top
    right, left = (tool.point("axial", ORGANS[name][0])[0] for name in (RIGHT, LEFT))
    assert right < left
    front, back = (tool.point("axial", (36, y, 22))[1] for y in (50, 10))
    assert front < back
    assert tool.point("coronal", (36, 30, 40))[1] < tool.point("coronal", (36, 30, 4))[1]
    assert tool.point("sagittal", (36, 50, 22))[0] < tool.point("sagittal", (36, 10, 22))[0]
    for name, voxel in ((RIGHT, IN_RIGHT), (LEFT, IN_LEFT)):
        grey = tool.color("axial", (*voxel[:2], 22))
        assert np.abs(grey - 255 * share(tool, ORGANS[name][2])).max() < 16, (name, grey)


def test_the_value_under_the_mouse_is_in_the_units_of_the_file(tool):
    for voxel in (IN_RIGHT, IN_BODY):
        tool.page.mouse.move(*tool.point("axial", (*voxel[:2], 22)))
        value = phantom_values()[voxel[0], voxel[1], 22]
        place = f"{voxel[0]}, {voxel[1]}, 22 ("
        shown = tool.wait(lambda p=place: [t for t in [tool.page.locator(".where").inner_text()] if p in t])
        assert f" · {value} HU" in shown[0]


def test_voxels_are_drawn_in_millimetres(tool):
    (x0, y0), (x1, y1) = tool.point("coronal", (20, 30, 10)), tool.point("coronal", (30, 30, 20))
    np.testing.assert_allclose(abs(y1 - y0) / abs(x1 - x0), SPACING[2] / SPACING[0], rtol=1e-3)


def test_a_click_colours_the_structure_in_slices_and_in_3d_and_undo_takes_it_back(tool):
    before = {name: tool.pane(name) for name in ("axial", "volume")}
    tool.page.keyboard.press("n")  # blue: the volume's own colours are warm
    tool.wait(lambda: len(tool.server.state["classes"]) == 2)
    tool.settle()
    assert not bluish(tool.pane("volume")).any()
    tool.click("axial", IN_RIGHT)
    (mark,) = tool.server.state["prompts"]
    assert (mark["voxels"], mark["kind"], mark["positive"]) == ([list(IN_RIGHT)], "point", True)

    tint = np.array(tool.server.state["classes"][1]["color"])
    expected = 0.5 * 255 * share(tool, ORGANS[RIGHT][2]) + 0.5 * tint
    assert np.abs(tool.color("axial", BESIDE_RIGHT) - expected).max() < 14
    grey = tool.color("axial", IN_BODY)
    assert np.ptp(grey) < 6, "the body is not marked"
    blue = bluish(tool.pane("volume"))
    assert blue.sum() > 300
    # it is where the organ is: left of the middle, seen from the front
    tool.page.get_by_label("Look from the front").click()
    tool.settle()
    columns = np.nonzero(bluish(tool.pane("volume")))[1]
    assert columns.mean() < 0.45 * tool.pane("volume").shape[1]

    assert tool.page.locator("#undo").inner_text().strip() == tool.server.state["undo"]
    tool.page.keyboard.press("Control+z")
    tool.wait(lambda: not tool.server.state["prompts"])
    tool.settle()
    assert not bluish(tool.pane("volume")).any()
    after = tool.pane("axial")
    assert np.abs(after.astype(int) - before["axial"]).mean() < 1  # the slice did not move
    tool.page.keyboard.press("Control+y")
    tool.wait(lambda: tool.server.state["prompts"])
    tool.settle()
    assert np.abs(tool.color("axial", BESIDE_RIGHT) - expected).max() < 14
    tool.page.keyboard.press("Control+z")
    tool.wait(lambda: not tool.server.state["prompts"])
    tool.page.locator("#redo").click()
    tool.wait(lambda: tool.server.state["prompts"])


def test_other_marks_brush_lasso_box_and_the_right_button(tool):
    tool.page.keyboard.press("b")
    tool.drag("axial", [(44, 32, 22), (48, 34, 22), (52, 32, 22)])
    tool.wait(lambda: len(tool.server.state["prompts"]) == 1, "stroke")
    tool.page.keyboard.press("l")
    tool.drag("axial", [(14, 24, 22), (26, 24, 22), (26, 36, 22), (14, 36, 22)], button="right")
    tool.wait(lambda: len(tool.server.state["prompts"]) == 2, "lasso")
    tool.page.keyboard.press("r")
    tool.drag("coronal", [(60, 32, 10), (64, 32, 16)], button="right")
    tool.wait(lambda: len(tool.server.state["prompts"]) == 3, "box")
    tool.page.keyboard.press("p")
    tool.click("axial", IN_BODY, button="right")
    tool.page.keyboard.press("0")
    tool.click("axial", (30, 50, 22))

    stroke, lasso, box, point, background = tool.server.state["prompts"]
    assert (stroke["kind"], stroke["positive"]) == ("stroke", True)
    path = np.array(stroke["voxels"])
    assert path[0].tolist() == [44, 32, 22] and path[-1].tolist() == [52, 32, 22] and len(path) > 4
    assert organ(RIGHT)[tuple(path.T)].all()
    assert (lasso["kind"], lasso["axis"], lasso["index"], lasso["positive"]) == ("lasso", 2, 22, False)
    assert np.abs(np.array(lasso["polygon"])[0] - (14, 24)).max() <= 0.5
    low, high = np.array(box["low"]), np.array(box["high"])
    assert low.tolist() == [60, box["low"][1], 10] and high.tolist() == [64, box["low"][1], 16]
    assert not box["positive"] and not point["positive"]
    assert background["class"] == 0 and background["positive"]
    assert tool.color("axial", BESIDE_RIGHT)[0] > tool.color("axial", BESIDE_RIGHT)[2] + 30
    assert np.ptp(tool.color("axial", (16, 28, 22))) < 8, "what the lasso refused is not marked"

    tool.page.keyboard.press("1")
    tool.page.keyboard.press("e")
    tool.page.mouse.click(*tool.point("axial", IN_BODY))
    tool.wait(lambda: len(tool.server.state["prompts"]) == 4, "erase")


def test_threshold_opacity_visibility_and_overlay_are_drawn_at_once(tool):
    tool.click("axial", IN_RIGHT)
    marked = tool.color("axial", BESIDE_RIGHT)
    tool.page.keyboard.press("t")
    assert tool.wait(lambda: np.ptp(tool.color("axial", BESIDE_RIGHT)) < 6)
    tool.page.keyboard.press("t")
    tool.page.keyboard.press("h")
    tool.wait(lambda: not tool.server.state["classes"][0]["visible"])
    tool.wait(lambda: np.ptp(tool.color("axial", BESIDE_RIGHT)) < 6)
    tool.page.keyboard.press("h")  # whatever the server says meanwhile of before: the key counts
    tool.wait(lambda: tool.server.state["classes"][0]["visible"])
    tool.settle()
    assert np.abs(tool.color("axial", BESIDE_RIGHT) - marked).max() < 3
    threshold = tool.page.get_by_label("Threshold", exact=True)
    threshold.fill("0.99")
    tool.wait(lambda: tool.server.state["classes"][0]["threshold"] == 0.99)
    held = [np.ptp(tool.color("axial", v)) for v in ((57, 36, 22), BESIDE_RIGHT)]
    threshold.fill("0.05")
    tool.wait(lambda: tool.server.state["classes"][0]["threshold"] == 0.05)
    tool.settle()
    assert all(np.ptp(tool.color("axial", v)) >= h for v, h in zip(((57, 36, 22), BESIDE_RIGHT), held))
    tool.page.get_by_label("Colour", exact=True).first.fill("#3050ff")
    tool.wait(lambda: tool.server.state["classes"][0]["color"] == [48, 80, 255])
    tool.settle()
    red, _, blue = tool.color("axial", BESIDE_RIGHT)
    assert blue > red + 50


def test_a_click_in_3d_marks_the_surface_that_is_hit(tool):
    tool.page.get_by_label("Look from the front").click()
    tool.page.get_by_label("Volume", exact=True).select_option("CT skin")
    tool.wait(lambda: (tool.server.state["transfer_function"] or {}).get("name") == "CT skin")
    tool.settle()
    box = tool.page.locator(".pane.volume").bounding_box()
    centre = box["width"] / 2, box["height"] / 2
    hit = tool.page.evaluate("([x, y]) => window.dense3d.pick(x, y)", list(centre))
    front = BODY[0][1] + BODY[1][1]
    assert abs(hit[1] - front) <= 2 and abs(hit[0] - 36) <= 2, "the skin in front of the middle"
    tool.page.mouse.click(box["x"] + centre[0], box["y"] + centre[1])
    tool.wait(lambda: tool.server.state["prompts"])
    assert tool.server.state["prompts"][0]["voxels"] == [hit]
    tool.wait(lambda: tool.facts["crosshair"] == hit)
    tool.page.mouse.click(box["x"] + 8, box["y"] + box["height"] / 2)
    tool.hears("Nothing is hit")


def test_a_click_outside_is_a_sentence(tool):
    revision = tool.server.state["revision"]
    tool.page.mouse.click(*tool.point("coronal", (-3, 30, 20)))
    tool.hears("outside of the volume")
    assert tool.server.state["revision"] == revision
    assert tool.pane("axial").std() > 8


def test_the_way_to_the_least_certain_place_is_the_servers(tool):
    tool.page.keyboard.press("n")
    tool.wait(lambda: len(tool.server.state["classes"]) == 2)
    tool.click("axial", IN_RIGHT)
    tool.settle()
    with urllib.request.urlopen(f"{tool.server.address}/api/unsure") as answer:
        voxel = json.load(answer)
    tool.page.keyboard.press("u")
    tool.wait(lambda: tool.facts["crosshair"] == voxel)
    tool.page.keyboard.press("u")  # from there on to the next, if there is one
    none_left = "No other place is unsure."
    tool.wait(lambda: tool.facts["crosshair"] != voxel or none_left in tool.said)
