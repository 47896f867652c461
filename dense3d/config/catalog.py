"""The list of shipped configs with task, data set and published result, from names and files alone."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from dense3d.config.shipped import PREFIX, shipped_configs, shipped_folder
from dense3d.errors import ConfigError, did_you_mean

PUBLISHED = "published.json"  # in the folder of configs: name of a config -> metric -> value or values
# How the part of a name that is the data set begins -> what is shown; the first that fits counts.
DATASETS = {
    "synthetic": "synthetic",
    "nerf-mix": "Front3D, HM3D and Hypersim grids",
    "front3d": "Front3D-NeRF",
    "hypersim": "Hypersim grids",
    "hm3d": "HM3D grids",
    "shapenet55": "ShapeNet-55",
    "shapenetpart": "ShapeNetPart",
    "modelnet40": "ModelNet40",
    "scanobjectnn": "ScanObjectNN",
    "scannet200": "ScanNet200",
    "scannet": "ScanNet",
    "s3dis": "S3DIS",
    "sunrgbd": "SUN RGB-D",
    "coco-stuff164k": "COCO-Stuff 164k",
    "coco": "COCO",
    "ade20k": "ADE20K",
    "cityscapes": "Cityscapes",
    "kitti": "KITTI",
    "drivingstereo": "DrivingStereo",
    "sa-det-100k": "SA-Det-100k",
    "imagenet": "ImageNet",
    "cifar10": "CIFAR-10",
    "stereo-mix": "CREStereo, SceneFlow, ETH3D, Middlebury, Booster",
    "flow-mix": "Sintel, FlyingThings, FlyingChairs, TartanAir",
    "sceneflow": "SceneFlow",
    "middlebury": "Middlebury",
    "eth3d": "ETH3D",
    "spring": "Spring",
    "habitat": "Habitat",
    "cross-view": "pairs of views",
}
# Pattern of a name -> task; the first that fits counts.
TASKS = {
    "mae_*": "pre-training",
    "pimae_*": "pre-training",
    "gaussian2scene-*": "pre-training",
    "point-mae_*_shapenet55": "pre-training",
    "point-mae_pt-tiny_*": "pre-training",
    "point-mae-partseg_*": "part segmentation",
    "point-mae_*_shapenetpart": "part segmentation",
    "point-mae*": "classification of clouds",
    "nerf-mae-semantics_*": "voxel semantics",
    "nerf-mae-sr_*": "voxel super-resolution",
    "nerf-mae_*": "pre-training",
    "msm-features_*": "features of clouds",
    "msm-linear_*": "segmentation of clouds",
    "msm_*": "pre-training",
    "votenet*": "3D detection in rooms",
    "nerf-rpn*": "3D detection in radiance grids",
    "3detr*": "3D detection in rooms",
    "threedetr*": "3D detection in rooms",
    "ccnext_*": "stereo depth",
    "sgbm_*": "stereo depth",
    "croco-stereo*": "stereo depth",
    "croco-flow_*": "optical flow",
    "croco_*": "pre-training",
    "croco-v2_*": "pre-training",
    "*panoptic*": "panoptic segmentation",
    "kmax_*": "panoptic segmentation",
    "*-instance": "instance segmentation",
    "*mask-rcnn_*": "instance segmentation",
    "vidt-plus_*": "instance segmentation",
    "*kitti*": "monocular 3D detection",
    "*upernet_*": "semantic segmentation",
    "semantic-fpn_*": "semantic segmentation",
    "*_fcn_*": "semantic segmentation",
    "mask2former_*": "semantic segmentation",
    "*coco*": "detection",
    "*sa-det*": "detection",
    "compare-classification_*": "image classification",
    "compare-detection_*": "detection",
    "compare-segmentation_*": "semantic segmentation",
    "*_imagenet": "image classification",
    "*_cifar10": "image classification",
    "*-tiny_synthetic": "image classification",
}


@dataclass(frozen=True)
class ShippedConfig:
    """One config that comes with dense3d.

    Attributes:
        name: what commands take.
        base: what other configs inherit it by, ``"dense3d::FOLDER/NAME.py"``.
        task: such as ``"panoptic segmentation"``.
        dataset: such as ``"COCO"``.
        published: metric -> result of the paper or its official repository, in percent; a list is for
            KITTI's easy, moderate and hard; empty where the config reproduces no published result.
        file: where it lies.
        summary: first line of the config's docstring.
    """

    name: str
    base: str
    task: str
    dataset: str
    published: dict[str, float | list[float]]
    summary: str
    file: str

    @property
    def result(self) -> str:
        """``published`` as words: ``"box AP 54.0, mask AP 46.9"``."""
        return ", ".join(f"{metric} {_figures(value)}" for metric, value in self.published.items())


def list_configs(words: list[str] | tuple[str, ...] = ()) -> list[ShippedConfig]:
    """The shipped configs in which every one of ``words`` occurs, by task and data set.

    Raises:
        ConfigError: there is none; words of names that resemble the unknown ones are given.
    """
    published = json.loads((shipped_folder() / PUBLISHED).read_text())
    configs = [_described(key, path, published) for key, path in shipped_configs().items()]
    found = [config for config in configs if all(word.lower() in _text(config) for word in words)]
    if not found:
        raise ConfigError(f"no config has {' and '.join(map(repr, words))}{_hint(words, configs)}")
    return sorted(found, key=lambda config: (config.task, config.dataset))


def table(configs: list[ShippedConfig]) -> str:
    """Names and published results below headings of task and data set."""
    width = max(len(config.name) for config in configs)
    lines, heading = [], ""
    for config in configs:
        title = f"{config.task}, {config.dataset}"
        if title != heading:
            lines += ["", title] if heading else [title]
            heading = title
        lines.append(f"  {config.name:{width}}  {config.result}".rstrip())
    return "\n".join(lines)


def task_of(name: str) -> str:
    """The task of a config by its name, or ``""``."""
    return next((task for pattern, task in TASKS.items() if fnmatchcase(name, pattern)), "")


def dataset_of(name: str) -> str:
    """The data set of a config by its name, or ``""``.

    Example:
        >>> dataset_of("dino_r50_8xb2-12e_coco"), dataset_of("mask2former_r18_overfit_coco-panoptic-sample")
        ('COCO', 'COCO sample')
    """
    for part in name.split("_")[1:]:
        for start, shown in DATASETS.items():
            if part.startswith(start):
                return f"{shown} sample" if part.endswith("-sample") else shown
    return ""


def _described(key: str, path: Path, published: dict[str, dict]) -> ShippedConfig:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return ShippedConfig(
        name=path.stem,
        base=f"{PREFIX}{key}.py",
        task=task_of(path.stem),
        dataset=dataset_of(path.stem),
        published=published.get(path.stem, {}),
        summary=docstring.partition("\n")[0],
        file=str(path),
    )


def _text(config: ShippedConfig) -> str:
    return f"{config.base} {config.task} {config.dataset} {config.summary}".lower()


def _hint(words: list[str] | tuple[str, ...], configs: list[ShippedConfig]) -> str:
    """The nearest words for those that occur nowhere."""
    known = {part for config in configs for part in _text(config).replace("/", " ").replace("_", " ").split()}
    unknown = [word for word in words if not any(word.lower() in part for part in known)]
    return did_you_mean(unknown[0], sorted(known)) if unknown else " at once"


def _figures(value: float | list[float]) -> str:
    return " / ".join(map(str, value)) if isinstance(value, list) else str(value)
