"""Small variants of every family of heads: dense3d's, and those of mmdet and mmseg that configs use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from mmengine.config import Config

from dense3d.registry import MODELS
from tests.compatibility.batches import SIZE
from tests.compatibility.heads_3d import mono_detr, monodino_detr

CLASSES = 5
THINGS = 3  # of a panoptic head; labels 0, 1, 2
FOUR_STRIDES = (4, 8, 16, 32)
_PACKAGES = ("dense3d.detection2d.", "dense3d.detection3d.", "dense3d.segmentation.")
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
        task: ``"detection"``, ``"instance"``, ``"panoptic"``, ``"semantic"`` or ``"3d"``.
        strides: of the maps that it needs; None takes any.
        maps: number of maps that it needs; None takes any.
        tokens: its maps must have one stride, as a plain ViT's have.
        registered: names in the registry that it stands for.
    """

    config: Callable[[dict, int], dict]
    task: str
    strides: tuple[int, ...] | None = None
    maps: int | None = None
    tokens: bool = False
    registered: Sequence[str] = ()


def unlisted_heads() -> list[str]:
    """Registered models of images that :data:`HEADS` has no entry for."""
    from mmengine.model import BaseModel

    listed = {name for head in HEADS.values() for name in head.registered}
    return sorted(
        name
        for name, registered in MODELS.import_all().items()
        if registered.__module__.startswith(_PACKAGES)
        and issubclass(registered, BaseModel)
        and name not in listed
    )


def library_model(library: str, path: str, narrow: bool = True) -> dict:
    """The model of a config that mmdet or mmseg ships, made small, its backbone to be replaced."""
    folder = Path(find_spec(library).origin).parent / ".mim" / "configs"
    limits = {**_NUMBERS, **(_WIDTHS if narrow else {})}
    model = _small(Config.fromfile(folder / path).model.to_dict(), limits)
    return dict(model, _scope_=library)


def _small(node, limits: dict[str, int]):
    if isinstance(node, dict):
        node = {key: _limited(key, _small(value, limits), limits) for key, value in node.items()}
        if "importance_sample_ratio" in node:
            node["num_points"] = _POINTS_OF_LOSS
        return node
    if isinstance(node, (list, tuple)):
        return [_small(value, limits) for value in node]
    return node


def _limited(key: str, value, limits: dict[str, int]):
    if key == "class_weight" and isinstance(value, list):
        return [*value[:CLASSES], value[-1]]
    if key in limits and isinstance(value, int):
        return min(value, limits[key])
    return value


def _pyramid(library: str, path: str, backbone: dict, _maps: int) -> dict:
    """Detectors on a feature pyramid network."""
    model = library_model(library, path)
    model["backbone"] = backbone
    model["neck"]["in_channels"] = "backbone"
    return model


def _transformer(path: str, backbone: dict, maps: int, **changes) -> dict:
    """Detectors of the DETR family on one level more than the backbone has maps."""
    narrow = "conditional" not in path  # mmdet's layers of Conditional DETR know 256 channels only
    model = library_model("mmdet", path, narrow) | changes
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


def _with_relation(name: str, path: str, backbone: dict, maps: int) -> dict:
    relation = dict(type="dense3d.PositionRelation", embed_dims=16, num_heads=8)
    return _transformer(path, backbone, maps, type=f"dense3d.{name}", relation=relation)


