"""What fits are given: pixels that keep their rays when images shrink, masks, depth, first points."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from radiance import tiny_scenes

from dense3d.datasets.posed_rgb import PosedFrame, PosedScene, read_scene
from dense3d.errors import DataError
from dense3d.radiance.baselines import mean_image, nearest_view, warped_by_depth
from dense3d.radiance.evaluation import evaluate, score
from dense3d.radiance.extent import scene_extent
from dense3d.radiance.losses import masked_photometric_loss, psnr
from dense3d.radiance.splats.initial import initial_points
from dense3d.radiance.splats.rendering import render_view
from dense3d.radiance.views import PosedView, held_out, load_views, smaller
from dense3d.structures import PinholeCamera, PointCloud


def wall(camera: PinholeCamera, distance: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    """Image and depth of the plane y = ``distance`` whose colours change smoothly with x and z."""
    rays = camera.directions(camera.pixel_grid())
    depth = (distance - camera.position[1]) / rays[..., 1]
    points = camera.position + depth[..., None] * rays
    colors = 0.5 + 0.4 * np.sin(points * (1.3, 1.0, 1.7) + (0, 1, 2))
    return (colors * 255).round().astype(np.uint8), depth.astype(np.float32)


def seen_wall(x: float, size: tuple[int, int] = (64, 48)) -> PosedView:
    camera = PinholeCamera.look_at((x, 0, 0), (x / 2, 4, 0), *size, fov=0.9)
    image, depth = wall(camera)
    return PosedView(f"{x:+.2f}.png", camera, image, depth=depth)


def test_smaller_images_keep_their_rays() -> None:
    camera = PinholeCamera.look_at((0, 0, 0), (1, 2, 0.3), 61, 43, fov=1.1)
    small = smaller(camera, 2.5)
    assert (small.width, small.height) == (24, 17)
    corners = np.array([[-0.5, -0.5], [60.5, 42.5]]), np.array([[-0.5, -0.5], [23.5, 16.5]])
    np.testing.assert_allclose(small.directions(corners[1]), camera.directions(corners[0]), atol=1e-12)
    view = PosedView("a", small, np.zeros((17, 24, 3), np.uint8))
    point = np.array([[1.0, 2.2, 0.4]])
    pixel, _ = small.project(point)
    local = view.viewmat().double().numpy() @ np.append(point[0], 1)
    seen = view.intrinsics().double().numpy() @ local[:3]
    np.testing.assert_allclose(seen[:2] / seen[2], pixel[0] + 0.5, atol=1e-4)  # counted from the corner


def test_a_distorted_photograph_is_undistorted_and_its_black_rim_does_not_count(tmp_path: Path) -> None:
    root = tiny_scenes.write_scene(tmp_path / "s", [seen_wall(x) for x in (0.0, 0.3)], k1=0.3)
    for view in load_views(read_scene(root)):
        assert view.usable is not None and 0.5 < view.usable.mean() < 1
        assert view.alpha is None  # its rim is unknown, not empty
        assert (view.image[view.usable] > 0).any(axis=-1).all()
    halves = load_views(read_scene(root), downscale=2)
    assert halves[0].image.shape == (24, 32, 3) and halves[0].usable.shape == (24, 32)


def test_alpha_and_masks_tell_the_object(tmp_path: Path) -> None:
    view = seen_wall(0.0)
    root = tiny_scenes.write_scene(tmp_path / "s", [replace(view, name="a.png"), replace(view, name="b.png")])
    pixels = cv2.imread(str(root / "images/a.png"))
    alpha = np.zeros((48, 64, 1), np.uint8)
    alpha[:, 32:] = 255
    cv2.imwrite(str(root / "images/a.png"), np.concatenate([pixels, alpha], axis=2))
    read, opaque = load_views(read_scene(root))
    assert opaque.alpha is None and read.alpha is not None and (read.alpha[:, :32] == 0).all()
    over = read.target(torch.tensor([0.0, 1.0, 0.0]))
    assert torch.equal(over[:, :32], torch.tensor([0.0, 1.0, 0.0]).expand(48, 32, 3))
    torch.testing.assert_close(over[:, 32:], opaque.target(torch.zeros(3))[:, 32:])
    for name in "ab":
        cv2.imwrite(str(tmp_path / f"{name}.png"), alpha)
    usable = load_views(read_scene(root), masks=tmp_path, masks_show="usable")[1]
    assert usable.alpha is None and (usable.usable == (alpha[..., 0] > 0)).all()
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros_like(alpha))
    with pytest.raises(DataError, match=r"b\.png: its mask leaves no pixel to fit"):
        load_views(read_scene(root), masks=tmp_path, masks_show="usable")
    cv2.imwrite(str(tmp_path / "b.png"), alpha[:20])
    with pytest.raises(DataError, match=r"b\.png is 64 x 20 pixels and .*b\.png is 64 x 48"):
        load_views(read_scene(root), masks=tmp_path)


def test_depth_of_another_size_is_refused(tmp_path: Path) -> None:
    root = tiny_scenes.write_scene(tmp_path / "s", [seen_wall(0.0), seen_wall(0.3)])
    content = json.loads((root / "transforms.json").read_text())
    for frame in content["frames"]:
        frame["depth_file_path"] = "depth.png"
    (root / "transforms.json").write_text(json.dumps(content))
    cv2.imwrite(str(root / "depth.png"), np.full((24, 32), 4000, np.uint16))
    with pytest.raises(
        DataError, match=r"depth\.png is 32 x 24 pixels, but its camera is of images of 64 x 48"
    ):
        load_views(read_scene(root))


def test_depth_of_another_camera_is_moved_to_the_photograph(tmp_path: Path) -> None:
    """As in ScanNet, where depth has fewer pixels: it is what the plane has at the photograph's pixels."""
    view = seen_wall(0.0)
    coarse = smaller(view.camera, 2)
    np.save(tmp_path / "depth.npy", wall(coarse)[1])
    cv2.imwrite(str(tmp_path / "a.png"), view.image)
    frame = PosedFrame(
        "a", tmp_path / "a.png", view.camera, depth_path=tmp_path / "depth.npy", depth_camera=coarse
    )
    (read,) = load_views(PosedScene(tmp_path, "scannet", (frame,)))
    known = read.depth > 0
    assert 0.2 < known.mean() < 0.5
    np.testing.assert_allclose(read.depth[known], view.depth[known], rtol=0.02)


