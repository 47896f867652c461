"""Where the files of public data sets of stereo pairs and of optical flow lie.

Their readers are in :mod:`dense3d.datasets.stereo` and :mod:`dense3d.datasets.flow`; how the data sets are
unpacked stands in docs/stereo-data.md.
"""

from __future__ import annotations

from collections.abc import Callable

from dense3d.datasets.layout_parts import LayoutPart, new_suffix

REMEDY = "see docs/stereo-data.md"
NONOCCLUDED = "figures of pixels that both images see"
METRES = "depth in metres"


def _with(images: tuple[str, str], count: int | None, *parts: tuple) -> list[LayoutPart]:
    """Images, and for each further part its folder, pattern, rule of partners and, perhaps, its only use."""
    found = [LayoutPart(*images, count, remedy=REMEDY)]
    for folder, pattern, partner, *use in parts:
        needed_for = use[0] if use else None
        found.append(LayoutPart(folder, pattern, count, needed_for, images, partner, REMEDY))
    return found


def _moved(old: str, new: str, suffix: str | None = None) -> Callable[[str], str]:
    """A rule from a file to its partner: a part of its path is another one, and perhaps its suffix."""
    return lambda name: (new_suffix(suffix) if suffix else str)(name.replace(old, new))


def _kitti(folders: tuple[str, str, str, str, str], count: int) -> list[LayoutPart]:
    left, right, truth, seen, calibration = (f"training/{name}" for name in folders)
    images = (left, "*_10.png")
    return _with(
        images,
        count,
        (right, "*_10.png", str),
        (truth, "*_10.png", str),
        (seen, "*_10.png", str, NONOCCLUDED),
        (calibration, "*.txt", new_suffix(".txt", "_10.png"), METRES),
    )


def _kitti_flow(folder: str, count: int) -> list[LayoutPart]:
    return _with(
        (f"training/{folder}", "*_10.png"),
        count,
        (f"training/{folder}", "*_11.png", new_suffix("_11.png", "_10.png")),
        ("training/flow_occ", "*_10.png", str),
        ("training/flow_noc", "*_10.png", str, NONOCCLUDED),
    )


def _kitti_raw() -> list[LayoutPart]:
    images = (".", "2011_*/*/image_02/data/*")
    calibrations = ("calib_cam_to_cam.txt", "calib_velo_to_cam.txt")
    return _with(
        images,
        None,
        (".", "2011_*/*/image_03/data/*", _moved("image_02", "image_03")),
        (".", "2011_*/*/velodyne_points/data/*.bin", _moved("image_02", "velodyne_points", ".bin"), "depth"),
        *((".", f"2011_*/{name}", _beside_first(name), METRES) for name in calibrations),
    )


def _middlebury(truth: str, count: int | None) -> list[LayoutPart]:
    return _with(
        (".", "*/im0.png"),
        count,
        (".", "*/im1.png", _moved("im0", "im1")),
        (".", f"*/{truth}", _moved("im0.png", truth)),
        (".", "*/calib.txt", _moved("im0.png", "calib.txt"), METRES),
        (".", "*/mask0nocc.png", _moved("im0", "mask0nocc"), NONOCCLUDED),
    )


def _middlebury_of_views(count: int) -> list[LayoutPart]:
    """2005 and 2006 with all their lights: one disparity a scene."""
    images = (".", "*/Illum*/Exp*/view1.png")
    return _with(
        images,
        count,
        (".", "*/Illum*/Exp*/view5.png", _moved("view1", "view5")),
        (".", "*/disp1.png", _beside_first("disp1.png")),
    )


def _eth3d() -> list[LayoutPart]:
    images = ("two_view_training", "*/im0.png")
    return _with(
        images,
        27,
        ("two_view_training", "*/im1.png", _moved("im0", "im1")),
        ("two_view_training_gt", "*/disp0GT.pfm", _moved("im0.png", "disp0GT.pfm")),
        ("two_view_training_gt", "*/mask0nocc.png", _moved("im0", "mask0nocc"), NONOCCLUDED),
        ("two_view_training", "*/calib.txt", _moved("im0.png", "calib.txt"), METRES),
    )


def _scene_flow(count: int | None, depth: str) -> list[LayoutPart]:
    """One of its three parts, of which either pass suffices."""
    parts = [
        LayoutPart(folder, f"{depth}/{side}/*", count, f"the {name} pass")
        for name, folder in (("clean", "frames_cleanpass"), ("final", "frames_finalpass"))
        for side in ("left", "right")
    ]
    return [*parts, LayoutPart("disparity", f"{depth}/left/*.pfm", count, remedy=REMEDY)]


def _flying_things(split: str, count: int) -> list[LayoutPart]:
    images = ("frames_cleanpass", f"{split}/*/*/left/*.png")
    flows = f"{split}/*/*/into_{{}}/left/*.pfm"
    return [
        LayoutPart(*images, count, remedy=REMEDY),
        *(LayoutPart("optical_flow", flows.format(way), None, remedy=REMEDY) for way in ("future", "past")),
    ]


def _driving_stereo() -> list[LayoutPart]:
    images = ("train-left-image", "*/*")
    return _with(
        images,
        174437,
        ("train-right-image", "*/*", str),
        ("train-disparity-map", "*/*.png", new_suffix(".png"), "EPE and D1"),
        ("train-depth-map", "*/*.png", new_suffix(".png"), "errors of depth"),
    )


def _sintel_stereo() -> list[LayoutPart]:
    return _with(
        ("training/clean_left", "*/*.png"),
        1064,
        ("training/clean_right", "*/*.png", str),
        ("training/final_left", "*/*.png", str, "the final pass"),
        ("training/final_right", "*/*.png", str, "the final pass"),
        ("training/disparities", "*/*.png", str),
        ("training/occlusions", "*/*.png", str, NONOCCLUDED),
        ("training/outofframe", "*/*.png", str, NONOCCLUDED),
    )


