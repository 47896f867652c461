"""nerfstudio as peer and as source: its renderer, its frames, its runs, a short training of its field."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from radiance import cubes, tiny_scenes

from dense3d.apis import extract_grid
from dense3d.datasets.posed_rgb import read_scene
from dense3d.errors import CheckpointError, ConfigError, DataError
from dense3d.ops import render_grid
from dense3d.ops.volume_rendering_rays import sample_volume
from dense3d.optional import require
from dense3d.radiance.grids import GridSettings
from dense3d.radiance.grids.nerfacto_fitting import NerfactoFitter
from dense3d.radiance.grids.nerfacto_settings import NerfactoSettings
from dense3d.radiance.grids.nerfstudio_runs import read_run, run_config
from dense3d.structures.radiance_grid import RadianceGrid

SIZES = dict(hidden_dim=8, hidden_dim_color=8, num_levels=2, max_res=32, base_res=8, log2_hashmap_size=8)
APPLIED = [[0.0, 1, 0, 0.5], [1, 0, 0, -0.25], [0, 0, -1, 2]]


@pytest.fixture(scope="module")
def nerfstudio() -> SimpleNamespace:
    """Its modules, where extra ``nerf`` is installed."""
    pytest.importorskip("nerfstudio")
    names = {
        "rays": "cameras.rays",
        "renderers": "model_components.renderers",
        "fields": "fields.nerfacto_field",
        "distortions": "field_components.spatial_distortions",
        "parser": "data.dataparsers.nerfstudio_dataparser",
    }
    return SimpleNamespace(**{key: require(f"nerfstudio.{name}") for key, name in names.items()})


def test_pictures_of_grids_are_those_of_nerfstudios_renderer(nerfstudio):
    random = torch.Generator().manual_seed(0)
    grid = torch.rand(9, 7, 8, 4, generator=random)
    grid[..., 3] *= 2
    place = dict(origin=torch.zeros(3), spacing=torch.ones(3))
    targets = torch.rand(50, 3, generator=random) * torch.tensor([9.0, 7, 8])
    origins = torch.tensor([-6.0, 2, 3]).expand(50, 3)
    directions = torch.nn.functional.normalize(targets - origins, dim=-1)
    sides = torch.stack([-origins, torch.tensor([9.0, 7, 8]) - origins]) / directions
    near, far = sides.amin(0).amax(-1), sides.amax(0).amin(-1)
    found = render_grid(grid, origins, directions, **place, step=0.25, background=torch.ones(3))
    for backend in (None, "reference"):
        found = render_grid(
            grid, origins, directions, **place, step=0.25, background=torch.ones(3), backend=backend
        )
        for ray in range(50):
            count = math.ceil((float(far[ray]) - float(near[ray])) / 0.25 - 1e-9)
            edges = torch.linspace(float(near[ray]), float(far[ray]), count + 1)
            samples = nerfstudio.rays.RaySamples(
                frustums=nerfstudio.rays.Frustums(
                    origins=origins[ray].expand(1, count, 3),
                    directions=directions[ray].expand(1, count, 3),
                    starts=edges[None, :-1, None],
                    ends=edges[None, 1:, None],
                    pixel_area=torch.ones(1, count, 1),
                ),
                deltas=edges.diff()[None, :, None],
            )
            values = sample_volume(
                grid.movedim(-1, 0), samples.frustums.get_positions(), place["origin"], place["spacing"]
            )
            weights = samples.get_weights(values[..., 3:])
            color = nerfstudio.renderers.RGBRenderer.combine_rgb(values[..., :3], weights, torch.ones(3))
            opacity = nerfstudio.renderers.AccumulationRenderer()(weights)
            depth = nerfstudio.renderers.DepthRenderer(method="expected")(weights, samples)
            torch.testing.assert_close(found.values[ray], color[0], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(found.opacity[ray], opacity[0, 0], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(found.depth[ray], depth[0, 0], rtol=1e-4, atol=1e-4)


def write_run(nerfstudio, root: Path, data: Path, **changes) -> Path:
    """What ``ns-train nerfacto`` leaves: configuration, frame and weights of a field that was not trained."""
    parser = nerfstudio.parser.NerfstudioDataParserConfig(
        data=data, downscale_factor=1, eval_mode="all"
    ).setup()
    outputs = parser.get_dataparser_outputs("train")
    outputs.save_dataparser_transform(root / "dataparser_transforms.json")
    torch.manual_seed(0)
    field = nerfstudio.fields.NerfactoField(
        outputs.scene_box.aabb,
        num_images=12,
        use_average_appearance_embedding=True,
        spatial_distortion=nerfstudio.distortions.SceneContraction(order=math.inf),
        average_init_density=0.5,
        implementation="torch",
        **SIZES,
    )
    weights = {f"_model.field.{name}": value for name, value in field.state_dict().items()}
    (root / "nerfstudio_models").mkdir()
    torch.save({"step": 7, "pipeline": weights}, root / "nerfstudio_models/step-000000007.ckpt")
    model = {
        "features_per_level": 2,
        "hidden_dim_transient": 64,
        "predict_normals": False,
        "use_average_appearance_embedding": True,
        "average_init_density": 0.5,
        "disable_scene_contraction": False,
        **SIZES,
        **changes,
    }
    lines = "\n".join(f"    {name}: {json.dumps(value)}" for name, value in model.items())
    (root / "config.yml").write_text(
        f"""!!python/object:nerfstudio.engine.trainer.TrainerConfig
