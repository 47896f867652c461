"""Small variants of every family of heads: dense3d's, and those of mmdet and mmseg that configs use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

from mmengine.config import Config
from mmengine.model import BaseModel

from dense3d.config import load_config
from dense3d.errors import ConfigError
from dense3d.registry import MODELS
from tests.compatibility.batches import SIZE

CLASSES = 5
THINGS = 3  # of a panoptic head; labels 0, 1, 2
FOUR_STRIDES = (4, 8, 16, 32)
_PACKAGES = (
    "dense3d.detection2d.",
    "dense3d.detection3d.",
    "dense3d.segmentation.",
    "dense3d.stereo.ccnext.",
)
_OF_POINTS = (  # no maps of images
    "dense3d.detection3d.votenet",
    "dense3d.detection3d.threedetr",
    "dense3d.detection3d.nerf_rpn",
)
_WIDTH = 32

# Numbers in configs are made no larger than these.
_WIDTHS = {
    "embed_dims": _WIDTH,
    "in_channels": _WIDTH,
    "out_channels": _WIDTH,
    "feat_channels": _WIDTH,
    "conv_out_channels": _WIDTH,
    "channels": _WIDTH,
    "num_feats": _WIDTH // 2,
    "num_groups": 8,
}
_NUMBERS = {
    "fc_out_channels": 64,
    "feedforward_channels": 64,
    "num_classes": CLASSES,
    "num_queries": 20,
    "num_dn_queries": 6,
    "num_layers": 2,
    "num_cp": 1,
    "stacked_convs": 1,
    "num_shared_convs": 1,
    "num_convs": 1,
    "nms_pre": 50,
    "max_per_img": 20,
    "num": 32,
}
_POINTS_OF_LOSS = 64  # Mask2Former samples 12544


@dataclass(frozen=True)
class Head:
    """A family of heads.

    Attributes:
        config: from a backbone's config and the number of its maps to a small model's config.
        task: ``"detection"``, ``"instance"``, ``"panoptic"``, ``"semantic"``, ``"3d"`` or ``"stereo"``.
        strides: of the maps that it needs; None takes any.
        maps: number of maps that it needs; None takes any.
        tokens: its maps must have one stride, as a plain ViT's have.
        body: entries that the backbone's config must have, where the model has a body of its own that takes
            sizes and weights of one family alone.
        cut: it works between the backbone's stages, so each must follow from the map before it.
    """

    config: Callable[[dict, int], dict]
    task: str = "detection"
    strides: tuple[int, ...] | None = None
    maps: int | None = None
    tokens: bool = False
    body: dict | None = None
    cut: bool = False


def heads() -> dict[str, Head]:
    """Name -> head: those of mmdet and mmseg, then every model that dense3d registers for images.

    A class of dense3d's joins by its method ``tiny(backbone, maps)``, which gives the config of a small model
    on a backbone with that number of maps, for 5 classes, the first 3 of them things. With ``_base_`` in it,
    the rest is that of a config of mmdet, mmseg or dense3d, made small here. Its attribute ``tiny_needs`` has
    the other fields of :class:`Head` where they are not the usual ones.

    Raises:
        ConfigError: a registered model has no such method.
    """
    found = dict(_LIBRARIES)
    for name, registered in sorted(MODELS.import_all().items()):
        module = registered.__module__
        if (
            not module.startswith(_PACKAGES)
            or module.startswith(_OF_POINTS)
            or not isinstance(registered, type)
        ):
            continue
        if hasattr(registered, "tiny"):
            config = partial(_of_class, registered.tiny)
            found[name] = Head(config, **getattr(registered, "tiny_needs", {}))
        elif issubclass(registered, BaseModel):
            raise ConfigError(
                f"{name} in {registered.__module__} is in no table of compatibility: give the class a static "
                "method tiny(backbone, maps) with the config of a very small model"
            )
    return found


def _of_class(tiny: Callable[[dict, int], dict], backbone: dict, maps: int) -> dict:
    config = tiny(backbone, maps)
    base = config.pop("_base_", None)
    if base is None:
        return config if "data_preprocessor" in config else dict(config, data_preprocessor=_preprocessor())
    library, path = base.split("::")
    return _BASES[library](path, backbone, maps) | config


def library_model(library: str, path: str, narrow: bool = True) -> dict:
    """The model of a config that mmdet or mmseg ships, made small, its backbone to be replaced."""
    return dict(_small(_read(library, path), narrow), _scope_=library)


@cache
def _read(library: str, path: str) -> dict:
    """The model of a config, which many pairs share; not to be changed."""
    if library == "dense3d":
        return load_config(f"dense3d::{path}").model.to_dict()
    folder = Path(find_spec(library).origin).parent / ".mim" / "configs"
    return Config.fromfile(folder / path).model.to_dict()


def _small(node: object, narrow: bool = True) -> object:
    """Numbers of a config made small, those of channels too unless ``narrow`` is False."""
    if isinstance(node, Mapping):
        limits = {**_NUMBERS, **(_WIDTHS if narrow else {})}
        node = {key: _limited(key, _small(value, narrow), limits) for key, value in node.items()}
        if "importance_sample_ratio" in node:
            node["num_points"] = _POINTS_OF_LOSS
        return node
    if isinstance(node, (list, tuple)):
        return [_small(value, narrow) for value in node]
    return node


def _limited(key: str, value, limits: dict[str, int]):
    if key == "class_weight" and isinstance(value, list):
        return [*value[:CLASSES], value[-1]]
    if key in limits and isinstance(value, int):
        return min(value, limits[key])
    return value


def _pyramid(path: str, backbone: dict, _maps: int) -> dict:
    """Detectors on a feature pyramid network."""
    model = library_model("mmdet", path)
    model["backbone"] = backbone
    model["neck"]["in_channels"] = "backbone"
    return model


def _transformer(path: str, backbone: dict, maps: int) -> dict:
    """Detectors of mmdet's DETR family."""
    narrow = "conditional" not in path  # mmdet's layers of Conditional DETR know 256 channels only
    return _fitted(library_model("mmdet", path, narrow), backbone, maps, narrow)


