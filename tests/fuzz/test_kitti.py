"""Files of KITTI's layout, changed at random: trained on or evaluated, or refused by name."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.registry import DefaultScope
from PIL import Image

from dense3d.apis.kitti_evaluation import evaluate_kitti
from dense3d.datasets.kitti import KittiObjects, read_objects, write_calibration
from dense3d.datasets.kitti.results import write_results
from dense3d.evaluation.kitti import evaluate
from dense3d.registry import DATASETS
from dense3d.structures import KittiCalibration
from tests.fuzz.mutations import damaged, mutated
from tests.fuzz.outcomes import assert_clear

FRAMES = ("000000", "000001")
LABEL = [
    line.split()
    for line in (
        "Car 0.00 0 -1.57 80.00 40.00 130.00 70.00 1.50 1.60 4.00 -1.00 1.60 15.00 -1.57",
        "Pedestrian 0.30 1 0.20 10.00 30.00 30.00 75.00 1.80 0.50 0.60 -3.00 1.60 12.00 0.10",
        "Van -1 -1 -10 140.00 40.00 190.00 70.00 -1 -1 -1 -1000 -1000 -1000 -10",
        "DontCare -1 -1 -10 1.00 2.00 9.00 8.00 -1 -1 -1 -1000 -1000 -1000 -10",
    )
]
RESULT = [[*row, score] for row, score in zip(LABEL[:2], ("0.9000", "0.4000"))]
WORDS = (
    *(
        "",
        "0",
        "-1",
        "-0.0",
        "1e9",
        "1e30",
        "1e154",
        "-1e155",
        "1e308",
        "-1e308",
        "1e400",
        "nan",
        "inf",
        "-inf",
    ),
    *(
        "1e-300",
        "0x10",
        "1_0",
        "1,5",
        "\u0663",
        "\u22121",
        "#",
        "Car",
        "car",
        "CAR",
        "DontCare",
        "Bus",
        "Misc",
    ),
    *("-10", "-1000", "3.14159265", "6.3", "100", "-5", "0.5", "x" * 300, "\x00", "a\u2028b", "\ufeffCar"),
)
OWN = dict(img_suffix=".jpg", any_frame_names=True, p2_only=True, extra_classes=("Bus",))
PIPELINE = [
    dict(type="LoadKittiFrame"),
    dict(type="RandomKittiWarp", size=(96, 32), flip_prob=0.5, crop_prob=0.5),
    dict(type="EncodeMonoTargets"),
    dict(type="PackKittiFrame"),
]


def as_text(lines: Any) -> str:
    """A mutated list of lists of words as the text of a file."""
    rows = lines if isinstance(lines, list) else [lines]
    return "\n".join(" ".join(map(str, row)) if isinstance(row, list) else str(row) for row in rows)


@st.composite
def with_other_words(draw: st.DrawFn, sound: list, most: int = 3) -> list:
    """The rows, some words of which are others, so that their number stays."""
    rows = [list(row) for row in sound]
    for _ in range(draw(st.integers(1, most))):
        row = draw(st.sampled_from(rows))
        row[draw(st.integers(0, len(row) - 1))] = draw(st.sampled_from(WORDS) | st.floats().map(str))
    return rows


def files_of(sound: list) -> st.SearchStrategy[bytes]:
    """Text whose words or lines are changed, or bytes that are."""
    trees = with_other_words(sound) | with_other_words(sound) | mutated(sound, values=WORDS)
    words = trees.map(as_text).map(lambda text: text.encode("utf-8", "replace"))
    return words | words | damaged(as_text(sound).encode())


def image_bytes(suffix: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (60, 200, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, {".png": "PNG", ".jpg": "JPEG"}[suffix])
    return stream.getvalue()


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """Two frames, each with a PNG and a JPEG image, and perfect results."""
    root = tmp_path_factory.mktemp("kitti")
    for folder in ("image_2", "label_2", "calib"):
        (root / "training" / folder).mkdir(parents=True)
    calibration = KittiCalibration.pinhole(focal=120.0, center=(100.0, 30.0))
    for frame in FRAMES:
        for suffix in (".png", ".jpg"):
            (root / "training/image_2" / f"{frame}{suffix}").write_bytes(image_bytes(suffix))
        (root / "training/label_2" / f"{frame}.txt").write_text(as_text(LABEL))
        write_calibration(root / "training/calib" / f"{frame}.txt", calibration)
    (root / "ImageSets").mkdir()
    (root / "ImageSets/train.txt").write_text("\n".join(FRAMES))
    write_results(root / "results", {frame: perfect(root, frame) for frame in FRAMES})
    train(root)  # compiles and imports what the forked processes need
    assess(root)
    return root


@pytest.fixture
def root(sound, tmp_path) -> Path:
    """A copy, free to be damaged."""
    return Path(shutil.copytree(sound, tmp_path / "data"))


def perfect(root: Path, frame: str, **options: Any) -> KittiObjects:
    objects = read_objects(root / "training/label_2" / f"{frame}.txt", **options)
    return objects.select(np.array(objects.names, dtype=object) != "DontCare").with_scores(0.9)


def train(root: Path, **options: Any) -> None:
    """Every sample as it is trained on, and its labels evaluated against themselves."""
    settings = dict(data_root=str(root), ann_file="ImageSets/train.txt", pipeline=PIPELINE) | options
    settings["serialize_data"] = False  # it collects garbage, which takes most of the time
    np.random.seed(0)
    with DefaultScope.overwrite_default_scope("dense3d"):
        dataset = DATASETS.build(dict(type="KittiDataset", **settings))
    for index in range(len(dataset)):
        packed = dataset[index]
        assert packed["inputs"].shape == (3, 32, 96)
        instances = packed["data_samples"].gt_instances
        assert all(value.isfinite().all() for _, value in instances.items() if value.is_floating_point())
    labels = [dataset.get_data_info(index)["objects"] for index in range(len(dataset))]
    cared = [frame.select(np.array([n.lower() != "dontcare" for n in frame.names], bool)) for frame in labels]
    assert_figures(evaluate(labels, [frame.with_scores(0.9) for frame in cared]), perfect=True)


def assess(root: Path, **options: Any) -> None:
    """Results as the command evaluates them."""
    assert_figures(evaluate_kitti(root / "training/label_2", root / "results", **options))


def assert_figures(result: Any, perfect: bool = False) -> None:
    """Percents; labels against themselves lose nothing but what the devkit's recall steps take from few."""
    figures = result.flat()
    assert all(0 <= value <= 100 + 1e-9 for value in figures.values()), figures
    if perfect:
        counts = result.ground_truths
        for c, d in zip(*np.nonzero(counts)):
            found = result.curves[0, 0, c, d]  # 2D boxes
            assert found[0] > 0.999, (result.protocol.classes[c], d, found)


