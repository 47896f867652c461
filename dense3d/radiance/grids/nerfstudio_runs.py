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
import yaml

from dense3d.engine.checkpoint import load_checkpoint
from dense3d.errors import DataError
from dense3d.files import is_file
from dense3d.radiance.grids.nerfstudio_fields import KNOWN_VERSION, built_field, method_of
from dense3d.radiance.grids.nerfstudio_source import NerfstudioSource

TYPE = "!"  # key of the class that a mapping was pickled from
# Readers that leave the poses as the file has them, whatever it says of a turn before.
AS_THEY_ARE = ("InstantNGPDataParserConfig", "BlenderDataParserConfig")
# What nerfstudio takes for the turn of folders with COLMAP's model whose file is too old to say it.
OLD_TURN = np.array([[0.0, 1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 0]])


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
    name = str(config.get("method_name", "unknown"))
    method = method_of(model, name, path)
    checkpoint = _checkpoint(path)
    state = load_checkpoint(checkpoint)
    field = built_field(method, model, state, path, checkpoint)
    rotation, shift, scale = _frame(path, pipeline, data)
    step = int(state.get("step", -1))
    found = Path(data) if data is not None else _data(pipeline, path)
    source = NerfstudioSource(field, rotation, shift, scale, method.density_kind)
    return NerfstudioRun(source, found, name, step)


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


def _frame(
    path: Path, pipeline: dict[str, Any], data: str | Path | None
) -> tuple[np.ndarray, np.ndarray, float]:
    """Rotation, shift and scale from the world of the photographs' files to the field.

    ``dataparser_transforms.json`` leads from where the data were before ns-process-data turned them, if the
    file of the data says that it did (``applied_transform``), and the reader heeded it; that turn is taken
    back.
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
    parser = (pipeline.get("datamanager") or {}).get("dataparser") or {}
    applied, applied_scale = _applied(folder, str(parser.get(TYPE)).rpartition(".")[2])
    matrix = transform @ np.linalg.inv(applied)
    return matrix[:, :3], matrix[:, 3], scale / applied_scale


def _applied(data: Path, parser: str) -> tuple[np.ndarray, float]:
    file = data if data.suffix == ".json" else data / "transforms.json"
    applied, scale = np.eye(4), 1.0
    if parser in AS_THEY_ARE:
        return applied, scale
    if parser == "NerfstudioDataParserConfig" and (data / "colmap/sparse/0").exists():
        applied[:3] = OLD_TURN
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
    found = manager.get("data") or parser.get("data")  # the first one is of ``--data``, and wins
    if not isinstance(found, str) or found in ("", "."):
        raise DataError(f"{path} does not say where its photographs are: name them with --data")
    place = Path(found)
    if not place.is_absolute() and not place.exists():
        place = path.parent / found
    if not place.exists():
        raise DataError(f"{path}: its photographs {found} are not there: name where they are with --data")
    return place
