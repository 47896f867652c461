"""Fields of nerfstudio's methods on a grid: as they are when asked directly, in the photographs' world."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch
from radiance import cubes, tiny_scenes

from dense3d.apis import extract_grid
from dense3d.datasets.posed_rgb import read_scene
from dense3d.errors import CheckpointError
from dense3d.optional import require
from dense3d.radiance.grids.nerfstudio_fields import METHODS
from dense3d.radiance.grids.nerfstudio_runs import read_run
from dense3d.structures.radiance_grid import RadianceGrid

APPLIED = np.array([[0.0, 1, 0, 0.5], [1, 0, 0, -0.25], [0, 0, -1, 2]])
TURNED = np.array([[0.6, -0.8, 0, 0.3], [0.8, 0.6, 0, -0.2], [0, 0, 1, 0.1]])
STAYED = np.eye(4)[:3]
SCALE = 0.25
BOX = torch.tensor([[-1.5, -1.5, -1.5], [1.5, 1.5, 1.5]])
HASH = dict(max_res=32, log2_hashmap_size=8)
SIZES = dict(hidden_dim=8, hidden_dim_color=8, num_levels=2, base_res=8, **HASH)
NERFACTO = {
    "features_per_level": 2,
    "hidden_dim_transient": 64,
    "predict_normals": False,
    "use_average_appearance_embedding": True,
    "average_init_density": 0.01,
    "disable_scene_contraction": False,
    **SIZES,
}


@pytest.fixture(scope="module")
def nerfstudio() -> SimpleNamespace:
    """Its modules, where extra ``nerf`` is installed."""
    pytest.importorskip("nerfstudio")
    names = {
        "rays": "cameras.rays",
        "nerfacto": "fields.nerfacto_field",
        "vanilla": "fields.vanilla_nerf_field",
        "tensorf": "fields.tensorf_field",
        "encodings": "field_components.encodings",
        "heads": "field_components.field_heads",
        "distortions": "field_components.spatial_distortions",
    }
    return SimpleNamespace(**{key: require(f"nerfstudio.{name}") for key, name in names.items()})


def nerfacto(ns: SimpleNamespace) -> torch.nn.Module:
    return ns.nerfacto.NerfactoField(
        BOX,
        num_images=12,
        use_average_appearance_embedding=True,
        spatial_distortion=ns.distortions.SceneContraction(order=math.inf),
        average_init_density=0.01,
        implementation="torch",
        **SIZES,
    )


def instant_ngp(ns: SimpleNamespace) -> torch.nn.Module:
    contraction = ns.distortions.SceneContraction(order=math.inf)
    return ns.nerfacto.NerfactoField(
        BOX, num_images=12, spatial_distortion=contraction, implementation="torch", **HASH
    )


def bounded_ngp(ns: SimpleNamespace) -> torch.nn.Module:
    """What use_appearance_embedding says of nerfstudio's model is that there is none."""
    return ns.nerfacto.NerfactoField(
        BOX, num_images=12, appearance_embedding_dim=0, implementation="torch", **HASH
    )


def vanilla(ns: SimpleNamespace) -> torch.nn.Module:
    place = ns.encodings.NeRFEncoding(3, 10, min_freq_exp=0.0, max_freq_exp=8.0, include_input=True)
    direction = ns.encodings.NeRFEncoding(3, 4, min_freq_exp=0.0, max_freq_exp=4.0, include_input=True)
    return ns.vanilla.NeRFField(position_encoding=place, direction_encoding=direction)


def tensorf(kind: str) -> Callable[[SimpleNamespace], torch.nn.Module]:
    def build(ns: SimpleNamespace) -> torch.nn.Module:
        encoding = {
            "vm": ns.encodings.TensorVMEncoding,
            "cp": ns.encodings.TensorCPEncoding,
            "triplane": ns.encodings.TriplaneEncoding,
        }[kind]
        return ns.tensorf.TensoRFField(
            BOX,
            feature_encoding=ns.encodings.NeRFEncoding(5, 2, min_freq_exp=0, max_freq_exp=2),
            direction_encoding=ns.encodings.NeRFEncoding(3, 2, min_freq_exp=0, max_freq_exp=2),
            density_encoding=encoding(resolution=6, num_components=2),
            color_encoding=encoding(resolution=6, num_components=3),
            appearance_dim=5,
        )

    return build


class Case(NamedTuple):
    """A method: its model, what it reads its data with, its field, and what its configuration says."""

    method: str
    model: str
    parser: str
    build: Callable[[SimpleNamespace], torch.nn.Module]
    settings: dict
    prefix: str = "_model.field."