def _own_transformer(path: str, backbone: dict, maps: int) -> dict:
    """Detectors of the DETR family that dense3d has a config of."""
    return _fitted(_small(_read("dense3d", path)), backbone, maps)


def _fitted(model: dict, backbone: dict, maps: int, narrow: bool = True) -> dict:
    """A detector of the DETR family on one level more than the backbone has maps."""
    model["backbone"] = backbone
    model["neck"]["in_channels"] = "backbone"
    if narrow:
        model["bbox_head"]["embed_dims"] = _WIDTH
    if "num_feature_levels" in model:
        levels = maps + 1
        model["num_feature_levels"] = model["neck"]["num_outs"] = levels
        model["encoder"]["layer_cfg"]["self_attn_cfg"]["num_levels"] = levels
        model["decoder"]["layer_cfg"]["cross_attn_cfg"]["num_levels"] = levels
    return model


def _segmentor(path: str, backbone: dict, _maps: int) -> dict:
    """Models of mmseg, whose heads are told the channels of the maps."""
    model = library_model("mmseg", path)
    model["backbone"] = backbone
    model["data_preprocessor"]["size"] = SIZE
    for head in {"decode_head", "auxiliary_head"} & set(model):
        model[head]["in_channels"] = "backbone"
    return model


def _fcn(backbone: dict, maps: int) -> dict:
    model = _segmentor("_base_/models/fcn_r50-d8.py", backbone, maps)
    model |= dict(pretrained=None, auxiliary_head=None)
    model["decode_head"] |= dict(in_index=-1)
    return model


def _preprocessor() -> dict:
    return dict(
        type="mmdet.DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_seg=True,
    )


_BASES = {"mmdet": _transformer, "mmseg": _segmentor, "dense3d": _own_transformer}
_LIBRARIES: dict[str, Head] = {
    "Mask R-CNN": Head(partial(_pyramid, "_base_/models/mask-rcnn_r50_fpn.py"), "instance", FOUR_STRIDES),
    "Cascade Mask R-CNN": Head(
        partial(_pyramid, "_base_/models/cascade-mask-rcnn_r50_fpn.py"), "instance", FOUR_STRIDES
    ),
    "ATSS": Head(partial(_pyramid, "atss/atss_r50_fpn_1x_coco.py"), strides=FOUR_STRIDES),
    "GFL": Head(partial(_pyramid, "gfl/gfl_r50_fpn_1x_coco.py"), strides=FOUR_STRIDES),
    "DETR": Head(partial(_transformer, "detr/detr_r50_8xb2-150e_coco.py"), maps=1),
    "DINO": Head(partial(_transformer, "dino/dino-4scale_r50_8xb2-12e_coco.py")),
    "FCN": Head(_fcn, "semantic"),
    "UPerNet": Head(partial(_segmentor, "_base_/models/upernet_swin.py"), "semantic", maps=4),
}
