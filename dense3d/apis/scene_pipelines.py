"""How scenes with photographs are prepared: a config's test pipeline, and the data set of a named folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from dense3d.apis.pipelines import inference_steps
from dense3d.errors import DataError

LOAD, VIEWS, PACK = "LoadPoints", "LoadSceneViews", "PackSceneInputs"


def takes_scenes(steps: Sequence[dict]) -> bool:
    """Whether a pipeline prepares clouds with the photographs that see them."""
    return any(_name(step) == PACK for step in steps)


def named_scenes(inputs: Any) -> list[Path]:
    """Folders, or files of cameras, that are named.

    Raises:
        DataError: something is no path, or is not there; or nothing is named.
    """
    items = [inputs] if isinstance(inputs, (str, Path)) else inputs
    if not isinstance(items, Iterable):
        raise DataError(f"a {type(inputs).__name__} names no scene: give folders of posed photographs")
    paths = []
    for item in items:
        if not isinstance(item, (str, Path)) or not Path(item).exists():
            raise DataError(
                f"{item} is no scene: give a folder of posed photographs with depth, a folder of such "
                "folders, or one in SUN RGB-D's layout"
            )
        paths.append(Path(item))
    if not paths:
        raise DataError("there is no input: give folders of posed photographs with depth")
    return paths


def dataset_of(cfg: Config, path: Path) -> dict[str, Any]:
    """The config of a data set that reads the scenes of a folder as the model was tested.

    A folder of posed photographs, or of such folders, gives clouds of its depth maps; one in SUN RGB-D's
    layout its own clouds; any other is taken for one in the layout of the config's own data set.
    """
    from dense3d.datasets.posed_rgb.layouts import is_scene
    from dense3d.datasets.scene_views.sunrgbd import is_sunrgbd

    own = dict((cfg.get("test_dataloader") or cfg.val_dataloader)["dataset"])
    steps = [dict(step) for step in inference_steps(cfg)]
    views = next((step for step in steps if _name(step) == VIEWS), {})
    count = views.get("count") or own.get("num_views", 1)
    if is_scene(path) or (path.is_dir() and any(is_scene(p) for p in path.iterdir() if p.is_dir())):
        every = own.get("every", 1) if _name(own) == "PosedSceneViews" else 1
        gap = own.get("gap", 1)
        kind = dict(type="PosedSceneViews", every=every, num_views=count, gap=gap)
        return dict(**kind, data_root=str(path), test_mode=True, pipeline=_with_cloud(steps, "views"))
    if is_sunrgbd(path):
        given = own if _name(own) == "SunRgbdViews" else {}
        kind = dict(type="SunRgbdViews", split=given.get("split", "val"), version=given.get("version", "v1"))
        return dict(**kind, data_root=str(path), test_mode=True, pipeline=_with_cloud(steps, "scan"))
    return {**own, "data_root": str(path), "test_mode": True}


def _with_cloud(steps: list[dict], cloud: str) -> list[dict]:
    """The steps for clouds of depth maps, or of their own; all photographs of a record are read."""
    found = [{"type": LOAD}] if cloud == "scan" else []
    for step in steps:
        if _name(step) == LOAD:
            continue
        if _name(step) == VIEWS:
            step = {k: v for k, v in step.items() if k not in ("count", "shuffle", "crop")} | {"cloud": cloud}
        found.append(step)
    return found


def _name(step: dict) -> str:
    return str(step.get("type")).rpartition(".")[2]