def of_tensorf(kind: str) -> Case:
    settings = {"appearance_dim": 5, "num_den_components": 2, "num_color_components": 3, "init_resolution": 4}
    return Case(
        "tensorf",
        "tensorf.TensoRFModel",
        "blender_dataparser.BlenderDataParserConfig",
        tensorf(kind),
        {"tensorf_encoding": kind, **settings},
    )


NERFSTUDIO = "nerfstudio_dataparser.NerfstudioDataParserConfig"
NGP_SETTINGS = {"use_appearance_embedding": False, "disable_scene_contraction": False, **HASH}
CASES = {
    "nerfacto": Case("nerfacto", "nerfacto.NerfactoModel", NERFSTUDIO, nerfacto, NERFACTO),
    "depth-nerfacto": Case(
        "depth-nerfacto",
        "depth_nerfacto.DepthNerfactoModel",
        NERFSTUDIO,
        nerfacto,
        {**NERFACTO, "depth_sigma": 0.01},
    ),
    "instant-ngp": Case("instant-ngp", "instant_ngp.NGPModel", NERFSTUDIO, instant_ngp, NGP_SETTINGS),
    "instant-ngp-bounded": Case(
        "instant-ngp-bounded",
        "instant_ngp.NGPModel",
        "instant_ngp_dataparser.InstantNGPDataParserConfig",
        bounded_ngp,
        {**NGP_SETTINGS, "use_appearance_embedding": True, "disable_scene_contraction": True},
    ),
    "vanilla-nerf": Case(
        "vanilla-nerf",
        "vanilla_nerf.NeRFModel",
        NERFSTUDIO,
        vanilla,
        {"enable_temporal_distortion": False},
        "_model.field_fine.",
    ),
    **{f"tensorf-{kind}": of_tensorf(kind) for kind in ("vm", "cp", "triplane")},
}


def write_blender(root: Path) -> Path:
    views = cubes.cube_views(background=90)
    camera = views[0].camera
    frames = []
    (root / "train").mkdir(parents=True)
    for view in views:
        cv2.imwrite(str(root / "train" / view.name), view.image[..., ::-1])
        pose = (view.camera.camera_to_world @ tiny_scenes.OPENGL).tolist()
        frames.append({"file_path": f"./train/{Path(view.name).stem}", "transform_matrix": pose})
    angle = 2 * math.atan(camera.width / 2 / camera.intrinsics[0, 0])
    (root / "transforms_train.json").write_text(json.dumps({"camera_angle_x": angle, "frames": frames}))
    return root


def write_run(root: Path, data: Path, case: Case, field: torch.nn.Module, transform: np.ndarray) -> Path:
    """What ``ns-train`` leaves; ``--data`` names the data, beside a reader's default."""
    root.mkdir(parents=True)
    (root / "dataparser_transforms.json").write_text(
        json.dumps({"transform": transform.tolist(), "scale": SCALE})
    )
    weights = {case.prefix + name: value for name, value in field.state_dict().items()}
    others = {"_model.device_indicator_param": torch.empty(0), "_model.field_coarse.bias": torch.zeros(2)}
    (root / "nerfstudio_models").mkdir()
    torch.save({"step": 9, "pipeline": {**weights, **others}}, root / "nerfstudio_models/step-000000009.ckpt")
    lines = "\n".join(f"    {name}: {json.dumps(value)}" for name, value in case.settings.items())
    (root / "config.yml").write_text(
        f"""!!python/object:nerfstudio.engine.trainer.TrainerConfig
_target: !!python/name:nerfstudio.engine.trainer.Trainer ''
method_name: {case.method}
pipeline: !!python/object:nerfstudio.pipelines.base_pipeline.VanillaPipelineConfig
  datamanager: !!python/object:nerfstudio.data.datamanagers.base_datamanager.VanillaDataManagerConfig
    collate_fn: &id003 !!python/name:nerfstudio.data.utils.nerfstudio_collate.nerfstudio_collate ''
    data: !!python/object/apply:pathlib.PosixPath {json.dumps(["/", *data.parts[1:]])}
    dataparser: !!python/object:nerfstudio.data.dataparsers.{case.parser}
      data: !!python/object/apply:pathlib.PosixPath
      - data
      - blender
      - lego
    eval_image_indices: !!python/tuple
    - 0
  model: !!python/object:nerfstudio.models.{case.model}Config
    _target: !!python/name:nerfstudio.models.{case.model} ''
    collider_params: !!python/object/apply:builtins.dict
    - {{far_plane: 6.0, near_plane: 2.0}}
{lines}
"""
    )
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("data")
    turned = tiny_scenes.write_scene(
        root / "turned", cubes.cube_views(background=90), applied_transform=APPLIED.tolist()
    )
    return {"turned": turned, "blender": write_blender(root / "blender")}


