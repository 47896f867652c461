"""Fits of grids: a cube is found in the world, a killed fit goes on bit for bit, faults are one sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from radiance import cubes, tiny_scenes

from dense3d.apis import extract_grid
from dense3d.cli.dispatch import main
from dense3d.errors import CheckpointError, ConfigError, DataError, MissingDependencyError, TrainingError
from dense3d.radiance.grids import GridFitter, GridSettings, VoxelField
from dense3d.radiance.grids.adam import GridAdam
from dense3d.radiance.grids.variation import KNEE, add_variation_gradient
from dense3d.radiance.rays import Pixels
from dense3d.structures.radiance_grid import RadianceGrid

CUBE = np.stack([cubes.CENTRE - cubes.SIDE / 2, cubes.CENTRE + cubes.SIDE / 2])
QUICK = GridSettings(steps=24, rays=128, resolution=16, levels=2)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scene") / "s"
    views = cubes.cube_views()
    tiny_scenes.write_scene(root, [replace(view, alpha=None) for view in views])
    cubes.write_pictures(root / "images", views)
    return root


def fit(scene: Path, out: Path, settings: GridSettings = QUICK, **options: object):
    usual = {"check_poses": False, "device": "cpu", "resolution": 16, "tell": lambda _: None}
    return extract_grid(scene, out, settings=settings, **{**usual, **options})


def test_a_cube_is_found_in_the_world_within_a_voxel(scene: Path, tmp_path: Path) -> None:
    settings = GridSettings(steps=400, rays=512, resolution=32, levels=2)
    np.save(tmp_path / "boxes.npy", [[*cubes.CENTRE, *[cubes.SIDE] * 3, 0.0]])
    report = fit(scene, tmp_path / "out", settings, resolution=24, boxes=tmp_path / "boxes.npy")
    grid = RadianceGrid.load(tmp_path / "out/grid.npz")
    assert report.box_from == "object" and grid.density_kind == "relu"
    voxel = (grid.bbox_max - grid.bbox_min) / (np.array(grid.resolution) - 1)
    np.testing.assert_array_less(np.abs(cubes.bounds(grid) - CUBE), np.tile(1.01 * voxel, (2, 1)))
    assert report.boxes_inside == 1
    scores = report.scores.means()
    assert scores["grid"][0] > 20 > scores["nearest_view"][0]
    written = json.loads((tmp_path / "out/metrics.json").read_text())
    assert written["mean"]["grid"]["psnr"] == pytest.approx(scores["grid"][0]) and written["steps"] == 400
    for name in (
        "projections.png",
        "orbit.png",
        "held_out/000.png",
        "cameras.json",
        "boxes.npy",
        "state.pth",
    ):
        assert (tmp_path / "out" / name).is_file()
    # the faces have their colours: x from low to high, then y
    alpha = grid.to_alpha().density
    middle = [round(v) for v in grid.world_to_voxel(cubes.CENTRE[None])[0] - 0.5]
    for axis in (0, 1):
        index = [middle[0], middle[1], middle[2]]
        for side, corner in enumerate(CUBE):
            share = (corner[axis] - grid.bbox_min[axis]) / (grid.bbox_max - grid.bbox_min)[axis]
            at = round(share * (grid.resolution[axis] - 1))
            places = [tuple(at + d if a == axis else i for a, i in enumerate(index)) for d in (-1, 0, 1)]
            best = max(places, key=lambda place: alpha[place])
            np.testing.assert_allclose(grid.rgb[best], cubes.COLORS[2 * axis + side] / 255, atol=0.2)


class Killed(BaseException):
    pass


def test_a_killed_fit_goes_on_bit_for_bit(scene: Path, tmp_path: Path, monkeypatch) -> None:
    whole = fit(scene, tmp_path / "whole", save_every=5)
    step = GridFitter.fit_one

    def killed(self: GridFitter):
        if self.step == 19:  # the last checkpoint is of step 15, after the grid was refined at step 12
            raise Killed
        return step(self)

    monkeypatch.setattr(GridFitter, "fit_one", killed)
    with pytest.raises(Killed):
        fit(scene, tmp_path / "killed", save_every=5)
    monkeypatch.setattr(GridFitter, "fit_one", step)
    with pytest.raises(ConfigError, match="holds a fit: go on with --resume"):
        fit(scene, tmp_path / "killed")
    resumed = fit(scene, tmp_path / "killed", resume=True)
    np.testing.assert_array_equal(resumed.grid.rgbsigma, whole.grid.rgbsigma)
    assert resumed.scores.rows == whole.scores.rows
    with pytest.raises(ConfigError, match=r"reaches out of it: take one within"):
        fit(scene, tmp_path / "killed", resume=True, box="cameras")
    with pytest.raises(CheckpointError, match=r"color_lr was 0\.03 and is 0\.5"):
        fit(scene, tmp_path / "killed", replace(QUICK, color_lr=0.5), resume=True)
    with pytest.raises(CheckpointError, match=r"photographs are others .* as images/0\d\.png"):
        fit(scene, tmp_path / "killed", resume=True, downscale=1.3)


def test_the_command_tells_what_it_wrote(scene: Path, tmp_path: Path, capsys) -> None:
    words = ["extract-grid", str(scene), "--out", str(tmp_path / "o"), "--steps", "6", "--rays", "64"]
    words += ["--fit-resolution", "16", "--resolution", "12", "--no-pose-check", "--device", "cpu", "--alpha"]
    np.save(tmp_path / "boxes.npy", [[*place, 1.0, 1.0, 1.0, 0.0] for place in (cubes.CENTRE, [50.0] * 3)])
    place = ["--box=1.7,-3.4,3.6,4.5,-0.9,6.1", "--boxes", str(tmp_path / "boxes.npy")]
    assert main([*words, *place]) == 0
    printed, warned = capsys.readouterr()
    assert "warning: 1 of 2 boxes have their centre outside of the grid" in warned
    assert "box [1.7, -3.4, 3.6] to [4.5, -0.9, 6.1] (given)" in printed
    assert "step      6/6  PSNR" in printed and "ETA 0:00" in printed and "nearest view" in printed
    assert (
        "12 x 10 x 10 voxels" in printed and " voxels/s" in printed and "grid.npz: density alpha" in printed
    )
    assert RadianceGrid.load(tmp_path / "o/grid.npz").is_alpha
    assert main([*words, "--box=1,2,x,4,5,6", "--resume"]) == 2
    assert "it has six numbers" in capsys.readouterr().err


def test_a_scene_before_a_wall_is_fitted_without_bounds() -> None:
    views = cubes.cube_views(background=128)
    settings = GridSettings(steps=40, rays=256, resolution=24, levels=2, shell=0.5)
    fitter = GridFitter(views, np.stack([cubes.CENTRE - 5, cubes.CENTRE + 5]), settings)
    first = np.mean([fitter.fit_one()[1] for _ in range(8)])
    while not fitter.is_done:
        last = fitter.fit_one()[1]
    assert last > first + 2
    outward = torch.nn.functional.normalize(torch.tensor([[1.0, 0.2, 0.1]]).double(), dim=-1)
    seen = fitter.field.render(torch.from_numpy(cubes.CENTRE)[None] + 4 * outward, outward)
    assert seen.opacity.item() > 0.5  # the wall that all photographs show around the cube


@pytest.mark.parametrize("shape", [(5, 6, 7), (1, 4, 2)])
def test_variation_is_the_gradient_of_hubers_function(shape) -> None:
    random = torch.Generator().manual_seed(0)
    values = torch.rand(*shape, 4, generator=random).double().mul(0.1).requires_grad_()
    weights = torch.tensor([1.0, 2.0, 0.5, 3.0]).double()
    total = sum(
        (torch.nn.functional.huber_loss(a, b, reduction="none", delta=KNEE) / KNEE * weights).sum()
        for a, b in ((values.diff(dim=axis), torch.zeros_like(values.diff(dim=axis))) for axis in range(3))
    )
    (expected,) = torch.autograd.grad(total, values)
    grad = torch.zeros(*shape, 4).double()
    add_variation_gradient(grad, values, tuple(weights.tolist()))
    torch.testing.assert_close(grad, expected)


def test_compiled_adam_is_torchs_on_voxels_that_are_touched() -> None:
    random = torch.Generator().manual_seed(0)
    start = torch.rand(4, 5, 6, 4, generator=random)
    adams = [GridAdam(start.clone()) for _ in range(3)]
    rates = (0.1, 0.2, 0.3, 0.4)
    leaf = start.clone().requires_grad_()
    peers = [torch.optim.Adam([leaf], lr=0.1, betas=(0.9, 0.99), eps=1e-7)]
    for number in range(1, 4):
        grad = torch.randn(4, 5, 6, 4, generator=random)
        leaf.grad = grad.clone()
        peers[0].step()
        adams[0].step(grad, (0.1,) * 4)
        grad[:2] = 0
        adams[1].step(grad, rates)
        adams[2].steps = number
        adams[2].step_in_torch(grad, rates, (1 - 0.9**number, 1 - 0.99**number))
    torch.testing.assert_close(adams[0].values, leaf.detach(), rtol=1e-4, atol=1e-5)
    for name in ("values", "mean", "square"):
        torch.testing.assert_close(getattr(adams[1], name), getattr(adams[2], name))
    assert torch.equal(adams[1].values[:2], start[:2]) and (adams[1].values[2:] != start[2:]).all()


def test_a_refined_field_looks_the_same() -> None:
    field = VoxelField.empty(np.array([[0.0, 0, 0], [4, 2, 3]]), 8, 0.0, depth=1.0)
    axis = torch.linspace(0, 1, 8)[:, None, None]
    field.values[..., 0] = axis
    field.values[..., 3] *= 1 + axis
    finer = field.refined(16)
    assert tuple(finer.values.shape) == (16, 8, 12, 4) and finer.voxel == pytest.approx(0.25)
    ray = torch.tensor([[-1.0, 1, 1.5]]).double(), torch.tensor([[1.0, 0, 0]]).double()
    for one, two in zip(field.render(*ray, voxels_a_sample=0.05), finer.render(*ray, voxels_a_sample=0.1)):
        torch.testing.assert_close(one, two, rtol=0.02, atol=0.01)
    points = torch.tensor([[1.0, 1, 1], [3, 1, 1], [5, 1, 1]]).double()
    assert finer.density(points)[2] == 0  # outside, where there is no shell
    torch.testing.assert_close(field.density(points), finer.density(points), rtol=0.03, atol=1e-6)


def test_rays_of_pixels_meet_what_they_show() -> None:
    views = cubes.cube_views(5)
    views[1] = replace(views[1], usable=np.zeros((32, 40), bool))
    views[3] = cubes.cube_views(5, (20, 24))[3]
    pixels = Pixels(views)
    assert len(pixels) == 3 * 40 * 32 + 20 * 24
    batch = pixels.draw(400, torch.Generator().manual_seed(0))
    owners = (batch.origins[:, None] - torch.tensor(np.array([v.camera.position for v in views]))).norm(
        dim=-1
    )
    assert sorted(set(owners.argmin(1).tolist())) == [0, 2, 3, 4]
    torch.testing.assert_close(batch.directions.norm(dim=-1), torch.ones(400).double())
    for k in range(40):
        view = views[int(owners[k].argmin())]
        pixel, _ = view.camera.project((batch.origins[k] + 3 * batch.directions[k]).numpy()[None])
        x, y = np.rint(pixel[0]).astype(int)
        np.testing.assert_allclose(pixel[0], (x, y), atol=1e-6)
        np.testing.assert_allclose(batch.colors[k], view.image[y, x] / 255, atol=1e-6)
        assert float(batch.alpha[k]) == pytest.approx(view.alpha[y, x] / 255)


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        (dict(method="nerf"), ConfigError, "method='nerf' is none of grid, nerfacto"),
        (dict(settings=None, method="nerfacto"), MissingDependencyError, r"pip install 'dense3d\[nerf\]'"),
        (dict(resolution=1), ConfigError, "resolution=1"),
        (dict(boxes="none.npy"), DataError, "none.npy does not exist"),
        (dict(resume=True), CheckpointError, "there is no fit to resume"),
        (dict(box="points"), DataError, "'points' needs points of structure from motion"),
        (dict(hold_out=1), DataError, "too few to hold one of 1 out"),
        (dict(delta=-1.0), ConfigError, "delta=-1.0"),
    ],
)
def test_faults_are_named(scene: Path, tmp_path: Path, monkeypatch, options, error, told) -> None:
    import importlib

    load = importlib.import_module

    def import_module(name: str, *rest):
        if name.startswith("nerfstudio"):
            raise ModuleNotFoundError(name=name)
        return load(name, *rest)

    monkeypatch.setattr(importlib, "import_module", import_module)
    with pytest.raises(error, match=told):
        fit(scene, tmp_path / "out", **options)


def test_faults_of_files_are_named(scene: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a grid already"):
        fit(tmp_path / "grid.npz", tmp_path / "out")
    content = json.loads((scene / "transforms.json").read_text())
    for change, told in (
        (lambda f: f.update(file_path="gone.png"), None),
        (lambda f: f["transform_matrix"].__setitem__(0, [2.0, 0, 0, 0]), "no rigid motion|mirrors"),
        (lambda f: f["transform_matrix"][0].__setitem__(3, float("nan")), None),
    ):
        changed = json.loads(json.dumps(content))
        change(changed["frames"][2])
        (scene / "changed.json").write_text(json.dumps(changed))
        quick = GridSettings(steps=1, rays=8, resolution=8)
        if told is not None:
            with pytest.raises(DataError, match=told):
                fit(scene / "changed.json", tmp_path / "out", quick)
            continue
        report = fit(
            scene / "changed.json", tmp_path / str(change.__code__.co_firstlineno), quick, resolution=4
        )
        assert len(report.left_out) == 1 and (
            "does not exist" in report.left_out[0] or "lost" in report.left_out[0]
        )
    content["camera_model"] = "EQUIRECTANGULAR"
    (scene / "changed.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"EQUIRECTANGULAR.* is none of PINHOLE"):
        fit(scene / "changed.json", tmp_path / "out")


@pytest.mark.parametrize(
    "settings",
    [
        dict(steps=0),
        dict(resolution=4),
        dict(background="grey"),
        dict(seed=-1),
        dict(color_lr=0),
        dict(shell=np.inf),
    ],
)
def test_settings_out_of_range_are_named(settings: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        GridSettings(**settings)


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    fitter = GridFitter(cubes.cube_views(3), CUBE, QUICK)
    fitter.field.values[...] = torch.nan
    fitter.field.values[..., 3] = 1.0
    with pytest.raises(TrainingError, match="the loss of step 1 is nan"):
        fitter.fit_one()
