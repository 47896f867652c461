"""Clouds with photographs: what is read of them, whether camera and cloud agree, bad input."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest
from mmengine.dataset import pseudo_collate

from dense3d.datasets.pointcloud.synthetic import SyntheticRooms
from dense3d.datasets.posed_rgb.layouts import read_scene
from dense3d.datasets.scene_views.posed import PosedSceneViews
from dense3d.datasets.scene_views.sunrgbd import AXES, SunRgbdViews, parts_of_projection
from dense3d.datasets.scene_views.view import depth_of_points, points_of_view, read_view
from dense3d.datasets.synthetic.clouds import make_clouds
from dense3d.errors import ConfigError, DataError
from dense3d.pretraining import Gaussian2SceneStage1
from dense3d.pretraining.gaussian2scene.views import project_points
from dense3d.structures.camera import PinholeCamera

SIZE = (48, 64)
SCAN = [
    dict(type="dense3d.LoadPoints"),
    dict(type="dense3d.LoadSceneViews", size=SIZE, cloud="scan"),
    dict(type="dense3d.SamplePoints", count=512),
    dict(type="dense3d.PackSceneInputs"),
]
VIEWS = [
    dict(type="dense3d.LoadSceneViews", size=SIZE, cloud="views"),
    dict(type="dense3d.SamplePoints", count=512),
    dict(type="dense3d.PackSceneInputs"),
]
SMALL = dict(
    dim=32,
    num_groups=16,
    group_size=8,
    image_encoder=dict(
        arch=dict(embed_dim=32, depth=1, num_heads=2, position=None, class_token=False, final_norm=False)
    ),
    point_encoder=dict(depth=1),
    shared_encoder=dict(depth=1),
    decoder=dict(dim=24),
)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    root = tmp_path_factory.mktemp("rooms") / "data"
    make_clouds(root, "rooms", train=2, val=0, points=4000, views=3, size=(64, 48))
    return root


@pytest.fixture
def scene(rooms, tmp_path):
    """The photographs of one room, to be spoilt."""
    return shutil.copytree(rooms / "train" / "room_0000" / "views", tmp_path / "views")


def spoilt(scene, change):
    file = scene / "transforms.json"
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))
    return scene


def test_depth_of_a_room_lies_on_its_scan(rooms):
    data = SyntheticRooms(str(rooms), num_views=3, pipeline=SCAN)
    inputs = data[0]["inputs"]
    assert inputs["images"].shape == (3, 3, *SIZE)
    assert inputs["depths"].shape == (3, *SIZE)
    cloud = np.load(rooms / "train" / "room_0000" / "coord.npy")
    from scipy.spatial import cKDTree

    view = read_view(read_scene(rooms / "train" / "room_0000" / "views").frames[0], SIZE)
    seen, colours = points_of_view(view)
    distance, _ = cKDTree(cloud).query(seen)
    assert np.median(distance) < 0.1
    assert colours.min() >= 0 and colours.max() <= 1


def test_photographs_have_the_colours_of_the_cloud(rooms):
    from scipy.spatial import cKDTree

    folder = rooms / "train" / "room_0000"
    cloud, colours = np.load(folder / "coord.npy"), np.load(folder / "color.npy") / 255
    seen, found = points_of_view(read_view(read_scene(folder / "views").frames[0], SIZE))
    distance, nearest = cKDTree(cloud).query(seen)
    near = distance < 0.03
    assert near.sum() > 100
    assert np.median(np.abs(found[near] - colours[nearest[near]])) < 0.06


def test_clouds_are_the_same_with_and_without_photographs(rooms, tmp_path):
    make_clouds(tmp_path / "plain", "rooms", train=1, val=0, points=4000)
    for name in ("coord", "color", "boxes"):
        files = [root / "train" / "room_0000" / f"{name}.npy" for root in (rooms, tmp_path / "plain")]
        np.testing.assert_array_equal(*(np.load(file) for file in files))


def test_views_of_a_pipeline_fit_its_cloud(rooms):
    """Points of depth maps are projected to the pixels that they came from."""
    data = PosedSceneViews(str(rooms / "train" / "room_0000" / "views"), num_views=2, pipeline=VIEWS)
    assert len(data) == 3
    inputs = data[0]["inputs"]
    cameras = (inputs[name][:1] for name in ("world_to_camera", "intrinsics"))
    _, seen = project_points(inputs["points"][None], *cameras, SIZE)
    assert seen.float().mean() > 0.4  # the other half may be of the second view alone
    batch = pseudo_collate([data[0], data[1]])
    model = Gaussian2SceneStage1(**SMALL)
    found = model(**model.data_preprocessor(batch), mode="loss")
    assert all(value.isfinite() for value in found.values())


def test_depth_of_another_camera_is_brought_into_the_photograph():
    colour = PinholeCamera(8, 6, np.array([[8.0, 0, 3.5], [0, 8, 2.5], [0, 0, 1]]), np.eye(4))
    points = np.array([[0.0, 0, 2], [0.0, 0, 3], [9.0, 0, 1]])
    depth = depth_of_points(points, colour)
    assert sorted(depth[depth > 0].tolist()) == [2.0]


def test_depth_of_few_pixels_fills_the_photograph(tmp_path):
    """Of a camera of half the resolution, whose pixels would lie apart in the photograph."""
    for folder in ("color", "depth", "pose", "intrinsic"):
        (tmp_path / folder).mkdir()
    cv2.imwrite(str(tmp_path / "color" / "0.jpg"), np.full((48, 64, 3), 90, np.uint8))
    cv2.imwrite(str(tmp_path / "depth" / "0.png"), np.full((24, 32), 2000, np.uint16))
    np.savetxt(tmp_path / "pose" / "0.txt", np.eye(4))
    for name, width, height in (("color", 64, 48), ("depth", 32, 24)):
        K = np.eye(4)
        K[0, 0] = K[1, 1] = 0.9 * width
        K[0, 2], K[1, 2] = width / 2 - 0.5, height / 2 - 0.5
        np.savetxt(tmp_path / "intrinsic" / f"intrinsic_{name}.txt", K)
    view = read_view(read_scene(tmp_path).frames[0], SIZE)
    assert view.depth.shape == SIZE and (view.depth == np.float32(2)).all()


def test_frames_without_depth_are_refused(scene):
    spoilt(scene, lambda d: [f.pop("depth_file_path") for f in d["frames"]])
    with pytest.raises(DataError, match="none of its 3 photographs has a depth map"):
        PosedSceneViews(str(scene), pipeline=VIEWS)


def test_lost_poses_are_left_out_and_reported(scene):
    def lose(document):
        document["frames"][1]["transform_matrix"][0][3] = float("inf")

    data = PosedSceneViews(str(spoilt(scene, lose)), pipeline=VIEWS)
    assert len(data) == 2
    assert any("not finite" in sentence for sentence in data.bad_samples())


def test_one_frame_alone(scene):
    spoilt(scene, lambda d: d["frames"].__delitem__(slice(1, None)))
    assert len(PosedSceneViews(str(scene), pipeline=VIEWS)) == 1
    with pytest.raises(DataError, match="has 1 frames with pose and depth, and num_views=2"):
        PosedSceneViews(str(scene), num_views=2, pipeline=VIEWS)


def test_depth_of_another_size_is_refused(scene):
    file = next((scene / "depth").iterdir())
    depth = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(file), depth[::2, ::2])
    data = PosedSceneViews(str(scene), pipeline=VIEWS)
    with pytest.raises(Exception, match="but its camera is of images of 64 x 48"):
        [data[i] for i in range(3)]


def test_a_scan_of_another_scene_is_refused(rooms, tmp_path):
    root = tmp_path / "mixed"
    shutil.copytree(rooms, root)
    far = np.load(root / "train" / "room_0000" / "coord.npy") + np.float32([20, 0, 0])
    np.save(root / "train" / "room_0000" / "coord.npy", far)
    data = SyntheticRooms(str(root), num_views=1, pipeline=SCAN)
    with pytest.raises(Exception, match="are not of one scene: 0% of the depth map"):
        data[0]


@pytest.mark.parametrize("place", [1, 2])
@pytest.mark.parametrize("step", ["RandomFlipPoints", "RandomTranslatePoints"])
def test_a_cloud_that_leaves_its_photographs_is_refused(rooms, step, place):
    steps = [*SCAN[:place], dict(type=f"dense3d.{step}"), *SCAN[place:]]
    data = SyntheticRooms(str(rooms), num_views=1, pipeline=steps)
    with pytest.raises(ConfigError, match="no longer fits"):
        data.pipeline(data.get_data_info(0))


def test_rooms_without_photographs_say_how_to_make_them(rooms, tmp_path):
    root = tmp_path / "bare"
    shutil.copytree(rooms, root)
    shutil.rmtree(root / "train" / "room_0001" / "views")
    with pytest.raises(DataError, match=r"make-synthetic rooms .* --views"):
        SyntheticRooms(str(root), num_views=1, pipeline=SCAN)
    with pytest.raises(DataError, match="has 3 photographs, and num_views=4"):
        SyntheticRooms(str(rooms), num_views=4, pipeline=SCAN)


def test_tilt_and_intrinsics_of_a_projection():
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1.0]])
    K = np.array([[529.5, 0, 365], [0, 529.5, 265], [0, 0, 1]])
    found, tilt = parts_of_projection(K @ AXES @ turn.T, "here")
    np.testing.assert_allclose(found, K, atol=1e-9)
    np.testing.assert_allclose(tilt, turn, atol=1e-12)
    with pytest.raises(DataError, match="no invertible matrix"):
        parts_of_projection(np.zeros((3, 3)), "here")


def test_votenets_layout_of_sun_rgbd(tmp_path):
    """Against its toolbox: points to the camera's frame, other axes, pixels that count from 1."""
    rng = np.random.default_rng(0)
    clouds, views = tmp_path / "sunrgbd_pc_bbox_votes_50k_v1_train", tmp_path / "sunrgbd_trainval"
    for folder in (clouds, views / "image", views / "calib"):
        folder.mkdir(parents=True)
    angle = 0.2
    tilt = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    K = np.array([[60.0, 0, 33], [0, 60, 25], [0, 0, 1]])
    points = rng.uniform((-0.8, 2, -0.6), (0.8, 4, 0.6), (600, 3)) @ tilt.T
    np.savez(clouds / "000001_pc.npz", pc=np.concatenate([points, rng.random((600, 3))], axis=1))
    np.save(clouds / "000001_bbox.npy", np.zeros((0, 8)))
    cv2.imwrite(str(views / "image" / "000001.jpg"), rng.integers(0, 255, (48, 64, 3), dtype=np.uint8))
    rows = [" ".join(str(x) for x in matrix.flatten(order="F")) for matrix in (tilt, K)]
    (views / "calib" / "000001.txt").write_text("\n".join(rows))
    inputs = SunRgbdViews(str(tmp_path), pipeline=SCAN)[0]["inputs"]
    cameras = (inputs[name] for name in ("world_to_camera", "intrinsics"))
    places, _ = project_points(inputs["points"][None], *cameras, SIZE)
    x, y, z = (inputs["points"].double().numpy() @ tilt).T
    pixels = np.stack([60 * x / y + 33, -60 * z / y + 25], axis=1) - 1  # counted from 0
    np.testing.assert_allclose(places[0].numpy() * [64, 48] - 0.5, pixels, atol=1e-4)
    depth = inputs["depths"][0]
    row, column = np.rint(pixels[:, ::-1]).astype(int)[0]
    assert 0 < depth[row, column] <= y[0] + 1e-4
    (views / "calib" / "000001.txt").unlink()
    with pytest.raises(DataError, match="needs the calibration and photographs of sunrgbd_trainval"):
        SunRgbdViews(str(tmp_path), pipeline=SCAN)