@pytest.fixture(params=CASES)
def made(request, nerfstudio, data, tmp_path: Path) -> SimpleNamespace:
    """A run of a method with random weights, and how its photographs' world leads into its field."""
    case = CASES[request.param]
    torch.manual_seed(0)
    field = case.build(nerfstudio)
    with torch.no_grad():
        for value in field.parameters():
            if value.requires_grad:
                value.normal_(std=0.7 if min(value.shape) < 9 else 0.15)
    photographs = data["blender" if "Blender" in case.parser else "turned"]
    is_turned = case.parser == NERFSTUDIO
    transform = TURNED if is_turned else STAYED
    before = np.linalg.inv(np.concatenate([APPLIED, [[0, 0, 0, 1]]])) if is_turned else np.eye(4)
    root = write_run(tmp_path / "run", photographs, case, field, transform)
    return SimpleNamespace(
        case=case, field=field.eval(), root=root, data=photographs, matrix=transform @ before
    )


@torch.no_grad()
def asked(ns: SimpleNamespace, made: SimpleNamespace, points: np.ndarray, direction: np.ndarray) -> tuple:
    """Extinction (N,) per world unit and colours (N, 3) that the field itself gives along a direction."""
    places = SCALE * (points @ made.matrix[:, :3].T + made.matrix[:, 3])
    origins = torch.from_numpy(places).float()[:, None]  # (N, 1, 3): rays of one sample
    nothing = torch.zeros(len(points), 1, 1)
    along = torch.from_numpy(made.matrix[:, :3] @ direction).float().expand_as(origins)
    frustums = ns.rays.Frustums(origins, along.contiguous(), nothing, nothing, nothing + 1)
    found = made.field(ns.rays.RaySamples(frustums=frustums, camera_indices=nothing.long()))
    names = ns.heads.FieldHeadNames
    return SCALE * found[names.DENSITY][:, 0, 0].double().numpy(), found[names.RGB][:, 0].numpy()


