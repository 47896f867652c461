"""Pictures: sides of the patient, the class rule, shading, clipping, clicks, and what is left out unseen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from dense3d.errors import DataError
from dense3d.ops import cast_rays_reference
from dense3d.structures.volume import Volume
from dense3d.transfer_function import rendering_data
from dense3d.transfer_function.functions import Box, Gaussian, Regions, TransferFunction
from dense3d.transfer_function.rendering import ClassLook, Clip, Renderer, Scene, reference_picture
from dense3d.transfer_function.view_camera import Camera

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
# class -> place of a small ball from the middle of the phantom, in mm right, front, head
BALLS = {1: (12, 0, 0), 2: (0, 12, 0), 3: (0, 0, 12)}


def ball_volume(balls: dict, spacing=(1.0, 1.0, 1.0), half=18.0, radius=4.0) -> tuple[Volume, np.ndarray]:
    """A volume around the world's origin and soft scores (C, X, Y, Z): 127.5 on the surface of each ball."""
    shape = tuple(round(2 * half / s) for s in spacing)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = [-(n - 1) / 2 * s for n, s in zip(shape, spacing)]
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    world = index * np.array(spacing) + affine[:3, 3]
    distance = [np.linalg.norm(world - centre, axis=-1) for centre in balls.values()]
    scores = np.clip(127.5 + 40 * (radius - np.array(distance)), 0, 255).astype(np.uint8)
    return Volume(scores.max(0), affine), scores


def renderer_of(balls: dict, **options) -> Renderer:
    volume, scores = ball_volume(balls, **options)
    renderer = Renderer(volume)
    renderer.set_scores(scores, list(balls))
    return renderer


LOOKS = [ClassLook(1, RED), ClassLook(2, GREEN), ClassLook(3, BLUE)]
SCENE = Scene(width=96, height=96, classes=LOOKS, marker=False)


def places(renderer: Renderer, camera: Camera) -> dict[int, tuple[float, float, float]]:
    """Of each class: pixels right of the middle of the picture and above it, and minus its distance."""
    picture = renderer.render(replace(SCENE, camera=camera))
    found = {}
    for number in BALLS:
        rows, columns = np.nonzero(picture.class_ids == number)
        if len(rows):
            depth = picture.depth[rows, columns].min()
            found[number] = (columns.mean() - 47.5, 47.5 - rows.mean(), -float(depth))
    return found


def test_from_the_front_the_patients_right_is_on_the_left():
    found = places(renderer_of(BALLS), Camera())
    assert found[1][0] < -10
    assert found[3][1] > 10
    assert abs(found[2][0]) < 1 > abs(found[2][1])
    assert found[2][2] > found[1][2] + 5  # what is in front is near


def test_azimuth_walks_to_the_patients_left():
    left, behind = (
        places(renderer_of(BALLS), Camera(azimuth=90)),
        places(renderer_of(BALLS), Camera(azimuth=180)),
    )
    assert left[2][0] < -10  # the front is on the left
    assert behind[1][0] > 10
    assert left[3][2] > -1e9 and left[1][2] < left[2][2] - 5  # the right ball is far away


def test_from_above_the_front_is_below():
    above = places(renderer_of(BALLS), Camera(elevation=90))
    assert above[1][0] < -10
    assert above[2][1] < -10
    assert above[3][2] > above[1][2] + 5


def test_roll_turns_the_picture_clockwise():
    found = places(renderer_of(BALLS), Camera(roll=90))
    assert found[3][0] > 10
    assert abs(found[3][1]) < 1


def test_pan_and_zoom_move_and_enlarge():
    renderer = renderer_of(BALLS)
    plain = renderer.render(SCENE)
    moved = places(renderer, Camera(pan=(0.1, 0.2)))
    still = places(renderer, Camera())
    assert moved[2][0] > still[2][0] + 3
    assert moved[2][1] > still[2][1] + 6
    near = renderer.render(replace(SCENE, camera=Camera(zoom=1.5)))
    assert (near.class_ids == 2).sum() > 1.8 * (plain.class_ids == 2).sum()


def test_a_file_in_any_orientation_gives_the_same_picture():
    volume, scores = ball_volume(BALLS)
    flipped = np.ascontiguousarray(volume.values[::-1].transpose(2, 0, 1))
    to_first = np.zeros((4, 4))
    to_first[0, 1], to_first[1, 2], to_first[2, 0], to_first[3, 3] = -1, 1, 1, 1
    to_first[0, 3] = volume.shape[0] - 1
    other = Volume(flipped, volume.affine @ to_first)
    assert other.orientation != "RAS"
    pictures = []
    for one in (volume, other.canonical()):
        renderer = Renderer(one)
        renderer.set_scores(scores, list(BALLS))
        pictures.append(renderer.render(replace(SCENE, camera=Camera(30, 20))).pixels)
    np.testing.assert_array_equal(*pictures)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 2.0), (0.5, 1.5, 1.0)])