def _sintel_flow() -> list[LayoutPart]:
    flow = ("training/flow", "*/*.flo")
    frames = [
        LayoutPart(f"training/{name}", "*/*.png", 1064, use, flow, new_suffix(".png"), REMEDY)
        for name, use in (("clean", None), ("final", "the final pass"), ("occlusions", NONOCCLUDED))
    ]
    return [LayoutPart(*flow, 1041, remedy=REMEDY), *frames]


def _spring_stereo() -> list[LayoutPart]:
    images = ("train", "*/frame_left/*.png")
    return _with(
        images,
        5000,
        ("train", "*/frame_right/*.png", _moved("left", "right")),
        ("train", "*/disp1_left/*.dsp5", _moved("frame_left", "disp1_left", ".dsp5")),
        ("train", "*/disp1_right/*.dsp5", _moved("frame_left", "disp1_right", ".dsp5"), "right references"),
        ("train", "*/cam_data/intrinsics.txt", _beside_first("cam_data/intrinsics.txt"), METRES),
    )


def _spring_flow() -> list[LayoutPart]:
    sides, ways = ("left", "right"), ("FW", "BW")
    frames = [LayoutPart("train", f"*/frame_{side}/*.png", 5000, remedy=REMEDY) for side in sides]
    kinds = [f"flow_{way}_{side}" for side in sides for way in ways]
    return [*frames, *(LayoutPart("train", f"*/{kind}/*.flo5", 4963, remedy=REMEDY) for kind in kinds)]


def _booster() -> list[LayoutPart]:
    folder, images = "train/balanced", ("train/balanced", "*/camera_00/*.png")
    uses = {"disp_00.npy": None, "mask_00.png": NONOCCLUDED, "calib_00-02.xml": METRES}
    return [
        *_with(images, 228, (folder, "*/camera_02/*.png", _moved("camera_00", "camera_02"))),
        *(
            LayoutPart(folder, f"*/{name}", 38, use, images, _beside_first(name), REMEDY)
            for name, use in uses.items()
        ),
    ]


def _beside_first(file: str) -> Callable[[str], str]:
    """A rule from a file to one in the first folder of its path."""
    return lambda name: f"{name.partition('/')[0]}/{file}"


def _cre_stereo() -> list[LayoutPart]:
    return _with(
        (".", "*/*_left.jpg"),
        200000,
        (".", "*/*_right.jpg", new_suffix("_right.jpg", "_left.jpg")),
        (".", "*/*_left.disp.png", new_suffix("_left.disp.png", "_left.jpg")),
    )


def _flying_chairs() -> list[LayoutPart]:
    images = ("data", "*_img1.ppm")
    return [
        *_with(
            images,
            22872,
            ("data", "*_img2.ppm", new_suffix("_img2.ppm", "_img1.ppm")),
            ("data", "*_flow.flo", new_suffix("_flow.flo", "_img1.ppm")),
        ),
        LayoutPart(".", "FlyingChairs_train_val.txt", 1, "the usual split into training and validation"),
    ]


def _tartan_air() -> list[LayoutPart]:
    flow = (".", "*/*/*/*/flow/*_flow.npy")
    return [
        LayoutPart(*flow, 306268, remedy=REMEDY),
        LayoutPart(".", "*/*/*/*/image_left/*_left.png", None, None, flow, _frame_of_flow, REMEDY),
        LayoutPart(
            ".",
            "*/*/*/*/flow/*_mask.npy",
            306268,
            NONOCCLUDED,
            flow,
            new_suffix("_mask.npy", "_flow.npy"),
            REMEDY,
        ),
    ]


def _frame_of_flow(name: str) -> str:
    folder, _, file = name.rpartition("/flow/")
    return f"{folder}/image_left/{file.partition('_')[0]}_left.png"


MATCHING_LAYOUTS: dict[str, list[LayoutPart]] = {
    "kitti_stereo_2012": _kitti(("colored_0", "colored_1", "disp_occ", "disp_noc", "calib"), 194),
    "kitti_stereo_2015": _kitti(("image_2", "image_3", "disp_occ_0", "disp_noc_0", "calib_cam_to_cam"), 200),
    "kitti_flow_2012": _kitti_flow("colored_0", 194),
    "kitti_flow_2015": _kitti_flow("image_2", 200),
    "kitti_raw": _kitti_raw(),
    "drivingstereo": _driving_stereo(),
    "middlebury_2005": _middlebury_of_views(54),
    "middlebury_2006": _middlebury_of_views(189),
    "middlebury_2014": _middlebury("disp0.pfm", 46),
    "middlebury_2021": _middlebury("disp0.pfm", 24),
    "middlebury_eval3": _middlebury("disp0GT.pfm", 15),
    "eth3d": _eth3d(),
    "crestereo": _cre_stereo(),
    "booster": _booster(),
    "sceneflow_flyingthings": _scene_flow(None, "*/*/*"),
    "sceneflow_monkaa": _scene_flow(8664, "*"),
    "sceneflow_driving": _scene_flow(4400, "*/*/*"),
    "sintel_stereo": _sintel_stereo(),
    "sintel_flow": _sintel_flow(),
    "spring_stereo": _spring_stereo(),
    "spring_flow": _spring_flow(),
    "flying_chairs": _flying_chairs(),
    "flying_things_flow": [*_flying_things("TRAIN", 22390), *_flying_things("TEST", 4370)],
    "tartanair_flow": _tartan_air(),
}
