"""Fits of tiny scenes: they get better, go on bit for bit after a kill, and refuse what cannot be right."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from radiance import tiny_scenes

from dense3d.apis import fit_splats
from dense3d.apis.splat_rendering import render_splats
from dense3d.cli.dispatch import main
from dense3d.errors import CheckpointError, ConfigError, DataError, TrainingError
from dense3d.radiance.session import Session
from dense3d.radiance.splats import FitSettings, Fitter, read_splats, write_splats
from dense3d.structures import PointCloud, write_cloud

STEPS = 60
QUICK = FitSettings(steps=STEPS, sh_degree=1, cap=60, grow_gradient=1e-5, exposure=True)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    known = tiny_scenes.known_gaussians()
    root = tiny_scenes.write_scene(tmp_path_factory.mktemp("scene") / "s", tiny_scenes.photographs(known))
    write_cloud(tiny_scenes.cloud_of(known), root / "known.ply")
    return root


def fit(
    scene: Path,
    out: Path,
    settings: FitSettings = QUICK,
    scene_file: str = "transforms.json",
    **options: object,
):
    options = {
        "cloud": scene / "known.ply",
        "check_poses": False,
        "device": "cpu",
        "tell": lambda _: None,
        **options,
    }
    return fit_splats(scene / scene_file, out, settings, **options)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("strategy", ["default", "mcmc"])
def test_a_killed_fit_goes_on_bit_for_bit(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    settings = replace(QUICK, strategy=strategy, background="random")
    whole = fit(scene, tmp_path / "whole", settings, save_every=7)
    assert len(whole.gaussians) > 40
    step = Fitter.fit_one

    def killed(self: Fitter):
        if self.step == 53:  # the last checkpoint is of step 49, after Gaussians were added
            raise Killed
        return step(self)

    monkeypatch.setattr(Fitter, "fit_one", killed)
    with pytest.raises(Killed):
        fit(scene, tmp_path / "killed", settings, save_every=7)
    monkeypatch.setattr(Fitter, "fit_one", step)
    assert not (tmp_path / "killed/splats.ply").exists()
    with pytest.raises(ConfigError, match="holds a fit: go on with --resume"):
        fit(scene, tmp_path / "killed", settings)
    resumed = fit(scene, tmp_path / "killed", settings, resume=True)
    assert (tmp_path / "killed/splats.ply").read_bytes() == (tmp_path / "whole/splats.ply").read_bytes()
    assert resumed.scores.rows == whole.scores.rows
    with pytest.raises(CheckpointError, match="sh_degree was 1 and is 2"):
        fit(scene, tmp_path / "killed", replace(settings, sh_degree=2), resume=True)
    with pytest.raises(CheckpointError, match=r"7 photographs are others .* as images/01\.png"):
        fit(scene, tmp_path / "killed", settings, resume=True, downscale=1.3)
    content = json.loads((scene / "transforms.json").read_text())
    content["frames"].reverse()
    (scene / "reversed.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="the photographs come in another order"):
        fit(scene, tmp_path / "killed", settings, resume=True, scene_file="reversed.json")


def test_a_fit_gets_better_and_its_files_say_so(scene: Path, tmp_path: Path) -> None:
    settings = FitSettings(steps=80, sh_degree=0)
    report = fit(scene, tmp_path / "out", settings)
    means = report.scores.means()
    assert means["splats"][0] > means["mean_image"][0] + 3 > means["nearest_view"][0]
    written = json.loads((tmp_path / "out/metrics.json").read_text())
    assert written["held_out"] == 2 and written["mean"]["splats"]["psnr"] == pytest.approx(means["splats"][0])
    rows = (tmp_path / "out/metrics.csv").read_text().splitlines()
    assert rows[0] == "photograph,method,psnr,ssim" and len(rows) == 1 + 2 * 3
    assert len(report.pictures) == 2 and len(list((tmp_path / "out/previews").glob("*.png"))) == 5
    assert len(read_splats(report.splats)) == len(report.gaussians)


def test_the_command_fits_and_names_what_it_wrote(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    words = ["fit-splats", str(scene), "--out", str(tmp_path / "o"), "--steps", "12", "--points", "30"]
    assert main([*words, "--no-pose-check", "--device", "cpu", "--cloud", str(scene / "known.ply")]) == 0
    printed = capsys.readouterr().out
    assert "7 photographs of 32 x 24 pixels to fit, 2 held out; 30 Gaussians to begin with" in printed
    assert "step     12/12  PSNR" in printed and "ETA 0:00" in printed
    assert "mean image" in printed and "nearest view" in printed and "splats.ply" in printed


def test_a_file_is_rendered_for_the_cameras_of_a_scene(scene: Path, tmp_path: Path, capsys) -> None:
    write_splats(tiny_scenes.known_gaussians(), tmp_path / "known.ply")
    words = ["render-splats", str(tmp_path / "known.ply"), str(scene), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    assert "9 pictures in" in capsys.readouterr().out
    mean = json.loads((tmp_path / "out/metrics.json").read_text())["mean"]["splats"]
    assert mean["psnr"] > 50 and mean["ssim"] > 0.999  # the photographs are rounded to bytes
    picture = cv2.imread(str(tmp_path / "out/renders/images/03.png"))
    photograph = cv2.imread(str(scene / "images/03.png"))
    assert np.abs(picture.astype(int) - photograph).max() <= 1
    content = json.loads((scene / "transforms.json").read_text())
    for entry, name in zip(content["frames"], (str(scene / "images/00.png"), "images/../images/01.png")):
        entry["file_path"] = name
    shutil.copy(scene / "images/03.png", scene / "images/02.b.png")
    content["frames"][3]["file_path"] = "images/02.b.png"
    shutil.copy(scene / "images/04.png", scene / "images/02.bmp.png")
    content["frames"][4]["file_path"] = "images/02.bmp"
    (scene / "named.json").write_text(json.dumps(content))
    report = render_splats(tmp_path / "known.ply", scene / "named.json", tmp_path / "named", device="cpu")
    assert len({path.resolve() for path in report.pictures}) == 9
    assert all(path.resolve().is_relative_to(tmp_path / "named/renders") for path in report.pictures)
    with pytest.raises(ConfigError, match="background='grey'"):
        render_splats(tmp_path / "known.ply", scene, tmp_path / "grey", background="grey")


def test_photographs_that_differ_in_brightness_are_matched(scene: Path) -> None:
    known = tiny_scenes.known_gaussians()
    views = tiny_scenes.photographs(known)
    dark = [
        replace(v, image=(v.image * (0.6 if i % 2 else 1.0)).astype(np.uint8)) for i, v in enumerate(views)
    ]
    settings = FitSettings(steps=70, sh_degree=0, exposure=True)
    fitter = Fitter(dark, tiny_scenes.cloud_of(known), 3.0, settings)
    while not fitter.is_done:
        fitter.fit_one()
    gains = fitter.exposures.maps[:, :3, :3].diagonal(dim1=1, dim2=2).mean(1)
    torch.testing.assert_close(fitter.exposures.maps.mean(0), torch.eye(3, 4), atol=1e-5, rtol=0)
    assert gains[1::2].max() < gains[0::2].min()


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        (
            dict(settings=FitSettings(steps=5, cap=39)),
            ConfigError,
            "a cap of 39 Gaussians is below the 40 points",
        ),
        (dict(cloud=PointCloud(np.empty((0, 3)), name="none.ply")), DataError, "none.ply: there is no point"),
        (
            dict(cloud=PointCloud(np.full((9, 3), np.nan), name="nan.ply")),
            DataError,
            "nan.ply: there is no point",
        ),
        (dict(masks="nowhere"), DataError, "nowhere is no folder"),
        (dict(downscale=0.5), ConfigError, "downscale=0.5"),
        (dict(resume=True), CheckpointError, "there is no fit to resume"),
        (dict(hold_out=1), DataError, "too few to hold one of 1 out"),
        (dict(hold_out=-8), ConfigError, "hold_out=-8"),
        (dict(device="gpu"), ConfigError, "the device gpu cannot be used"),
        (dict(mesh=True, voxel=-1.0), ConfigError, "voxel=-1.0: the side of a voxel is positive"),
        (dict(voxel=0.1), ConfigError, "voxel=0.1.*ask for a mesh"),
    ],
)
def test_faults_are_named(scene: Path, tmp_path: Path, options: dict, error: type, told: str) -> None:
    with pytest.raises(error, match=told):
        fit(scene, tmp_path / "out", **options)


@pytest.mark.parametrize(
    "settings", [dict(seed=-1), dict(initial_opacity=1.0), dict(initial_scale=-1), dict(means_lr=np.nan)]
)
def test_settings_out_of_range_are_named(settings: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        FitSettings(**settings)


def test_a_loss_that_is_not_finite_names_the_photograph(scene: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(
        "dense3d.radiance.splats.fitting.masked_photometric_loss", lambda image, *_: image.sum() * np.nan
    )
    with pytest.raises(TrainingError, match=r"step 1 \(images/0\d.png\) is nan"):
        fit(scene, tmp_path / "out")


def test_masks_of_an_object_leave_the_rest_empty(tmp_path: Path) -> None:
    """A red square before a wall that the masks exclude: nothing is fitted to the wall."""
    views = []
    (tmp_path / "masks").mkdir()
    for number, camera in enumerate(tiny_scenes.cameras(9)):
        seen, _ = camera.project(np.zeros((1, 3)))
        image = np.full((24, 32, 3), 200, np.uint8)
        mask = np.zeros((24, 32), np.uint8)
        x, y = np.rint(seen[0]).astype(int)
        image[y - 4 : y + 5, x - 4 : x + 5] = (200, 0, 0)
        mask[y - 4 : y + 5, x - 4 : x + 5] = 255
        name = f"{number:02d}.png"
        views.append(tiny_scenes.PosedView(name, camera, image))
        cv2.imwrite(str(tmp_path / "masks" / name), mask)
    scene = tiny_scenes.write_scene(tmp_path / "scene", views)
    points = np.random.default_rng(0).uniform(-1.2, 1.2, (300, 3))
    cloud = PointCloud(points, colors=np.full((300, 3), 0.5))
    settings = FitSettings(steps=120, sh_degree=0)
    report = fit(scene, tmp_path / "out", settings, cloud=cloud, masks=tmp_path / "masks")
    with torch.no_grad():
        view = views[4]
        image, alpha, _ = report.gaussians.render(view.viewmat()[None], view.intrinsics()[None], 32, 24)
    inside = view.image[..., 1] == 0
    assert alpha[0, ..., 0][torch.from_numpy(inside)].mean() > 0.7
    assert alpha[0, ..., 0][torch.from_numpy(~inside)].mean() < 0.25
    (tmp_path / "masks" / "03.png").unlink()
    with pytest.raises(DataError, match=r"has no mask of images/03\.png"):
        fit(scene, tmp_path / "other", settings, cloud=cloud, masks=tmp_path / "masks")


def test_ctrl_c_saves_and_says_how_to_go_on(scene: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    import os
    import signal

    step = Fitter.fit_one

    def interrupted(self: Fitter):
        if self.step == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self)

    monkeypatch.setattr(Fitter, "fit_one", interrupted)
    lines: list[str] = []
    with pytest.raises(SystemExit) as end:
        fit(scene, tmp_path / "out", tell=lines.append)
    assert end.value.code == 128 + signal.SIGTERM
    assert "stopped after step 6; the state is saved" in lines[-1]
    monkeypatch.setattr(Fitter, "fit_one", step)
    assert len(fit(scene, tmp_path / "out", resume=True).gaussians) > 0


def test_a_viewer_is_shown_the_fit(tmp_path: Path) -> None:
    known = tiny_scenes.known_gaussians()
    views = tiny_scenes.photographs(known)
    shown: list[str] = []
    fitter = Fitter(views, tiny_scenes.cloud_of(known), 3.0, FitSettings(steps=3, sh_degree=0))
    Session(fitter, tmp_path, [], lambda _: None, shown.append).run()
    assert shown and "step      3/3" in shown[-1] and "40 Gaussians" in shown[-1]
