"""The 3D view beside the Python renderer: the same camera, volume, scores and transfer function."""

from __future__ import annotations

import msgspec
import numpy as np
from transfer_function.browser.phantom import LEFT, ORGANS, RIGHT

from dense3d.structures.volume import Volume

TOLERANCE = 10  # of 255, mean over channels and the pixels that show something


def ground(height: int, width: int) -> np.ndarray:
    """(H, W, 3) 0..1: what the page shows behind the volume."""
    v, u = np.mgrid[:height, :width]
    u, v = (u + 0.5) / width, 1 - (v + 0.5) / height
    r = np.hypot(u - 0.5, (v - 0.55) * 0.9)
    part = np.clip(r / 0.75, 0, 1)
    part = part * part * (3 - 2 * part)
    centre, rim = np.array([0.098, 0.118, 0.145]), np.array([0.039, 0.051, 0.066])
    return centre + part[..., None] * (rim - centre)


def reference(tool, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) 0..255 by the Python renderer, from what the page got; (H, W) bool: something is there."""
    from dense3d.transfer_function.rendering import ClassLook, Clip, Renderer, Scene, reference_picture
    from dense3d.transfer_function.shown_function import ShownFunction
    from dense3d.transfer_function.view_camera import Camera

    state, view = tool.server.state, tool.facts["view"]
    shape = state["volume"]["working"]["shape"]
    low, high = state["volume"]["range"]
    values = np.frombuffer(tool.server.get("/api/volume"), "<u2").reshape(shape, order="F")
    volume = Volume(low + values / 65535 * (high - low), np.array(state["volume"]["working"]["affine"]))
    renderer = Renderer(volume, (low, high))
    maps = np.frombuffer(tool.server.get("/api/maps"), np.uint8).reshape(4, *shape, order="F")
    looks = [
        ClassLook(one["id"], tuple(one["color"]), one["opacity"], one["threshold"], one["visible"])
        for one in state["classes"]
    ]
    renderer.set_scores(maps[[one["slot"] for one in state["classes"]]], [look.id for look in looks])
    camera = view["camera"]
    scene = Scene(
        camera=Camera(camera["azimuth"], camera["elevation"], camera["zoom"], pan=tuple(camera["pan"])),
        width=width,
        height=height,
        classes=looks,
        transfer=msgspec.convert(state["transfer_function"], ShownFunction).curve(),
        clip=Clip(tuple(view["clip"]["low"]), tuple(view["clip"]["high"])),
    )
    rgba = reference_picture(renderer, scene)
    picture = rgba[..., :3] + (1 - rgba[..., 3:]) * ground(height, width)
    return 255 * np.clip(picture, 0, 1), rgba[..., 3] > 0.01


def compare(tool, change=lambda picture: picture) -> float:
    """Mean difference of the 3D view and the reference after ``change``."""
    tool.settle()
    shown = tool.pane("volume").astype(float)
    drawn, covered = reference(tool, shown.shape[1], shown.shape[0])
    assert 0.05 < covered.mean() < 0.9
    return float(np.abs(shown - change(drawn)).mean(-1).sum() / covered.sum())


def test_the_3d_view_shows_what_the_python_renderer_draws(tool):
    # Both sample the same fields by the same rule, the page at other places: steps of 0.6 voxels from a
    # random start instead of 1 voxel. That moves edges by less than a voxel, about 2 pixels here, and
    # roughens what is translucent. The last lines show that the tolerance refuses pictures that are
    # mirrored, shifted by 8 pixels or of other colours.
    tool.page.get_by_label("Volume", exact=True).select_option("CT soft tissue")
    tool.wait(lambda: tool.server.state["transfer_function"])
    tool.click("axial", ORGANS[RIGHT][0])
    tool.page.keyboard.press("n")
    tool.wait(lambda: len(tool.server.state["classes"]) == 2)
    tool.settle()
    tool.click("axial", (*ORGANS[LEFT][0][:2], 22))
    assert compare(tool) < TOLERANCE
    tool.page.get_by_text("Cut at crosshair").click()
    assert compare(tool) < TOLERANCE
    tool.page.get_by_label("Look from the left").click()
    assert compare(tool) < TOLERANCE
    assert compare(tool, lambda picture: picture[:, ::-1]) > 1.2 * TOLERANCE
    assert compare(tool, lambda picture: np.roll(picture, 8, 1)) > 1.2 * TOLERANCE
    assert compare(tool, lambda picture: picture[..., ::-1]) > 1.2 * TOLERANCE