def test_every_eighth_photograph_by_name_is_held_out() -> None:
    views = [replace(seen_wall(0.0, (8, 6)), name=f"{number:02d}") for number in (*range(9, 20), *range(9))]
    train, test = held_out(views)
    assert sorted(view.name for view in test) == ["00", "08", "16"] and len(train) == 17
    assert held_out(views, 0) == (views, [])


def test_points_begin_on_the_surfaces_that_depth_maps_show() -> None:
    views = [seen_wall(x) for x in (-0.5, 0.0, 0.5)]
    scene = PosedScene(Path("scene"), "transforms", ())
    points, source = initial_points(scene, views, count=500)
    assert source == "depth" and len(points) == 500
    np.testing.assert_allclose(points.points[:, 1], 4.0, atol=1e-3)
    expected = 0.5 + 0.4 * np.sin(points.points * (1.3, 1.0, 1.7) + (0, 1, 2))
    np.testing.assert_allclose(points.colors, expected, atol=0.005)
    sparse = PointCloud(np.eye(3), colors=np.eye(3))
    assert initial_points(replace(scene, points=sparse), views)[1] == "structure from motion"
    scan = PointCloud(np.array([[0.0, 4.0, 0.0], [0.3, 4.0, 0.2], [9, 9, -9]]), name="scan.ply")
    points, source = initial_points(replace(scene, points=sparse), views, cloud=scan)
    assert source == "scan.ply" and len(points) == 3
    expected = 0.5 + 0.4 * np.sin(scan.points[:2] * (1.3, 1.0, 1.7) + (0, 1, 2))
    np.testing.assert_allclose(points.colors[:2], expected, atol=0.02)  # what the photographs show there
    assert points.colors[2].tolist() == [0.5, 0.5, 0.5]  # seen by none


def test_without_points_or_depth_they_lie_before_the_cameras() -> None:
    views = [replace(view, depth=None) for view in map(seen_wall, (-0.5, 0.0, 0.5))]
    points, source = initial_points(PosedScene(Path("scene"), "transforms", ()), views, count=300)
    assert source == "chance" and len(points) == 300
    assert all((view.camera.project(points.points)[1] > 0).mean() > 0.95 for view in views)


def test_extent_is_that_of_the_cameras_and_of_what_a_single_place_sees() -> None:
    views = [seen_wall(x) for x in (-0.5, 0.0, 0.5)]
    assert scene_extent(views) == pytest.approx(0.55)
    assert scene_extent([views[1], views[1]]) == pytest.approx(np.median(views[1].depth))


def test_the_nearest_view_moved_by_its_depth_is_what_the_other_camera_sees() -> None:
    views = [seen_wall(x) for x in (-0.6, 0.1)]
    target = seen_wall(0.3)
    nearest = nearest_view(views, target, 1.0)
    assert nearest is views[1]
    moved = warped_by_depth(nearest, target)
    inside = (slice(4, -4), slice(4, -8))  # the rim was not seen
    errors = [np.abs(image[inside].astype(int) - target.image[inside]) for image in (moved, nearest.image)]
    assert errors[0].max() <= 6 and errors[0].mean() < errors[1].mean() / 3
    assert np.abs(mean_image(views, target) - np.mean([v.image for v in views], axis=0)).max() <= 0.5


def test_pixels_that_do_not_count_have_no_influence() -> None:
    random = torch.Generator().manual_seed(0)
    image = torch.rand(20, 24, 3, generator=random, requires_grad=True)
    target = torch.rand(20, 24, 3, generator=random)
    usable = torch.ones(20, 24, dtype=torch.bool)
    usable[5:9, 3:11] = False
    loss = masked_photometric_loss(image, target, usable)
    loss.backward()
    assert not image.grad[~usable].any() and image.grad[usable].abs().min() > 0
    hidden = torch.where(usable[..., None], target, torch.zeros(()))
    assert masked_photometric_loss(image, hidden, usable) == loss
    assert psnr(image.detach(), target, usable) == psnr(image.detach(), hidden, usable)
    assert masked_photometric_loss(image, target, ~usable & usable) == 0
    view, black = replace(seen_wall(0.0, (24, 20)), usable=usable.numpy()), torch.zeros(3)
    other = torch.where(usable[..., None], image.detach(), torch.ones(()))
    assert score(image.detach(), view, black) == score(other, view, black)


def test_photographs_of_two_sizes_are_scored_by_what_all_have() -> None:
    known = tiny_scenes.known_gaussians()
    train, small = tiny_scenes.photographs(known), tiny_scenes.photographs(known, 2, (16, 12))
    scores = evaluate(partial(render_view, known), "splats", train, [train[0], small[1]], torch.zeros(3), 3.0)
    assert list(scores.means()) == ["splats", "mean_image"]
    rows = list(scores.rows.values())
    assert scores.means()["mean_image"][0] == pytest.approx(np.mean([row["mean_image"][0] for row in rows]))
