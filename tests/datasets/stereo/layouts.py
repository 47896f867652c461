"""Tiny copies of each data set's layout, with a textured wall in front of the cameras."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from dense3d.datasets.flow import write_flo, write_kitti_flow
from dense3d.datasets.stereo import write_pfm, write_scaled_png
from dense3d.datasets.stereo.packed import write_hdf5, write_sintel_disparity
from dense3d.datasets.stereo.pictures import write_numbers

SHIFT, HEIGHT, WIDTH = 6, 48, 80
MATRIX = "{f} 0 {cx} {t} 0 {f} 23.5 0 0 0 1 0"


def views(count: int = 2, step: int = SHIFT) -> list[np.ndarray]:
    """Images (H, W, 3) of one wall, each ``step`` columns further to the right than the one before."""
    noise = np.random.default_rng(count).integers(0, 255, (HEIGHT, WIDTH + step * count, 3), dtype=np.uint8)
    wall = cv2.GaussianBlur(noise, (0, 0), 1)
    return [wall[:, step * index : step * index + WIDTH] for index in range(count)]


def picture(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image[..., ::-1])


def pair(left: Path, right: Path) -> None:
    for path, image in zip((left, right), views()):
        picture(path, image)


def disparity() -> np.ndarray:
    """What all layouts have: ``SHIFT``, unknown in the first rows and where the match leaves the image."""
    values = np.full((HEIGHT, WIDTH), np.float32(SHIFT))
    values[:3] = np.inf
    values[:, :SHIFT] = np.inf
    return values


def flow(sign: int = 1) -> np.ndarray:
    """Of frames that are further to the right: everything moves to the left."""
    return np.dstack([np.full((HEIGHT, WIDTH), -sign * SHIFT), np.zeros((HEIGHT, WIDTH))]).astype(np.float32)


def mask(path: Path, value: int = 255) -> None:
    pixels = np.full((HEIGHT, WIDTH), value, np.uint8)
    pixels[:, :SHIFT] = 255 - value
    write_numbers(path, pixels)


def projections(left: str, right: str, extra: str = "") -> str:
    rows = {left: MATRIX.format(f=100, cx=39.5, t=0), right: MATRIX.format(f=100, cx=39.5, t=-50)}
    return extra + "".join(f"{name}: {row}\n" for name, row in rows.items())


def middlebury_calibration(baseline: float = 500) -> str:
    return (
        "cam0=[100 0 39.5; 0 100 23.5; 0 0 1]\ncam1=[100 0 39.5; 0 100 23.5; 0 0 1]\ndoffs=0\n"
        f"baseline={baseline}\nwidth={WIDTH}\nheight={HEIGHT}\nndisp=32\n"
    )


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def kitti(root: Path, year: str) -> None:
    folders = {"2015": ("image_2", "image_3", "_0"), "2012": ("colored_0", "colored_1", "")}[year]
    for number in range(2):
        name, base = f"{number:06d}_10.png", root / "training"
        pair(base / folders[0] / name, base / folders[1] / name)
        picture(base / folders[0] / f"{number:06d}_11.png", views()[1])
        write_scaled_png(base / f"disp_occ{folders[2]}" / name, disparity())
        known = disparity()
        known[:, 40:] = np.inf
        write_scaled_png(base / f"disp_noc{folders[2]}" / name, known)
        write_kitti_flow(base / "flow_occ" / name, flow())
        write_kitti_flow(base / "flow_noc" / name, np.where(np.arange(WIDTH)[:, None] < 40, np.inf, flow()))
        if year == "2015":
            text = projections("P_rect_02", "P_rect_03", f"S_rect_02: {WIDTH} {HEIGHT}\n")
            write_text(base / "calib_cam_to_cam" / f"{number:06d}.txt", text)
        else:
            write_text(base / "calib" / f"{number:06d}.txt", projections("P2", "P3"))


def driving_stereo(root: Path) -> None:
    for day in ("2018-07-09-16-11-56", "2018-10-11-17-08-31"):
        place = f"{day}/{day}_0001"
        pair(root / f"train-left-image/{place}.jpg", root / f"train-right-image/{place}.jpg")
        write_scaled_png(root / f"train-disparity-map/{place}.png", disparity())
        write_scaled_png(root / f"train-depth-map/{place}.png", 50 / disparity())
        text = projections("P_rect_101", "P_rect_103", f"S_rect_101: {WIDTH} {HEIGHT}\n")
        write_text(root / f"half-image-calib/{day}.txt", text)


def middlebury(root: Path) -> None:
    for scene in ("Adirondack", "Vintage"):
        pair(root / scene / "im0.png", root / scene / "im1.png")
        picture(root / scene / "im1E.png", views()[1])
        write_pfm(root / scene / "disp0.pfm", disparity())
        mask(root / scene / "mask0nocc.png")
        write_text(root / scene / "calib.txt", middlebury_calibration())


def middlebury_2021(root: Path) -> None:
    scene = root / "artroom1"
    pair(scene / "im0.png", scene / "im1.png")
    for light, exposure in (("L0", 0), ("L0", 1), ("F0", 0)):
        place = scene / "ambient" / light
        pair(place / f"im0e{exposure}.png", place / f"im1e{exposure}.png")
    write_pfm(scene / "disp0.pfm", disparity())
    write_text(scene / "calib.txt", middlebury_calibration())


def cre_stereo(root: Path) -> None:
    for part in ("hole", "tree"):
        for name in ("aB3_0", "zz_1"):
            pair(root / part / f"{name}_left.jpg", root / part / f"{name}_right.jpg")
            write_scaled_png(root / part / f"{name}_left.disp.png", disparity(), 32)
            write_scaled_png(root / part / f"{name}_right.disp.png", disparity(), 32)


def booster(root: Path) -> None:
    for split in ("train", "test"):
        scene = root / split / "balanced" / "Bathroom"
        for number in range(2):
            pair(scene / f"camera_00/im{number}.png", scene / f"camera_02/im{number}.png")
        matrices = {"proj_matL": MATRIX.format(f=100, cx=39.5, t=0)}
        matrices["proj_matR"] = MATRIX.format(f=100, cx=39.5, t=-8000)
        kind = 'type_id="opencv-matrix"'
        nodes = "".join(
            f"<{name} {kind}><rows>3</rows><cols>4</cols><dt>d</dt><data>{data}</data></{name}>"
            for name, data in matrices.items()
        )
        text = f'<?xml version="1.0"?><opencv_storage>{nodes}<baselineLR>80.</baselineLR></opencv_storage>'
        write_text(scene / "calib_00-02.xml", text)
        if split == "train":
            np.save(scene / "disp_00.npy", np.where(np.isfinite(disparity()), disparity(), 0))
            mask(scene / "mask_00.png")


def tartan_air(root: Path) -> None:
    for place, level in (("office", "Easy"), ("office", "Hard"), ("ocean", "Easy")):
        folder = root / place / place / level / "P001"
        for number, image in enumerate(views(3)):
            picture(folder / f"image_left/{number:06d}_left.png", image)
        (folder / "flow").mkdir()
        for number in range(2):
            stem = f"{number:06d}_{number + 1:06d}"
            np.save(folder / f"flow/{stem}_flow.npy", flow())
            hidden = np.zeros((HEIGHT, WIDTH), np.uint8)
            hidden[:, :SHIFT], hidden[:4] = 100, 1
            np.save(folder / f"flow/{stem}_mask.npy", hidden)


def middlebury_2006(root: Path, divisor: int) -> None:
    pair(root / "Aloe/Illum1/Exp0/view1.png", root / "Aloe/Illum1/Exp0/view5.png")
    pair(root / "Aloe/view1.png", root / "Aloe/view5.png")
    stored = np.where(np.isfinite(disparity()), disparity() * divisor, 0)
    write_numbers(root / "Aloe/disp1.png", stored.astype(np.uint8))
    write_text(root / "Aloe/dmin.txt", "30\n")


def eth3d(root: Path) -> None:
    scene = root / "two_view_training/delivery_area_1l"
    pair(scene / "im0.png", scene / "im1.png")
    write_text(scene / "calib.txt", middlebury_calibration())
    truth = root / "two_view_training_gt/delivery_area_1l"
    write_pfm(truth / "disp0GT.pfm", disparity())
    mask(truth / "mask0nocc.png")


def scene_flow(root: Path, sign: int = 1) -> None:
    for scene in ("TRAIN/A/0000", "TEST/A/0001"):
        for number, left, right in zip((6, 7), views(3), views(3)[1:]):
            for name in ("frames_cleanpass", "frames_finalpass"):
                picture(root / f"{name}/{scene}/left/000{number}.png", left)
                picture(root / f"{name}/{scene}/right/000{number}.png", right)
            write_pfm(root / f"disparity/{scene}/left/000{number}.pfm", sign * disparity())
        flows = root / f"optical_flow/{scene}"
        for kind, name, way in (("into_future", "IntoFuture", 1), ("into_past", "IntoPast", -1)):
            number = "0006" if way == 1 else "0007"
            values = np.dstack([flow(way), np.zeros((HEIGHT, WIDTH))])
            write_pfm(flows / kind / "left" / f"OpticalFlow{name}_{number}_L.pfm", values)


def sintel(root: Path) -> None:
    base = root / "training"
    for name in ("clean", "final"):
        for number, image in enumerate(views(), 1):
            file = f"alley_1/frame_{number:04d}.png"
            picture(base / name / file, image)
            pair(base / f"{name}_left" / file, base / f"{name}_right" / file)
    for number in (1, 2):
        file = f"alley_1/frame_{number:04d}.png"
        write_sintel_disparity(base / "disparities" / file, np.full((HEIGHT, WIDTH), SHIFT))
        mask(base / "occlusions" / file, 0)
        outside = np.where(np.arange(WIDTH) < 20, 255, 0).astype(np.uint8)
        write_numbers(base / "outofframe" / file, np.tile(outside, (HEIGHT, 1)))
        write_flo(base / f"flow/alley_1/frame_{number:04d}.flo", flow())
        camera = np.array([[100.0, 0, 39.5], [0, 100, 23.5], [0, 0, 1]])
        content = np.float32(202021.25).tobytes() + camera.tobytes() + np.eye(3, 4).tobytes()
        (base / "camdata_left/alley_1").mkdir(parents=True, exist_ok=True)
        (base / f"camdata_left/alley_1/frame_{number:04d}.cam").write_bytes(content)


def spring(root: Path) -> None:
    base = root / "train/0001"
    big = np.full((2 * HEIGHT, 2 * WIDTH), np.float32(SHIFT))
    for number, left, right in zip((1, 2, 3), views(4), views(4)[1:]):
        picture(base / f"frame_left/frame_left_{number:04d}.png", left)
        picture(base / f"frame_right/frame_right_{number:04d}.png", right)
        for side in ("left", "right"):
            write_hdf5(base / f"disp1_{side}/disp1_{side}_{number:04d}.dsp5", "disparity", big)
            for way, sign in (("FW", -1), ("BW", 1)):
                values = np.dstack([sign * big, np.zeros_like(big)])
                write_hdf5(base / f"flow_{way}_{side}/flow_{way}_{side}_{number:04d}.flo5", "flow", values)
    write_text(base / "cam_data/intrinsics.txt", "100 100 39.5 23.5\n" * 3)


def flying_chairs(root: Path) -> None:
    for number in range(1, 4):
        for part, image in zip(("img1", "img2"), views()):
            picture(root / f"data/{number:05d}_{part}.ppm", image)
        write_flo(root / f"data/{number:05d}_flow.flo", flow())
    write_text(root / "FlyingChairs_train_val.txt", "1\n1\n2\n")