_target: &id001 !!python/name:nerfstudio.engine.trainer.Trainer ''
method_name: nerfacto
relative_model_dir: !!python/object/apply:pathlib.PosixPath
- nerfstudio_models
pipeline: !!python/object:nerfstudio.pipelines.base_pipeline.VanillaPipelineConfig
  datamanager: !!python/object:nerfstudio.data.datamanagers.parallel_datamanager.ParallelDataManagerConfig
    data: !!python/object/apply:pathlib.PosixPath {json.dumps(["/", *data.parts[1:]])}
    dataparser: !!python/object:nerfstudio.data.dataparsers.nerfstudio_dataparser.NerfstudioDataParserConfig
      data: !!python/object/apply:pathlib.PosixPath []
  model: !!python/object:nerfstudio.models.nerfacto.NerfactoModelConfig
    _target: !!python/name:nerfstudio.models.nerfacto.NerfactoModel ''
    loss_coefficients: !!python/object/apply:builtins.dict
    - {{rgb: 1.0}}
    num_proposal_samples_per_ray: !!python/tuple [256, 96]
{lines}
"""
    )
    return outputs, field


@pytest.fixture(scope="module")
def run(nerfstudio, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    data = tmp_path_factory.mktemp("data") / "s"
    views = cubes.cube_views(background=90)
    tiny_scenes.write_scene(data, views, applied_transform=APPLIED, applied_scale=2.0)
    root = tmp_path_factory.mktemp("run")
    outputs, field = write_run(nerfstudio, root, data)
    return SimpleNamespace(root=root, data=data, outputs=outputs, field=field)


def test_a_run_is_asked_in_the_world_of_its_photographs(run) -> None:
    """nerfstudio turned, centred and scaled the cameras, after its data had been turned before."""
    read = read_run(run_config(run.root))
    assert (read.method, read.step, read.data) == ("nerfacto", 7, run.data)
    places = np.array([frame.camera.position for frame in read_scene(run.data).frames])
    theirs = run.outputs.cameras.camera_to_worlds[:, :, 3]
    torch.testing.assert_close(
        read.source.placed(torch.from_numpy(places)).float(), theirs, atol=1e-5, rtol=0
    )
    points = torch.from_numpy(cubes.CENTRE + np.random.default_rng(0).uniform(-1, 1, (20, 3)))
    field = run.field.eval()
    expected = field.density_fn(read.source.placed(points).float())[:, 0]
    torch.testing.assert_close(read.source.density(points).float(), expected * read.source.scale)
    directions = torch.tensor([[1.0, 0, 0], [0, 0.6, 0.8]])
    one, two = read.source.colors(points, directions)
    assert one.shape == (20, 3) and not torch.equal(one, two)


def test_a_grid_is_taken_from_a_run(run, tmp_path: Path) -> None:
    box = [*(cubes.CENTRE - 1), *(cubes.CENTRE + 1)]
    report = extract_grid(
        run.root, tmp_path / "out", box=box, resolution=6, check_poses=False, tell=lambda _: None, min_views=0
    )
    grid = RadianceGrid.load(report.file)
    assert grid.density_kind == "raw_exp" and grid.delta == pytest.approx(0.4) and not report.scores.rows
    source = read_run(run.root / "config.yml").source
    places = torch.from_numpy(grid.sample_positions().reshape(-1, 3))
    np.testing.assert_allclose(np.exp(grid.density).reshape(-1), source.density(places), rtol=1e-4)
    np.testing.assert_allclose(grid.bbox_min, box[:3])
    with pytest.raises(ConfigError, match="of a field that is trained; leave the method out"):
        extract_grid(run.root / "config.yml", tmp_path / "o", method="nerfacto")
    with pytest.raises(ConfigError, match=r"settings of a fit: .* nothing is fitted; leave it out"):
        extract_grid(run.root, tmp_path / "o", settings=GridSettings(steps=9))
    with pytest.raises(ConfigError, match="data is of a run of nerfstudio"):
        extract_grid(run.data, tmp_path / "o", data=run.data)


def test_runs_that_cannot_be_read_are_named(nerfstudio, run, tmp_path: Path) -> None:
    def changed(old: str, new: str) -> Path:
        text = (run.root / "config.yml").read_text()
        assert old in text
        (run.root / "other.yml").write_text(text.replace(old, new))
        return run.root / "other.yml"

    for old, new, told in (
        (
            "nerfacto.NerfactoModel '",
            "splatfacto.SplatfactoModel '",
            "has no field: give the photographs",
        ),
        ("average_init_density", "average_density", "another version of nerfstudio than 1.1.5"),
        (
            "hidden_dim: 8",
            "hidden_dim: 16",
            r"\d+ weights do not fit the field, as mlp_base.*, mlp_",
        ),
    ):
        with pytest.raises(CheckpointError, match=told):
            read_run(changed(old, new))
    with pytest.raises(DataError, match=r"photographs .* are not there: name where they are with --data"):
        read_run(changed(json.dumps(run.data.parts[-1]), '"moved"'))
    assert read_run(run.root / "other.yml", run.data).data == run.data
    with pytest.raises(DataError, match="cannot be read as the config"):
        read_run(changed("pipeline: !!python", "pipeline: [!!python"))
    (tmp_path / "config.yml").write_text("a: 1")
    with pytest.raises(DataError, match="it has no pipeline"):
        read_run(tmp_path / "config.yml")
    (tmp_path / "config.yml").write_text((run.root / "config.yml").read_text())
    with pytest.raises(DataError, match=r"holds no step-\*\.ckpt"):
        read_run(tmp_path / "config.yml")


def test_nothing_that_a_config_names_is_run(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text(
        f"!!python/object/apply:pathlib.Path.touch\n- {tmp_path / 'touched'}\n"
    )
    with pytest.raises(yaml.YAMLError):
        yaml.safe_load((tmp_path / "config.yml").read_text())
    with pytest.raises(DataError, match="it has no pipeline"):
        read_run(tmp_path / "config.yml")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("shell", [0.0, 0.5])
def test_nerfacto_learns_and_goes_on_bit_for_bit(nerfstudio, shell: float) -> None:
    views = cubes.cube_views(background=None if shell == 0 else 90)
    settings = NerfactoSettings(
        **dict(steps=40, rays=96, levels=4, table=10, finest=64, hidden=16, proposals=(12, 8), samples=8),
        shell=shell,
        background="random" if shell == 0 else "black",
    )
    box = np.stack([cubes.CENTRE - 1, cubes.CENTRE + 1])
    fitter, losses = NerfactoFitter(views, box, settings), []
    while not fitter.is_done:
        if fitter.step == 33:
            state = torch.load(_saved(fitter.state()), weights_only=True)
        losses.append(fitter.fit_one()[0])
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:10])
    resumed = NerfactoFitter.resumed(views, settings, state)
    assert [resumed.fit_one()[0] for _ in range(7)] == losses[33:]
    image = resumed.picture(views[0], resumed.background())
    assert torch.equal(image, fitter.picture(views[0], fitter.background())) and image.shape == (32, 40, 3)
    assert (fitter.source.density(torch.from_numpy(cubes.CENTRE)[None]) > 0).all()


def _saved(state: dict):
    import io

    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return file
