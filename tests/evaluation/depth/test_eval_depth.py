"""``dense3d eval-depth``: files in, a table that names its protocol out; one sentence for each fault."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from dense3d.cli.dispatch import main
from dense3d.datasets.stereo.pfm import write_pfm
from dense3d.datasets.stereo.pictures import write_scaled_png
from dense3d.datasets.stereo.rigs import write_rig
from dense3d.evaluation.depth import PROTOCOLS, compare_depth, compare_disparity
from dense3d.structures.rectified_rig import RectifiedRig

RIG = RectifiedRig(focal=64.0, baseline=0.5, cx=47.5, cy=23.5, width=96, height=48)


@pytest.fixture
def run(capsys) -> Callable[..., tuple[int, str]]:
    """Status and text of a command; its words may be paths."""

    def call(*words: object) -> tuple[int, str]:
        status = main(["eval-depth", *map(str, words)])
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    return call


@pytest.fixture
def folders(tmp_path, scenes) -> Path:
    """A copy of the scenes, to be spoiled."""
    return shutil.copytree(scenes, tmp_path / "scenes")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    """Ground truth as png, depth and disparity of the same scenes, predictions with noise as pfm."""
    tmp_path = tmp_path_factory.mktemp("scenes")
    generator = np.random.default_rng(0)
    for number in range(3):
        depth = 2 + 30 * generator.random((48, 96)) ** 2
        depth = cv2.GaussianBlur(depth, (0, 0), 3).astype(np.float32)
        missing = generator.random(depth.shape) < 0.4
        noisy = depth * np.exp(0.1 * generator.standard_normal(depth.shape)).astype(np.float32)
        name = f"{'sunny' if number < 2 else 'rainy'}/{number:03d}"
        for folder in ("depth", "disparity", "predicted", "matched"):
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_scaled_png(tmp_path / "depth" / f"{name}.png", np.where(missing, 0, depth))
        disparity = np.where(missing, np.inf, RIG.disparity(depth))
        write_scaled_png(tmp_path / "disparity" / f"{name}.png", disparity)
        np.save(tmp_path / "predicted" / f"{name}.npy", noisy)
        write_pfm(tmp_path / "matched" / f"{name}.pfm", RIG.disparity(noisy))
    write_rig(tmp_path / "rig.json", RIG)
    return tmp_path


def test_the_table_names_the_protocol_and_files_hold_all(folders, run):
    words = ("--protocol", "kitti-eigen-garg", "--max-depth", 20, "--per-folder")
    files = ("--json", folders / "out" / "a.json", "--csv", folders / "out" / "a.csv")
    status, text = run(folders / "predicted", folders / "depth", *words, *files)
    assert status == 0
    for part in (
        "kitti-eigen-garg (changed: max_depth=20.0, clamp=(0.001, 20.0))",
        "Garg crop; 0.001 < gt < 20 m; predictions clamped to [0.001, 20] m; no median scaling",
        "images        3, 0 of them without",
        "48x96",
        "sunny\n",
        "rainy\n",
        "abs_rel",
    ):
        assert part in text, part
    written = json.loads((folders / "out" / "a.json").read_text())
    rows = list(csv.DictReader((folders / "out" / "a.csv").open()))
    assert [row["image"] for row in rows] == ["rainy/002", "sunny/000", "sunny/001"]
    values = [float(row["abs_rel"]) for row in rows]
    assert written["mean"]["all"]["abs_rel"] == pytest.approx(np.mean(values))
    assert 0.05 < np.mean(values) < 0.15
    assert {row["protocol"] for row in rows} == {written["protocol"]}


@pytest.mark.parametrize("protocol", [name for name in PROTOCOLS if not name.endswith(("flow", "spring"))])
def test_ground_truth_handed_back_is_perfect(folders, run, protocol):
    file = folders / "a.json"
    status, text = run(folders, folders, "--protocol", protocol, "--json", file)
    assert status == 0, text
    figures = json.loads(file.read_text())["mean"]["all"]
    assert all(value == (1 if name in ("a1", "a2", "a3") else 0) for name, value in figures.items()), figures


def test_depth_and_disparity_convert_on_either_side(folders, run):
    """The same scenes give the same figures, whatever the files hold; png round to 1/256."""
    figures = {}
    for protocol in ("kitti-improved", "disparity"):
        for prediction, kind in (("predicted", "depth"), ("matched", "disparity")):
            for truth in ("depth", "disparity"):
                file = folders / "figures.json"
                words = ("--pred-kind", kind, "--gt-kind", truth, "--rig", folders / "rig.json")
                out = ("--json", file, "--protocol", protocol)
                status, text = run(folders / prediction, folders / truth, *words, *out)
                assert status == 0, text
                figures.setdefault(protocol, []).append(json.loads(file.read_text())["mean"]["all"])
    for group in figures.values():
        for name, value in group[0].items():
            assert [other[name] for other in group] == pytest.approx([value] * 4, rel=0.03, abs=2e-3), name


def test_a_calibration_in_millimetres_needs_its_unit(folders, run):
    rig = json.loads((folders / "rig.json").read_text())
    rig["baseline"] *= 1000
    (folders / "mm.json").write_text(json.dumps(rig))
    figures = []
    for words in (("--rig", folders / "rig.json"), ("--rig", folders / "mm.json", "--unit", "mm")):
        file = folders / "figures.json"
        arguments = ("--protocol", "kitti-improved", "--pred-kind", "disparity", *words, "--json", file)
        status, text = run(folders / "matched", folders / "depth", *arguments)
        assert status == 0, text
        figures.append(json.loads(file.read_text())["mean"]["all"])
    assert figures[0] == pytest.approx(figures[1])
    words = ("--protocol", "kitti-improved", "--pred-kind", "disparity")
    status, text = run(folders / "matched", folders / "depth", *words, "--rig", folders / "mm.json")
    assert status == 2 and "--unit" in text
    status, text = run(folders / "matched", folders / "depth", *words, "--unit", "mm")
    assert status == 2 and "calibration" in text


def test_figures_are_those_of_the_functions(folders, run):
    file = folders / "a.json"
    run(folders / "predicted", folders / "depth", "--protocol", "kitti-eigen", "--json", file)
    values = []
    for path in sorted((folders / "depth").rglob("*.png")):
        truth = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.float32) / 256
        name = path.relative_to(folders / "depth").with_suffix(".npy")
        prediction = np.load(folders / "predicted" / name)
        values.append(compare_depth(prediction, truth, PROTOCOLS["kitti-eigen"]).tally.values()["rmse"])
    assert json.loads(file.read_text())["mean"]["all"]["rmse"] == pytest.approx(np.mean(values))


def test_masks_split_and_holes(folders, run):
    generator = np.random.default_rng(1)
    for path in sorted((folders / "disparity").rglob("*.png")):
        place = folders / "masks" / path.relative_to(folders / "disparity")
        place.parent.mkdir(parents=True, exist_ok=True)
        mask = np.where(generator.random((48, 96)) < 0.8, 255, 128).astype(np.uint8)
        cv2.imwrite(str(place), mask)
        predicted = folders / "matched" / path.relative_to(folders / "disparity").with_suffix(".pfm")
        values = RIG.disparity(np.load(str(predicted).replace("matched", "predicted")[:-4] + ".npy"))
        values[:, :20] = np.inf
        write_pfm(predicted, values)
    (folders / "split.txt").write_text("sunny/000 x\nrainy/002.png\n\n")
    words = ("--protocol", "kitti-2015", "--nonoccluded", folders / "masks", "--split", folders / "split.txt")
    file = folders / "a.json"
    figures = {}
    for holes in ("wrong", "skip"):
        status, text = run(
            folders / "matched", folders / "disparity", *words, "--holes", holes, "--json", file
        )
        assert status == 0 and "nonoccluded" in text and "images        2," in text
        figures[holes] = json.loads(file.read_text())
    wrong, skip = (figures[name]["mean"]["all"] for name in ("wrong", "skip"))
    assert wrong["bad-1"] > skip["bad-1"] + 10
    assert wrong["EPE"] == pytest.approx(skip["EPE"])
    assert figures["wrong"]["holes"] > 0.15 * figures["wrong"]["pixels"]
    regions = figures["wrong"]["per_image"][0]
    assert set(regions) >= {"D1_nonoccluded", "D1_occluded"}


def test_regions_by_name(folders, run):
    mask = np.zeros((48, 96), np.uint8)
    mask[:, 30:] = 255
    cv2.imwrite(str(folders / "mask.png"), mask)
    words = ("--region", "textureless", folders / "mask.png", "--json", folders / "a.json")
    status, text = run(folders / "predicted", folders / "depth", "--protocol", "none", *words)
    assert status == 0 and "textureless" in text
    found = json.loads((folders / "a.json").read_text())
    values = []
    for path in (folders / "depth").rglob("*.png"):
        truth = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.float32) / 256
        prediction = np.load(folders / "predicted" / path.relative_to(folders / "depth").with_suffix(".npy"))
        valid = (truth > 0) & (mask > 0)
        values.append(np.mean(np.abs(prediction - truth)[valid] / truth[valid]))
    assert found["mean"]["textureless"]["abs_rel"] == pytest.approx(np.mean(values), rel=1e-5)
    cv2.imwrite(str(folders / "mask.png"), mask[1:])
    status, text = run(folders / "predicted", folders / "depth", "--protocol", "none", *words)
    assert status == 2 and "the mask of the region 'textureless' has size 47x96" in text


def test_sizes_of_disparity_must_agree_or_be_resized(folders, run):
    for path in sorted((folders / "matched").rglob("*.pfm")):
        depth = np.load(str(path).replace("matched", "predicted")[:-4] + ".npy")
        write_pfm(path, RIG.disparity(depth)[::2, ::2] / 2)
    words = (folders / "matched", folders / "disparity", "--protocol", "disparity")
    status, text = run(*words)
    assert status == 2 and "size 24x48, the ground truth 48x96" in text
    status, text = run(*words, "--resize")
    assert status == 0 and "24x48, resized" in text


def test_scenes_with_one_map_each_are_matched_by_their_folder(sample_data, run, tmp_path):
    scenes = sample_data / "stereo" / "middlebury2014" / "trainingQ"
    (tmp_path / "Motorcycle").mkdir()
    shutil.copy(scenes / "Motorcycle" / "disp0GT.pfm", tmp_path / "Motorcycle" / "disp0MINE.pfm")
    words = ("--gt-glob", "*/disp0GT.pfm", "--protocol", "middlebury", "--nonoccluded", "mask0nocc.png")
    status, text = run(tmp_path, scenes, *words)
    assert status == 0 and "319078  0.000" in text
    depth = ("--protocol", "none", "--pred-kind", "disparity", "--gt-kind", "disparity", "--rig", "calib.txt")
    status, text = run(tmp_path, scenes, *words[:2], *depth)
    assert status == 0 and "abs_rel" in text


def test_flow(tmp_path, run):
    generator = np.random.default_rng(0)
    truth = (20 * generator.standard_normal((12, 16, 2))).astype(np.float32)
    for side, values in (("gt", truth), ("pred", truth + 0.5)):
        (tmp_path / side).mkdir()
        np.save(tmp_path / side / "a.npy", values)
    status, text = run(tmp_path / "pred", tmp_path / "gt", "--protocol", "flow")
    assert status == 0 and "s10-40" in text and "0.707" in text


def test_spring_and_one_file(tmp_path, run):
    generator = np.random.default_rng(0)
    truth = 1 + 40 * generator.random((24, 32)).astype(np.float32)
    np.savez(tmp_path / "gt.npz", disparity=truth)
    np.savez(tmp_path / "pred.npz", truth[1::2, ::2])
    status, text = run(tmp_path / "pred.npz", tmp_path / "gt.npz", "--protocol", "spring")
    assert status == 0 and "24x32" in text and "12x16" in text
    error = compare_disparity(truth[1::2, ::2], truth, PROTOCOLS["spring"]).regions["all"].values()
    assert error["EPE"] == 0


FAULTS = {
    "a prediction is missing": (
        lambda f: (f / "predicted/sunny/001.npy").rename(f / "predicted/sunny/01.npy"),
        "1 of 3 maps of the ground truth have no prediction, the first is 'sunny/001'; did you mean",
    ),
    "8 bits": (
        lambda f: cv2.imwrite(str(f / "depth/sunny/000.png"), np.ones((48, 96), np.uint8)),
        "000.png has 8 bits a channel, but this format has 16",
    ),
    "no ground truth": (
        lambda f: [write_scaled_png(path, np.zeros((48, 96))) for path in (f / "depth").rglob("*.png")],
        "no pixel of 3 maps counts under protocol kitti-improved",
    ),
    "NaN": (
        lambda f: np.save(f / "predicted/rainy/002.npy", np.full((48, 96), np.nan, np.float32)),
        "4608 of 4608 predictions are NaN; write 0 where nothing is predicted",
    ),
    "negative depth": (
        lambda f: np.save(f / "predicted/rainy/002.npy", np.full((48, 96), -1, np.float32)),
        "4608 negative values of 4608",
    ),
    "another shape": (
        lambda f: np.save(f / "predicted/rainy/002.npy", np.ones((48, 40), np.float32)),
        "has size 48x40, the ground truth 48x96, of another shape",
    ),
    "colour": (
        lambda f: np.save(f / "predicted/rainy/002.npy", np.ones((48, 96, 3), np.float32)),
        "holds values of shape (48, 96, 3); depth is (H, W)",
    ),
    "inverse depth": (
        lambda f: [np.save(p, 1 / np.load(p)) for p in (f / "predicted").rglob("*.npy")],
        "look like inverse depth or disparity; say so with --pred-kind",
    ),
    "millimetres": (
        lambda f: [np.save(p, 1000 * np.load(p)) for p in (f / "predicted").rglob("*.npy")],
        "is it in metres? --pred-scale converts it",
    ),
    "two files of a name": (
        lambda f: shutil.copy(f / "depth/sunny/000.png", f / "predicted/sunny/000.png"),
        "have one name: say which are meant, such as --pred-glob '**/*.png'",
    ),
    "a cut file": (
        lambda f: (f / "predicted/sunny/000.npy").write_bytes(
            (f / "predicted/sunny/000.npy").read_bytes()[:-9]
        ),
        "sunny/000.npy cannot be read as an array",
    ),
    "no folder": (lambda f: shutil.rmtree(f / "predicted"), "predicted does not exist"),
    "an empty folder": (
        lambda f: [p.unlink() for p in (f / "depth").rglob("*.png")],
        "holds no ground truth",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_one_sentence(folders, run, fault):
    spoil, words = FAULTS[fault]
    spoil(folders)
    file = folders / "a.json"
    status, text = run(
        folders / "predicted", folders / "depth", "--protocol", "kitti-improved", "--json", file
    )
    assert status == 2
    assert words in text, text
    assert len(text.strip().splitlines()) == 1
    assert not file.exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--protocol", "kiti-improved"), "did you mean 'kitti-improved'"),
        (("--protocol", "none", "--pred-kind", "disparity"), "a calibration converts them, --rig FILE"),
        (("--protocol", "none", "--pred-kind", "disparty"), "did you mean 'disparity'"),
        (("--protocol", "none", "--pred-kind", "flow"), "flow turns into nothing else"),
        (("--protocol", "none", "--gt-kind", "inverse-depth"), "not inverse depth"),
        (("--protocol", "none", "--pred-scale", "0"), "positive scale"),
        (("--protocol", "none", "--pred-format", "pgm"), "'pgm' is none of the formats"),
        (("--protocol", "none", "--crop", "grag"), "did you mean 'garg'"),
        (("--protocol", "none", "--max-depth", "-1"), "limits of depth are positive"),
        (("--protocol", "disparity", "--median-scaling"), "has no 'median_scaling'"),
        (("--protocol", "none", "--json", "a.csv"), "name a .json file"),
        (("--protocol", "none", "--split", "absent.txt"), "absent.txt does not exist"),
        (("--protocol", "none", "--pred-glob", "*.tif"), "holds no prediction that fits '*.tif'"),
    ],
)
def test_bad_arguments(folders, run, words, sentence):
    status, text = run(folders / "predicted", folders / "depth", *words)
    assert status == 2 and sentence in text, text


def test_what_may_be_left_out_or_let_pass(folders, run):
    (folders / "predicted/sunny/001.npy").unlink()
    np.save(folders / "predicted/rainy/009.npy", np.ones((48, 96), np.float32))
    words = (folders / "predicted", folders / "depth", "--protocol", "kitti-improved")
    status, text = run(*words, "--allow-missing")
    assert status == 0 and "1 images have no prediction" in text and "1 predictions have no ground" in text
    for path in (folders / "predicted").rglob("*.npy"):
        np.save(path, 1000 * np.load(path))
    assert run(*words, "--allow-missing")[0] == 2
    status, text = run(*words, "--allow-missing", "--median-scaling")
    assert status == 0 and "median ratio 0.001" in text
    assert run(*words, "--allow-missing", "--pred-scale", "0.001")[0] == 0
    status, text = run(*words, "--allow-missing", "--unchecked")
    assert status == 0 and "100.0 % of the predictions that count were clamped" in text


def test_a_folder_of_maps_of_another_kind(folders, run):
    """As ``dense3d make-synthetic stereo`` writes it, whose ground truth is disparity."""
    (folders / "depth").rename(folders / "of_depth")
    words = (folders / "predicted", folders, "--protocol", "kitti-eigen-garg", "--rig", folders / "rig.json")
    status, text = run(*words)
    assert status == 2 and "a folder disparity, but none of depth" in text and "--gt-kind disparity" in text
    assert run(*words, "--gt-kind", "disparity")[0] == 0