def test_anisotropic_voxels_make_round_balls_with_the_same_shading(spacing):
    """Normals that forgot the spacing would turn the light on the sides of the ball."""
    ball = {1: (0, 0, 0)}
    pictures = [
        renderer_of(ball, spacing=s, radius=10).render(replace(SCENE, camera=Camera(35, 25)))
        for s in ((1.0, 1.0, 1.0), spacing)
    ]
    inside = (pictures[0].class_ids == 1) & (pictures[1].class_ids == 1)
    assert inside.sum() > 0.97 * (pictures[0].class_ids == 1).sum() > 500
    difference = np.abs(pictures[0].pixels[inside].astype(int) - pictures[1].pixels[inside])
    assert difference.mean() < 4
    np.testing.assert_allclose(pictures[1].depth[inside], pictures[0].depth[inside], atol=0.6)


def test_a_surface_is_where_the_scores_cross_the_threshold():
    """The middle of the picture: eye to the ball's surface, of radius 10, in millimetres."""
    renderer = renderer_of({1: (0, 0, 0)}, radius=10)
    scene = replace(SCENE, width=97, height=97)
    eye = scene.camera.frame(renderer.volume, 97, 97)[0]
    assert renderer.render(scene).depth[48, 48] == pytest.approx(np.linalg.norm(eye) - 10, abs=0.05)
    higher = replace(scene, classes=[ClassLook(1, RED, threshold=0.75)])
    expected = np.linalg.norm(eye) - 10 + (int(0.75 * 255) - 127.5) / 40
    assert renderer.render(higher).depth[48, 48] == pytest.approx(expected, abs=0.05)


def slabs() -> Renderer:
    """Three classes with scores 200, 200 and 120 everywhere in a cube."""
    renderer = Renderer(Volume(np.zeros((12, 12, 12), np.uint8), np.eye(4)))
    scores = np.empty((3, 12, 12, 12), np.uint8)
    scores[0], scores[1], scores[2] = 200, 200, 120
    renderer.set_scores(scores, [1, 2, 3])
    return renderer


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([ClassLook(1, RED), ClassLook(2, GREEN)], 1),
        ([ClassLook(2, GREEN), ClassLook(1, RED)], 2),  # the first of equals, in the order of the scene
        ([ClassLook(3, BLUE), ClassLook(2, GREEN)], 2),  # the greatest score
        ([ClassLook(3, BLUE, threshold=0.4), ClassLook(2, GREEN, threshold=0.9)], 3),
        ([ClassLook(3, BLUE, threshold=120 / 255)], -1),  # a score that equals its threshold is none
        ([ClassLook(3, BLUE, threshold=119.5 / 255)], 3),
        ([ClassLook(1, RED, visible=False), ClassLook(3, BLUE, threshold=0.2)], -1),  # it holds, unseen
        ([ClassLook(7, RED)], -1),  # has no scores
    ],
)
def test_the_class_rule(looks, expected):
    picture = slabs().render(replace(SCENE, classes=looks))
    assert picture.class_ids[48, 48] == expected
    pick = slabs().pick(replace(SCENE, classes=looks), 48, 48)
    assert (pick.class_id if pick else -1) == expected


def test_light_is_that_of_the_formula():
    """A cut face seen straight on: n = -v, with parallel rays."""
    scene = replace(SCENE, classes=[ClassLook(1, (100, 50, 200))], camera=Camera(perspective=False))
    view, up, right = np.array([0.0, 0, -1]), np.array([0.0, 1, 0]), np.array([1.0, 0, 0])
    lamp = -view + 0.35 * up - 0.35 * right
    lamp /= np.linalg.norm(lamp)
    half = (lamp - view) / np.linalg.norm(lamp - view)
    colour = np.array([100, 50, 200]) / 255
    expected = colour * (0.28 + 0.8 * (-view @ lamp)) + 0.16 * (-view @ half) ** 28
    found = reference_picture(slabs(), scene)[48, 48]
    np.testing.assert_allclose(found, [*expected, 1], atol=1e-5)
    flat = reference_picture(slabs(), replace(scene, shading=0.0))[48, 48]
    np.testing.assert_allclose(flat, [*colour, 1], atol=1e-5)