def test_the_real_frame_of_sun_rgbd(sample_data):
    """Its boxes say where in the photograph its points have to be; stage one takes it."""
    root = sample_data / "sunrgbd"
    data = SunRgbdViews(str(root), pipeline=SCAN)
    packed = data[0]
    inputs = packed["inputs"]
    cameras = (inputs[name] for name in ("world_to_camera", "intrinsics"))
    places, seen = project_points(inputs["points"][None], *cameras, SIZE)
    assert seen.float().mean() > 0.95
    infos = json.loads((root / "sunrgbd_infos.json").read_text())["samples"][0]
    height, width = cv2.imread(str(root / infos["image"])).shape[:2]
    pixels = inputs["points"].double().numpy() @ np.array(infos["depth2img"]).T
    pixels = pixels[:, :2] / pixels[:, 2:] - 0.5  # which count from 1, to the corner of the image
    np.testing.assert_allclose(places[0].numpy() * [width, height], pixels, atol=0.2)
    model = Gaussian2SceneStage1(**SMALL)
    found = model(**model.data_preprocessor(pseudo_collate([packed])), mode="loss")
    assert all(value.isfinite() for value in found.values())


def test_real_frames_of_scannet_without_depth_are_refused(sample_data):
    with pytest.raises(DataError, match="none of its 4 photographs has a depth map"):
        PosedSceneViews(str(sample_data / "scannet_posed"), pipeline=VIEWS)
