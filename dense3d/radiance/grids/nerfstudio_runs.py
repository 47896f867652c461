"""Reading a run of nerfstudio: its field, its frame and its photographs, without running what it pickled.

``config.yml`` holds pickled Python objects, and nerfstudio's own loader builds whatever they name. Here they
are read as plain values, the field is built from these, and the checkpoint is loaded strictly.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from dense3d.engine.checkpoint import load_checkpoint
from dense3d.errors import CheckpointError, DataError
from dense3d.files import is_file
from dense3d.optional import require
from dense3d.radiance.grids.nerfstudio_source import PURPOSE, NerfstudioSource

KNOWN_VERSION = "1.1.5"
MODEL = "nerfstudio.models.nerfacto.NerfactoModelConfig"
PREFIX = "_model.field."
TYPE = "!"  # key of the class that a mapping was pickled from
# Of the field's constructor -> of the model's settings.
ARGUMENTS = {
    "hidden_dim": "hidden_dim",
    "num_levels": "num_levels",
    "max_res": "max_res",
    "base_res": "base_res",
    "features_per_level": "features_per_level",
    "log2_hashmap_size": "log2_hashmap_size",
    "hidden_dim_color": "hidden_dim_color",
    "hidden_dim_transient": "hidden_dim_transient",
    "use_pred_normals": "predict_normals",
    "use_average_appearance_embedding": "use_average_appearance_embedding",
    "average_init_density": "average_init_density",
}


@dataclass(frozen=True)
class NerfstudioRun:
    """What is known of a run.

    Attributes:
        source: its field.
        data: the photographs that it was trained on.
        method: as nerfstudio calls it.
        step: of the checkpoint.
    """

    source: NerfstudioSource
    data: Path
    method: str
    step: int


def run_config(path: Path) -> Path | None:
    """The ``config.yml`` that a path names, or None where it names no run of nerfstudio."""
    if path.name == "config.yml" or (path.suffix in (".yml", ".yaml") and is_file(path)):
        return path
    return path / "config.yml" if is_file(path / "config.yml") else None


def read_run(path: Path, data: str | Path | None = None) -> NerfstudioRun:
    """The field of a run.

    Args:
        path: its ``config.yml``.
        data: its photographs, where they have moved.

    Raises:
        DataError: a file is missing or damaged.
        CheckpointError: its method has another field, or it is of another version of nerfstudio.
        MissingDependencyError: nerfstudio is not installed.
    """
    config = _config(path)
    pipeline = _part(config, "pipeline", path)
    model = _part(pipeline, "model", path)
    method = str(config.get("method_name", "unknown"))
    if model.get(TYPE) != MODEL:
        raise CheckpointError(
            f"{path}: the method {method!r} has the model {str(model.get(TYPE)).rpartition('.')[2]}, whose "
            "field is not nerfacto's: train nerfacto, or fit a grid to the photographs"
        )
    checkpoint = _checkpoint(path)
    state = load_checkpoint(checkpoint)
    field = _field(model, state, path, checkpoint)
    rotation, shift, scale = _frame(path, pipeline, data)
    step = int(state.get("step", -1))
    found = Path(data) if data is not None else _data(pipeline, path)
    return NerfstudioRun(NerfstudioSource(field, rotation, shift, scale), found, method, step)


def _config(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_PlainLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{path} cannot be read as the config.yml of a run of nerfstudio ({reason})"
        ) from None
    if not isinstance(content, dict) or "pipeline" not in content:
        raise DataError(f"{path} is no config.yml of a run of nerfstudio: it has no pipeline")
    return content


class _PlainLoader(yaml.SafeLoader):
    """Pickled objects become mappings, lists and words; nothing is imported or called."""


def _plain(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {**loader.construct_mapping(node, deep=True), TYPE: suffix.partition(":")[2]}
    if isinstance(node, yaml.SequenceNode):
        parts = loader.construct_sequence(node, deep=True)
        is_path = suffix.startswith("object/apply:pathlib")
        return str(Path(*map(str, parts))) if is_path and parts else parts
    return suffix.partition(":")[2] or loader.construct_scalar(node)


_PlainLoader.add_multi_constructor("tag:yaml.org,2002:python/", _plain)


def _part(config: dict[str, Any], name: str, path: Path) -> dict[str, Any]:
    part = config.get(name)
    if not isinstance(part, dict):
        raise DataError(f"{path} has no settings {name!r}: it is no run of nerfstudio {KNOWN_VERSION}")
    return part


def _checkpoint(path: Path) -> Path:
    folder = path.parent / "nerfstudio_models"
    found = sorted(folder.glob("step-*.ckpt"))
    if not found:
        raise DataError(
            f"{folder} holds no step-*.ckpt: {path} is of a run that saved nothing; train it longer"
        )
    return found[-1]


def _field(model: dict[str, Any], state: dict[str, Any], path: Path, checkpoint: Path) -> Any:
    fields = require("nerfstudio.fields.nerfacto_field", PURPOSE)
    distortions = require("nerfstudio.field_components.spatial_distortions", PURPOSE)
    lacking = [name for name in (*ARGUMENTS.values(), "disable_scene_contraction") if name not in model]
    if lacking:
        raise CheckpointError(
            f"{path} is of another version of nerfstudio than {KNOWN_VERSION}: its model has no "
            f"{lacking[0]!r}; train it anew with nerfstudio {KNOWN_VERSION}"
        )
    weights = state.get("pipeline") if isinstance(state, dict) else None
    own = {k[len(PREFIX) :]: v for k, v in (weights or {}).items() if k.startswith(PREFIX)}
    if "aabb" not in own:
        raise CheckpointError(f"{checkpoint} has no weights {PREFIX}*: it is no checkpoint of nerfacto")
    appearance = own.get("embedding_appearance.embedding.weight")
    contraction = (
        None if model["disable_scene_contraction"] else distortions.SceneContraction(order=float("inf"))
    )
    field = fields.NerfactoField(
        own["aabb"],
        num_images=1 if appearance is None else len(appearance),
        appearance_embedding_dim=0 if appearance is None else appearance.shape[1],
        spatial_distortion=contraction,
        implementation="torch",
        **{argument: model[name] for argument, name in ARGUMENTS.items()},
    )
    return loaded(field, own, checkpoint)


def loaded(field: torch.nn.Module, weights: dict[str, torch.Tensor], checkpoint: Path) -> torch.nn.Module:
    """A field with weights, all of which have to fit.

    Raises:
        CheckpointError: names what differs, and why it may.
    """
    own = field.state_dict()
    other = sorted(
        name
        for name in {**own, **weights}
        if name not in own or name not in weights or own[name].shape != weights[name].shape
    )
    if other:
        if any("tcnn" in name or name.endswith("params") for name in weights):
            why = "it was trained with tiny-cuda-nn, whose tables nobody else reads; train with torch's"
        else:
            why = (
                f"it is of another version of nerfstudio than {KNOWN_VERSION}, or its config.yml was changed"
            )
        raise CheckpointError(
            f"{checkpoint}: {len(other)} weights do not fit the field, as {other[0]}: {why}"
        )
    field.load_state_dict(weights)
    return field


def _frame(
    path: Path, pipeline: dict[str, Any], data: str | Path | None
) -> tuple[np.ndarray, np.ndarray, float]:
    """Rotation, shift and scale from the world of the photographs' files to the field.

    ``dataparser_transforms.json`` leads from where the data were before ns-process-data turned them, if the
    file of the data says that it did (``applied_transform``); that turn is taken back.
    """
    file = path.parent / "dataparser_transforms.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        transform = np.array(content["transform"], np.float64).reshape(3, 4)
        scale = float(content["scale"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{file} cannot be read ({type(error).__name__}): the frame of the run is not known without it; "
            "restore it"
        ) from None
    if not np.isfinite(transform).all() or not 0 < scale < np.inf:
        raise DataError(f"{file}: its transform and scale have to be finite, and the scale positive")
    folder = Path(data) if data is not None else _data(pipeline, path)
    applied, applied_scale = _applied(folder)
    matrix = transform @ np.linalg.inv(applied)
    return matrix[:, :3], matrix[:, 3], scale / applied_scale


def _applied(data: Path) -> tuple[np.ndarray, float]:
    file = data if data.suffix == ".json" else data / "transforms.json"
    applied, scale = np.eye(4), 1.0
    if is_file(file):
        try:
            content = json.loads(file.read_text(encoding="utf-8-sig"))
            applied[:3] = np.array(content.get("applied_transform", applied[:3]), np.float64).reshape(3, 4)
            scale = float(content.get("applied_scale", 1.0))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise DataError(
                f"{file}: its applied_transform cannot be read ({type(error).__name__})"
            ) from None
    return applied, scale


def _data(pipeline: dict[str, Any], path: Path) -> Path:
    manager = pipeline.get("datamanager") or {}
    parser = manager.get("dataparser") or {}
    found = parser.get("data") or manager.get("data")
    if not isinstance(found, str) or found in ("", "."):
        raise DataError(f"{path} does not say where its photographs are: name them with --data")
    place = Path(found)
    if not place.is_absolute() and not place.exists():
        place = path.parent / found
    if not place.exists():
        raise DataError(f"{path}: its photographs {found} are not there: name where they are with --data")
    return place