def test_surfaces_are_composited_front_to_back():
    """Two half-transparent classes behind one another."""
    renderer = Renderer(Volume(np.zeros((12, 12, 12), np.uint8), np.eye(4)))
    scores = np.zeros((2, 12, 12, 12), np.uint8)
    scores[0, :, 6:], scores[1, :, :6] = 255, 255  # the front is class 1
    renderer.set_scores(scores, [1, 2])
    looks = [ClassLook(1, RED, opacity=0.25), ClassLook(2, GREEN, opacity=0.5)]
    scene = replace(SCENE, classes=looks, shading=0.0, camera=Camera(perspective=False))
    np.testing.assert_allclose(reference_picture(renderer, scene)[48, 48], [0.25, 0.375, 0, 0.625], atol=1e-5)


def test_the_volume_itself_is_the_operator():
    """Unshaded, without classes: the same as :func:`dense3d.ops.cast_rays` on the same rays."""
    random = np.random.default_rng(0)
    coarse = torch.from_numpy(random.random((1, 1, 5, 5, 5)))
    values = torch.nn.functional.interpolate(coarse, (21, 17, 30), mode="trilinear")[0, 0].numpy() * 500 - 100
    spacing = (1.0, 1.5, 0.8)
    renderer = Renderer(Volume(values.astype(np.float32), np.diag([*spacing, 1])))
    transfer = TransferFunction(
        [[-100, 0, 0, 1], [150, 1, 0.5, 0], [400, 1, 1, 1]], [[0, 0], [200, 0.02], [300, 0.06]]
    )
    scene = Scene(Camera(40, 25), 40, 30, transfer=transfer, shading=0.0)
    frame = scene.camera.frame(renderer.volume, 40, 30)
    s, t = np.meshgrid((np.arange(40) + 0.5) / 20 - 1, 1 - (np.arange(30) + 0.5) / 15)
    directions = frame[1] + s[..., None] * frame[2] + t[..., None] * frame[3]
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    positions = torch.linspace(values.min(), values.max(), 3000, dtype=torch.float64)
    rows = torch.from_numpy(transfer(positions.numpy()))
    rows[:, 3] = -torch.log1p(-rows[:, 3]) / 0.8  # the opacity is that of the finest spacing
    expected = cast_rays_reference(
        torch.from_numpy(values).double(),
        torch.from_numpy(frame[0]).expand(30, 40, 3),
        torch.from_numpy(directions),
        positions,
        rows,
        origin=-torch.tensor(spacing).double() / 2,
        spacing=torch.tensor(spacing).double(),
        step=0.8,
    )
    assert 0.2 < expected[..., 3].max() < 0.97
    np.testing.assert_allclose(reference_picture(renderer, scene), expected, atol=1e-3)


@pytest.mark.parametrize("what", ["classes", "transfer", "both", "cloud", "regions"])
def test_leaving_out_empty_bricks_changes_no_bit(what, monkeypatch):
    renderer = renderer_of(BALLS, half=30.0)
    looks = {"classes": LOOKS, "transfer": (), "both": [replace(LOOKS[1], opacity=0.4), LOOKS[2]]}
    looks["regions"] = ()
    looks["cloud"] = [replace(LOOKS[0], cloud=True, opacity=0.1), replace(LOOKS[2], visible=False), LOOKS[1]]
    transfer = TransferFunction([[0, 1, 1, 0], [255, 0, 1, 1]], [[60, 0], [100, 0.2], [110, 0]])
    scene = replace(SCENE, classes=looks[what], camera=Camera(25, 15), clip=Clip(high=(1, 0.68, 1)))
    if what == "regions":
        transfer = Regions(
            (Gaussian((80, 30), (20, 15), (1, 0, 0), 0.3), Box((20, 60), (9, 44), (0, 1, 0), 0.2))
        )
    scene = scene if what == "classes" else replace(scene, transfer=transfer)
    fast = renderer.render(scene)
    zeros = []
    monkeypatch.setattr(
        rendering_data,
        "distances",
        lambda active, *_: zeros.append(active) or np.zeros(active.shape, np.int8),
    )
    slow = renderer.render(scene)
    assert zeros
    assert len(np.unique(fast.pixels)) > 20
    for name in ("pixels", "depth", "class_ids"):
        np.testing.assert_array_equal(getattr(fast, name), getattr(slow, name))


def test_a_clipping_plane_cuts_a_flat_face():
    renderer = renderer_of({1: (0, 0, 0)}, radius=10)
    cut = Clip(planes=(((0, 0, 0), (0, -1, 0)),))  # leaves what is behind the middle
    scene = replace(SCENE, clip=cut, camera=Camera(perspective=False))
    picture = renderer.render(scene)
    face = picture.class_ids == 1
    assert len(np.unique(picture.pixels[face], axis=0)) == 1
    assert np.ptp(picture.depth[face]) < 1e-3
    assert renderer.pick(scene, 48, 48).point[1] == pytest.approx(0, abs=1e-6)
    box = replace(scene, clip=Clip(high=(1, 0.5, 1)))
    np.testing.assert_allclose(renderer.render(box).pixels, picture.pixels, atol=1)