def test_a_grid_of_a_method_is_what_its_field_says(nerfstudio, made, tmp_path: Path) -> None:
    box = [*(cubes.CENTRE - 1), *(cubes.CENTRE + np.array([1, 0.8, 0.6]))]
    report = extract_grid(
        made.root,
        tmp_path / "out",
        box=box,
        resolution=6,
        check_poses=False,
        tell=lambda _: None,
        min_views=0,
    )
    grid = RadianceGrid.load(report.file)
    places = grid.sample_positions().reshape(-1, 3)
    axes = [frame.camera.camera_to_world[:3, 2] for frame in read_scene(made.data).frames]
    density, _ = asked(nerfstudio, made, places, axes[0])
    colors = np.mean([asked(nerfstudio, made, places, axis)[1] for axis in axes], axis=0)
    inside = (np.abs(SCALE * (places @ made.matrix[:, :3].T + made.matrix[:, 3])) <= 1.5).all(-1)
    if made.case.method in ("tensorf", "instant-ngp-bounded"):
        density = np.where(inside, density, 0)
    found = grid.density.reshape(-1)
    assert grid.density_kind == ("relu" if made.case.method in ("vanilla-nerf", "tensorf") else "raw_exp")
    found = found if grid.density_kind == "relu" else np.exp(found)
    solid = density > 0
    assert solid.sum() > 20 and density[solid].std() > 1e-3 * density[solid].mean()
    np.testing.assert_allclose(found, density, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(grid.rgb.reshape(-1, 3)[solid], colors[solid], atol=1e-4)
    assert colors[solid].std(axis=0).max() > 1e-3


def test_beyond_the_box_of_tensorf_nothing_is(nerfstudio, data, tmp_path: Path) -> None:
    """Sums of planes have values there that no ray has seen."""
    case = CASES["tensorf-triplane"]
    field = case.build(nerfstudio)
    with torch.no_grad():
        field.density_encoding.plane_coef.fill_(1)
    run = read_run(write_run(tmp_path / "run", data["blender"], case, field, STAYED) / "config.yml")
    places = torch.tensor([[0.0, 0, 0], [1.49, 0, 0], [1.51, 0, 0], [0, 0, -9]], dtype=torch.float64) / SCALE
    inside, edge, *outside = run.source.density(places).tolist()
    assert inside == pytest.approx(6 * SCALE) and edge == pytest.approx(6 * SCALE) and outside == [0, 0]


def test_folders_of_colmap_without_a_turn_have_nerfstudios(nerfstudio, tmp_path: Path) -> None:
    photographs = tiny_scenes.write_scene(tmp_path / "data", cubes.cube_views(background=90))
    case = CASES["vanilla-nerf"]
    root = write_run(tmp_path / "run", photographs, case, case.build(nerfstudio), TURNED)
    point = torch.tensor([[1.0, 2, 3]], dtype=torch.float64)
    without = read_run(root / "config.yml").source.placed(point)
    (photographs / "colmap/sparse/0").mkdir(parents=True)
    turned = read_run(root / "config.yml").source.placed(torch.tensor([[2.0, 1, -3]], dtype=torch.float64))
    torch.testing.assert_close(turned, without)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("vanilla_nerf.NeRFModel '", "mipnerf.MipNerfModel '", "densities of cones.*give the photographs"),
        ("vanilla_nerf.NeRFModel '", "splatfacto.SplatfactoModel '", "is made of Gaussians and has no field"),
        ("vanilla_nerf.NeRFModel '", "neus.NeuSModel '", "distances to a surface"),
        ("nerfstudio.models.vanilla_nerf.NeRFModel '", "other.Model '", "the model other.Model, whose field"),
        ("distortion: false", "distortion: true", "is of a scene that moves.*instant-ngp-bounded, vanilla-n"),
        ("enable_temporal", "enable_spatial", "another version of nerfstudio than 1.1.5.*enable_temporal"),
        ("vanilla_nerf.NeRFModel '", "tensorf.TensoRFModel '", "has no 'tensorf_encoding'"),
    ],
)
def test_other_methods_are_refused_by_name(nerfstudio, data, tmp_path: Path, old, new, told) -> None:
    case = CASES["vanilla-nerf"]
    root = write_run(tmp_path / "run", data["turned"], case, case.build(nerfstudio), TURNED)
    text = (root / "config.yml").read_text()
    assert old in text
    (root / "config.yml").write_text(text.replace(old, new))
    with pytest.raises(CheckpointError, match=told):
        read_run(root / "config.yml")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"tensorf_encoding": "tucker"}, "tensorf_encoding='tucker' is none of vm, cp, triplane"),
        (
            {"tensorf_encoding": "triplane"},
            "3 weights do not fit the field, as B.weight, color_encoding.line_coef, ",
        ),
        ({"num_den_components": 4}, "2 weights do not fit the field, as density_encoding.line_coef, density"),
        ({"appearance_dim": "many"}, "no field can be built from its model's settings"),
    ],
)
def test_settings_that_do_not_fit_the_weights_are_named(nerfstudio, data, tmp_path, change, told) -> None:
    case = CASES["tensorf-vm"]
    other = case._replace(settings={**case.settings, **change})
    root = write_run(tmp_path / "run", data["blender"], other, case.build(nerfstudio), STAYED)
    with pytest.raises(CheckpointError, match=told):
        read_run(root / "config.yml")


def test_weights_of_other_methods_are_refused(nerfstudio, data, tmp_path: Path) -> None:
    case = CASES["tensorf-vm"]
    field = CASES["vanilla-nerf"].build(nerfstudio)
    root = write_run(tmp_path / "a", data["blender"], case, field, STAYED)
    with pytest.raises(
        CheckpointError, match=r"no weights _model.field.density_encoding.line_coef: .*tensorf"
    ):
        read_run(root / "config.yml")
    other = case._replace(prefix="_model.else.")
    root = write_run(tmp_path / "b", data["blender"], other, field, STAYED)
    with pytest.raises(CheckpointError, match=r"no weights _model.field.\*: it is no checkpoint of tensorf"):
        read_run(root / "config.yml")
    case = CASES["instant-ngp"]
    tables = {"aabb": BOX, "mlp_base.tcnn_encoding.params": torch.zeros(8)}
    fused = SimpleNamespace(state_dict=lambda: tables)
    root = write_run(tmp_path / "c", data["turned"], case, fused, TURNED)
    with pytest.raises(
        CheckpointError, match=r"trained with tiny-cuda-nn.*where tiny-cuda-nn is not installed"
    ):
        read_run(root / "config.yml")


def test_each_method_of_the_table_is_tested() -> None:
    assert set(METHODS) == {case.model for case in CASES.values()}