def _co_dino(backbone: dict, maps: int) -> dict:
    """DINO with the heads of mmdet's Faster R-CNN and ATSS on one level more."""
    strides = [4 * 2**level for level in range(maps + 2)]
    faster = library_model("mmdet", "_base_/models/faster-rcnn_r50_fpn.py")
    atss = library_model("mmdet", "atss/atss_r50_fpn_1x_coco.py")
    for head in (faster["rpn_head"], atss["bbox_head"]):
        head["anchor_generator"]["strides"] = strides
    levels = dict(num_feature_levels=maps + 1)
    path = "dino/dino-4scale_r50_8xb2-12e_coco.py"
    model = _transformer(path, backbone, maps, type="dense3d.CoDINO", **levels)
    model["bbox_head"]["type"] = "dense3d.CoDINOHead"
    model["bbox_head"]["loss_cls"] = dict(type="QualityFocalLoss", use_sigmoid=True)
    model["auxiliary_heads"] = [
        dict(
            type="dense3d.FasterRCNNAuxiliaryHead",
            rpn_head=faster["rpn_head"],
            roi_head=faster["roi_head"],
            train_cfg=faster["train_cfg"],
        ),
        dict(atss["bbox_head"], type="dense3d.ATSSAuxiliaryHead", train_cfg=atss["train_cfg"]),
    ]
    return model


def _relation_detr(backbone: dict, maps: int) -> dict:
    return dict(
        type="dense3d.RelationDETR",
        data_preprocessor=_preprocessor(),
        backbone=backbone,
        neck=dict(
            type="mmdet.ChannelMapper",
            in_channels="backbone",
            kernel_size=1,
            out_channels=_WIDTH,
            act_cfg=None,
            norm_cfg=dict(type="GN", num_groups=8),
            num_outs=maps + 1,
        ),
        num_classes=CLASSES,
        num_levels=maps + 1,
        num_queries=20,
        embed_dims=_WIDTH,
        feedforward_channels=64,
        encoder_layers=1,
        decoder_layers=2,
        hybrid=dict(num_queries=20, assign=2),
        denoising=dict(num_queries=6),
        positional_encoding=dict(
            type="mmdet.SinePositionalEncoding", num_feats=_WIDTH // 2, normalize=True, offset=-0.5, eps=1e-6
        ),
        test_cfg=dict(max_per_img=20),
    )


def _kmax(backbone: dict, _maps: int) -> dict:
    return dict(
        type="dense3d.KMaXDeepLab",
        data_preprocessor=_preprocessor(),
        backbone=backbone,
        num_classes=CLASSES,
        thing_classes=tuple(range(THINGS)),
        num_queries=20,
        layers_per_map=(1, 1, 1),
    )


def _upernet(backbone: dict, _maps: int) -> dict:
    model = library_model("mmseg", "_base_/models/upernet_swin.py")
    model["backbone"] = backbone
    model["decode_head"]["in_channels"] = model["auxiliary_head"]["in_channels"] = "backbone"
    model["data_preprocessor"]["size"] = SIZE
    return model


_TINY_MASK2FORMER = dict(
    num_queries=20,
    embed_dims=_WIDTH,
    encoder_layers=1,
    encoder_channels=64,
    decoder_layers=2,
    decoder_channels=64,
)


def _fcn(backbone: dict, _maps: int) -> dict:
    model = library_model("mmseg", "_base_/models/fcn_r50-d8.py")
    model |= dict(backbone=backbone, pretrained=None, auxiliary_head=None)
    model["decode_head"] |= dict(in_channels="backbone", in_index=-1)
    model["data_preprocessor"]["size"] = SIZE
    return model


def _mask2former(backbone: dict, _maps: int) -> dict:
    model = library_model("mmseg", "mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py")
    model["backbone"] = backbone
    model["decode_head"] = dict(
        type="dense3d.Mask2FormerSemanticHead",
        in_channels="backbone",
        num_classes=CLASSES,
        head=_TINY_MASK2FORMER,
        criterion=dict(num_points=_POINTS_OF_LOSS),
    )
    model["data_preprocessor"]["size"] = SIZE
    return model


def _mask2former_panoptic(backbone: dict, _maps: int, encoder_layers: int = 1, **changes) -> dict:
    model = dict(
        type="dense3d.Mask2Former",
        data_preprocessor=_preprocessor(),
        backbone=backbone,
        num_classes=CLASSES,
        thing_classes=tuple(range(THINGS)),
        head=_TINY_MASK2FORMER | dict(encoder_layers=encoder_layers),
    )
    return model | changes


def _preprocessor() -> dict:
    return dict(
        type="mmdet.DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_seg=True,
    )