@pytest.mark.parametrize("camera", [Camera(20, 10), Camera(20, 10, perspective=False, zoom=2)])
def test_clicks_find_the_voxels_of_the_class_that_is_seen(camera):
    renderer = renderer_of(BALLS)
    scene = replace(SCENE, camera=camera)
    picture = renderer.render(scene)
    scores = renderer._scores
    for number in BALLS:
        rows, columns = np.nonzero(picture.class_ids == number)
        for row, column in list(zip(rows, columns))[:: max(1, len(rows) // 10)]:
            pick = renderer.pick(scene, column + 0.5, row + 0.5)
            assert pick.class_id == number
            score = scores[(slice(None), *pick.voxel)]
            assert score.argmax() == number - 1 and score.max() > 127
    assert renderer.pick(scene, 0.5, 0.5) is None
    assert renderer.pick(scene, -3, 10) is None


def test_a_click_on_the_volume_itself_finds_what_is_opaque():
    renderer = renderer_of(BALLS)
    transfer = TransferFunction([[0, 1, 1, 1]], [[127, 0], [128, 0.9]])
    pick = renderer.pick(Scene(width=97, height=97, transfer=transfer), 48.5, 48.5)
    assert pick.class_id == 0
    assert pick.point[1] == pytest.approx(16, abs=1.0)  # the front of the ball in front
    assert renderer.volume.values[pick.voxel] > 100


def test_high_quality_is_the_same_picture_with_softer_edges():
    renderer = renderer_of(BALLS)
    preview, high = (renderer.render(replace(SCENE, quality=quality)) for quality in ("preview", "high"))
    assert np.abs(preview.pixels.astype(int) - high.pixels).mean() < 2
    assert len(np.unique(high.pixels.reshape(-1, 3), axis=0)) > len(
        np.unique(preview.pixels.reshape(-1, 3), axis=0)
    )


def test_a_transparent_background_has_straight_alpha():
    picture = renderer_of(BALLS).render(replace(SCENE, background=None, shading=0.0))
    assert picture.pixels[0, 0].tolist() == [0, 0, 0, 0]
    assert picture.pixels[48, 48].tolist() == [0, 255, 0, 255]


def test_the_marker_names_the_sides(tmp_path):
    renderer = renderer_of(BALLS)
    scene = replace(SCENE, width=200, height=160)
    plain, marked = (renderer.render(replace(scene, marker=marker)).pixels for marker in (False, True))
    rows, columns = np.nonzero((plain != marked).any(-1))
    assert rows.min() > 80 and columns.max() < 80
    renderer.render(scene).save(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("values", [np.full((3, 4, 5), 7.0), np.zeros((1, 1, 1), np.int16)])
def test_constant_and_tiny_volumes_are_drawn(values):
    transfer = TransferFunction([[0, 1, 1, 1]], [[0, 1.0]])
    picture = Renderer(Volume(values, np.eye(4))).render(Scene(width=20, height=20, transfer=transfer))
    assert picture.class_ids[10, 10] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.set_scores(np.zeros((1, 3, 3, 3), np.uint8), [1]), "scores are uint8 of shape"),
        (lambda r: replace(SCENE, width=0), "0 x 96 pixels"),
        (lambda r: replace(SCENE, width=10**6), "pixels"),
        (lambda r: replace(SCENE, quality="best"), "'best' is none of preview, high"),
        (lambda r: r.render(replace(SCENE, classes=[ClassLook(1, (300, 0, 0))])), "colour is three numbers"),
        (lambda r: r.render(replace(SCENE, classes=[ClassLook(1, RED, opacity=2)])), "opacity lies in 0..1"),
        (lambda r: r.render(replace(SCENE, clip=Clip(low=(1, 0, 0)))), "low must be below high"),
        (lambda r: r.render(replace(SCENE, clip=Clip(planes=(((0, 0, 0), (0, 0, 0)),)))), "normal"),
    ],
)
def test_wrong_arguments_are_one_sentence(change, message):
    with pytest.raises(DataError, match=message):
        change(renderer_of({1: (0, 0, 0)}))


@pytest.mark.parametrize("arguments", [{"zoom": 0}, {"azimuth": float("nan")}])
def test_cameras_without_sense_are_refused(arguments):
    with pytest.raises(ValueError, match=r"zoom must|must be finite"):
        Camera(**arguments)
