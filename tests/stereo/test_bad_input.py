"""Bad pairs through the commands that people type: one sentence that names the file, and nothing lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest

from dense3d.cli.dispatch import main
from dense3d.datasets.stereo import write_pfm, write_rig, write_scaled_png
from dense3d.structures import RectifiedRig
from tests.datasets.stereo.layouts import HEIGHT, SHIFT, WIDTH, disparity, picture

RIG = RectifiedRig(focal=100.0, baseline=0.5, cx=39.5, cy=23.5, width=WIDTH, height=HEIGHT)
COUNT = 4
CONFIG = """
default_scope = "dense3d"
work_dir = "{root}/run"
{model}
_steps = [dict(type="LoadStereo"{load}), dict(type="PackStereoInputs")]
_data = dict(type="SyntheticStereo", data_root="{root}", pipeline=_steps)
_loader = dict(batch_size=2, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=False))
test_dataloader = dict(**_loader, dataset=dict(**_data, split="val", test_mode=True))
test_cfg = dict(type="TestLoop")
test_evaluator = {metric}
train_dataloader = dict(**_loader, dataset=dict(**_data, split="train"))
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=1)
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=1e-4))
"""
MATCHER = 'model = dict(type="SemiGlobalMatching", disparities=16)'
NETWORK = """model = dict(type="CrocoStereo", hooks=(0, 1, 2, 3), crop_size=(32, 64),
    network=dict(pos_embed="RoPE100", enc_embed_dim=16, enc_depth=2, enc_num_heads=2, dec_embed_dim=16,
        dec_depth=2, dec_num_heads=2),
    head=dict(hidden_channels=(4, 4, 8, 8), channels=8, last_channels=4),
    data_preprocessor=dict(type="StereoDataPreprocessor", mean=0, std=255))"""
DISPARITY = 'dict(type="DisparityMetric", protocol="disparity")'
DEPTH = 'dict(type="DepthMetric", protocol="none")'


def wall(number: int) -> list[np.ndarray]:
    """Left and right image of a wall with details of its own."""
    noise = np.random.default_rng(number).integers(0, 255, (HEIGHT, WIDTH + SHIFT, 3), dtype=np.uint8)
    texture = cv2.GaussianBlur(noise, (0, 0), 1)
    return [texture[:, :WIDTH], texture[:, SHIFT:]]


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("sound")
    for split in ("train", "val"):
        for number in range(COUNT):
            for side, image in zip(("left", "right"), wall(number)):
                picture(root / split / side / f"{number}.png", image)
            (root / split / "disparity").mkdir(exist_ok=True)
            write_scaled_png(root / split / f"disparity/{number}.png", disparity())
    write_rig(root / "rig.json", RIG)
    return root


@pytest.fixture
def root(sound, tmp_path) -> Path:
    """A copy, to be spoiled."""
    return shutil.copytree(sound, tmp_path / "data")


@pytest.fixture
def run(capsys) -> Callable[..., tuple[int, str, str]]:
    """Status, output and errors of a command."""

    def call(*words: object) -> tuple[int, str, str]:
        status = main([str(word) for word in words])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return status, said.out, said.err

    return call


def config(root: Path, model: str = MATCHER, metric: str = DISPARITY, load: str = "") -> Path:
    path = root / "config.py"
    path.write_text(CONFIG.format(root=root, model=model, metric=metric, load=load))
    return path


def one_sentence(err: str) -> str:
    """What a command that stopped says: a single line."""
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, err
    return lines[0]


def narrow(root: Path, split: str) -> None:
    path = root / split / "right/2.png"
    picture(path, cv2.imread(str(path))[:, :60])


def swapped(root: Path, split: str) -> None:
    for name in ("left", "right"):
        (root / split / name).rename(root / split / f"was_{name}")
    (root / split / "was_left").rename(root / split / "right")
    (root / split / "was_right").rename(root / split / "left")


def nothing_known(root: Path, split: str) -> None:
    write_scaled_png(root / split / "disparity/2.png", np.zeros((HEIGHT, WIDTH)))


def eight_bits(root: Path, split: str) -> None:
    stored = np.full((HEIGHT, WIDTH), SHIFT, np.uint8)
    cv2.imwrite(str(root / split / "disparity/2.png"), stored)


def beyond_the_image(root: Path, split: str) -> None:
    (root / split / "disparity/2.png").unlink()
    write_pfm(root / split / "disparity/2.pfm", 256 * disparity())


def foreign_rig(root: Path, split: str) -> None:
    write_rig(root / "rig.json", RIG.resized(2 * WIDTH, 2 * HEIGHT))


def cut_off(root: Path, split: str) -> None:
    path = root / split / "right/2.png"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def no_png(root: Path, split: str) -> None:
    (root / split / "left/2.png").write_bytes(b"nothing")


FAULTS = {
    narrow: "2.png is 80 x 48 pixels, but",
    swapped: "are exchanged: by the ground truth the first one is the right image",
    nothing_known: "2.png: no pixel of the disparity is known",
    eight_bits: "2.png has 8 bits a channel, but this format has 16",
    beyond_the_image: "2.pfm: half of the known disparities are above 1536 pixels, in images 80 wide",
    foreign_rig: "its calibration belongs to images of 160 x 96: take the calibration of these images",
    cut_off: "right/2.png is cut off",
    no_png: "left/2.png",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_test_names_the_pair_and_reports_no_figure(root, run, fault):
    """A test that left pairs out would give figures of another set."""
    fault(root, "val")
    out = root / "out"
    status, _, err = run("test", config(root), "none", "--out", out)
    assert status == 2 and FAULTS[fault] in one_sentence(err), err
    assert not (out / "metrics.json").exists()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_train_names_the_pair(root, run, fault):
    fault(root, "train")
    status, _, err = run("train", config(root, NETWORK))
    assert status == 2 and Path(FAULTS[fault].split()[0]).name in one_sentence(err), err


def test_train_may_skip_a_corrupt_pair_and_counts_it(root, run):
    cut_off(root, "train")
    options = ("--cfg-options", "train_dataloader.dataset.skip_bad_samples=True")
    status, _, err = run("train", config(root, NETWORK), *options)
    assert status == 0, err
    assert (root / "run/epoch_1.pth").is_file()
    log = "".join(path.read_text() for path in (root / "run").rglob("*.log"))
    assert "skipped in training" in log and "right/2.png" in log


def infer(root: Path, run, *more: object, left: str = "val/left", right: str = "val/right"):
    words = ("infer", config(root), "none", root / left, root / right, "--out", root / "out")
    return run(*words, "--device", "cpu", *more)


@pytest.mark.parametrize("fault", [narrow, cut_off, no_png], ids=lambda fault: fault.__name__)
def test_infer_leaves_a_bad_pair_out_and_writes_the_others(root, run, fault):
    fault(root, "val")
    status, out, err = infer(root, run)
    assert status == 1 and f"{COUNT - 1} pairs" in out
    (line,) = [line for line in err.splitlines() if line.startswith("left out: ")]
    assert "2.png" in line
    assert sorted(path.stem for path in (root / "out/disparity").iterdir()) == ["0", "1", "3"]


def test_infer_tells_of_exchanged_and_of_unrectified_pairs(root, run):
    status, _, err = infer(root, run, left="val/right", right="val/left")
    assert status == 0 and "left and right are swapped" in err
    for path in (root / "val/right").iterdir():
        image = cv2.imread(str(path))
        picture(path, np.roll(image, 4, axis=0)[..., ::-1])
    status, _, err = infer(root, run)
    assert status == 0 and "rectif" in err, err


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda path: path.unlink(), "rig.json does not exist"),
        (lambda path: write_rig(path, RIG.resized(160, 96)), "belongs to images of 160 x 96 pixels"),
        (lambda path: path.write_text("{"), "cannot be read as JSON"),
        (
            lambda path: path.write_text(json.dumps(asdict(RIG) | {"baseline": 500.0})),
            "a baseline of 500 m is hardly meant",
        ),
        (lambda path: path.write_text(json.dumps(asdict(RIG) | {"baseline": -0.5})), "baseline"),
        (lambda path: path.write_text(json.dumps({"focal": 100.0})), "it lacks"),
    ],
)
def test_infer_refuses_a_calibration_that_is_missing_or_of_other_images(root, run, spoil, sentence):
    spoil(root / "rig.json")
    status, _, err = infer(root, run, "--calib", root / "rig.json")
    assert status == 2 and sentence in one_sentence(err)
    assert not (root / "out/disparity").exists()


def test_images_of_one_channel_are_matched_as_those_of_three(root, run):
    assert infer(root, run)[0] == 0
    colour = (root / "out/disparity/0.pfm").read_bytes()
    for path in [*(root / "val/left").iterdir(), *(root / "val/right").iterdir()]:
        cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
    status, out, err = infer(root, run)
    assert status == 0 and f"{COUNT} pairs" in out, err
    assert (root / "out/disparity/0.pfm").read_bytes() != colour
    status, _, err = run("test", config(root), "none", "--out", root / "tested")
    assert status == 0, err
    assert json.loads((root / "tested/metrics.json").read_text())["disparity/EPE"] < 0.5


def test_depth_wants_a_calibration(root, run):
    (root / "rig.json").unlink()
    status, _, err = run("test", config(root, metric=DEPTH), "none")
    assert status == 2 and "pair 0" in one_sentence(err) and "rig" in err
    load = ", with_depth=True"
    status, _, err = run("test", config(root, metric=DEPTH, load=load), "none")
    assert status == 2 and "only with a calibration, and this data set has none" in one_sentence(err)


def test_depth_that_is_not_a_number_is_named_by_the_evaluator(root, run):
    """Files of depth are pngs in every data set here; arrays with NaN come to ``eval-depth``."""
    folders = [root / name for name in ("truth", "predicted")]
    for folder in folders:
        folder.mkdir()
        np.save(folder / "1.npy", np.full((HEIGHT, WIDTH), 5.0, np.float32))
    broken = np.full((HEIGHT, WIDTH), 5.0, np.float32)
    broken[:2] = np.nan
    words = ("eval-depth", folders[1], folders[0], "--protocol", "none")
    for folder in folders:
        np.save(folder / "1.npy", broken)
        status, _, err = run(*words)
        assert status == 2 and "NaN" in one_sentence(err) and "1.npy" in err
        np.save(folder / "1.npy", np.nan_to_num(broken, nan=5.0))
    assert run(*words)[0] == 0


def test_eval_depth_on_disparity(root, run):
    """Saved again with eight bits, wider than the image, without a known pixel, of another size."""
    truth = root / "val/disparity"
    shutil.copytree(truth, root / "predicted")
    words = ("eval-depth", root / "predicted", truth, "--protocol", "disparity")
    assert run(*words)[0] == 0
    eight_bits(root, "val")
    status, _, err = run(*words)
    assert status == 2 and "2.png has 8 bits a channel" in one_sentence(err)
    for number in range(COUNT):
        write_scaled_png(truth / f"{number}.png", np.zeros((HEIGHT, WIDTH)))
    status, _, err = run(*words)
    assert status == 2 and "no pixel of 4 maps counts" in one_sentence(err)
    for number in range(COUNT):
        write_scaled_png(truth / f"{number}.png", 30 * disparity())
    status, out, err = run(*words, "--gt-format", "png/256")
    assert status == 2 and "is 0.0333 times that of" in one_sentence(err), out


def test_rectify_names_what_is_wrong(root, run):
    left, right = root / "val/left", root / "val/right"
    words = ("rectify", left, right)
    status, _, err = run(*words, root / "absent.yaml", "--out", root / "out")
    assert status == 2 and "absent.yaml" in one_sentence(err)
    status, _, err = run(*words, root / "rig.json", "--out", root / "out")
    assert status == 2 and "rig.json" in one_sentence(err)