def _library(path: str, build: Callable = _pyramid) -> Callable[[dict, int], dict]:
    return partial(build, "mmdet", path) if build is _pyramid else partial(build, path)


def _relation(name: str, path: str) -> Head:
    single = name in ("RelationDABDETR", "RelationConditionalDETR")
    return Head(
        partial(_with_relation, name, path), "detection", maps=1 if single else None, registered=(name,)
    )


def _early_exit(name: str, path: str) -> Head:
    build = partial(_transformer, path, type=f"dense3d.{name}", min_depth=1)
    return Head(build, "detection", registered=(name,))


HEADS: dict[str, Head] = {
    "Mask R-CNN": Head(_library("_base_/models/mask-rcnn_r50_fpn.py"), "instance", FOUR_STRIDES),
    "Cascade Mask R-CNN": Head(
        _library("_base_/models/cascade-mask-rcnn_r50_fpn.py"), "instance", FOUR_STRIDES
    ),
    "ATSS": Head(_library("atss/atss_r50_fpn_1x_coco.py"), "detection", FOUR_STRIDES),
    "GFL": Head(_library("gfl/gfl_r50_fpn_1x_coco.py"), "detection", FOUR_STRIDES),
    "DETR": Head(_library("detr/detr_r50_8xb2-150e_coco.py", _transformer), "detection", maps=1),
    "DETR (norms first)": Head(
        partial(
            _transformer, "detr/detr_r50_8xb2-150e_coco.py", type="dense3d.PreNormDETR", query_grid=(5, 4)
        ),
        "detection",
        maps=1,
        registered=("PreNormDETR",),
    ),
    "DINO": Head(_library("dino/dino-4scale_r50_8xb2-12e_coco.py", _transformer), "detection"),
    "Co-DINO": Head(_co_dino, "detection", FOUR_STRIDES, registered=("CoDINO",)),
    "Relation-DETR": Head(_relation_detr, "detection", registered=("RelationDETR",)),
    "Relation-DINO": _relation("RelationDINO", "dino/dino-4scale_r50_8xb2-12e_coco.py"),
    "Relation-Deformable-DETR": _relation(
        "RelationDeformableDETR", "deformable_detr/deformable-detr-refine_r50_16xb2-50e_coco.py"
    ),
    "Relation-DAB-DETR": _relation("RelationDABDETR", "dab_detr/dab-detr_r50_8xb2-50e_coco.py"),
    "Relation-Conditional-DETR": _relation(
        "RelationConditionalDETR", "conditional_detr/conditional-detr_r50_8xb2-50e_coco.py"
    ),
    "Deformable-DETR (early exit)": _early_exit(
        "EarlyExitDeformableDETR", "deformable_detr/deformable-detr_r50_16xb2-50e_coco.py"
    ),
    "DINO (early exit)": _early_exit("EarlyExitDINO", "dino/dino-4scale_r50_8xb2-12e_coco.py"),
    "FCN": Head(_fcn, "semantic"),
    "UPerNet": Head(_upernet, "semantic", maps=4),
    "Mask2Former (semantic)": Head(_mask2former, "semantic", FOUR_STRIDES),
    "Mask2Former (panoptic)": Head(
        _mask2former_panoptic, "panoptic", FOUR_STRIDES, registered=("Mask2Former",)
    ),
    "ECO-M2F": Head(
        partial(_mask2former_panoptic, encoder_layers=2, type="dense3d.ECOM2F", min_depth=1),
        "panoptic",
        FOUR_STRIDES,
        registered=("ECOM2F",),
    ),
    "kMaX-DeepLab": Head(_kmax, "panoptic", FOUR_STRIDES, registered=("KMaXDeepLab",)),
    "MonoDETR": Head(mono_detr, "3d", FOUR_STRIDES, registered=("MonoDETR",)),
    "MonoDINO-DETR": Head(monodino_detr, "3d", maps=4, tokens=True, registered=("MonoDINODETR",)),
}