def test_label_files(profile, root):
    @profile
    @given(files_of(LABEL))
    def ends_clearly(content):
        (root / "training/label_2/000000.txt").write_bytes(content)
        assert_clear(train, root, names="000000.txt")

    ends_clearly()


def test_labels_of_own_cameras(profile, root):
    @profile
    @given(files_of([["Bus", *LABEL[0][1:]], *LABEL]))
    def ends_clearly(content):
        (root / "training/label_2/000000.txt").write_bytes(content)
        assert_clear(train, root, names="000000.txt", **OWN)

    ends_clearly()


@pytest.mark.parametrize("options", [{}, OWN], ids=["kitti", "own"])
def test_calibration_files(profile, root, options):
    file = root / "training/calib/000000.txt"
    sound = [line.split() for line in file.read_text().splitlines() if line]

    @profile
    @given(files_of(sound))
    def ends_clearly(content):
        file.write_bytes(content)
        assert_clear(train, root, names="000000", **options)

    ends_clearly()


def test_result_files(profile, root):
    @profile
    @given(files_of(RESULT))
    def ends_clearly(content):
        (root / "results/000000.txt").write_bytes(content)
        assert_clear(assess, root, names="000000.txt")

    ends_clearly()


@pytest.mark.parametrize("options", [{}, OWN], ids=["kitti", "own"])
def test_split_lists(profile, root, options):
    @profile
    @given(files_of([[frame] for frame in FRAMES]))
    def ends_clearly(content):
        (root / "ImageSets/train.txt").write_bytes(content)
        assert_clear(train, root, names="train.txt", **options)
        assert_clear(assess, root, image_set=root / "ImageSets/train.txt", names=str(root))

    ends_clearly()


@pytest.mark.parametrize(("suffix", "options"), [(".png", {}), (".jpg", OWN)])
def test_images(profile, root, suffix, options):
    @profile
    @given(damaged(image_bytes(suffix)))
    def ends_clearly(content):
        (root / f"training/image_2/000000{suffix}").write_bytes(content)
        assert_clear(train, root, names=f"000000{suffix}", **options)

    ends_clearly()
