"""Suite ``models``: whole models beside their peers, a step of training and inference.

A benchmark is a :class:`ModelCase` in ``CASES``; another system joins with a line there. The first contender
of a case is the one that the others are compared with.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from mmengine.structures import InstanceData
from torch import Tensor, nn

from dense3d.apis import build_model
from dense3d.benchmarks import detector_models
from dense3d.benchmarks.batches import matching_batch, panoptic_batch, street_batch
from dense3d.benchmarks.grid_models import SIDE, boxes_batch, voxel_batch
from dense3d.benchmarks.point_models import POINTS, cloud_batch, official_steps
from dense3d.benchmarks.scene_models import POINTS_OF_SCENES, scene_batch
from dense3d.benchmarks.stereo_models import stereo_batch, whole_image_attention, whole_row_attention
from dense3d.config import load_config
from dense3d.config.shipped import shipped_folder
from dense3d.layers import position_relation

BOXES = 10  # in each image


@dataclass(frozen=True)
class Contender:
    """A model and how it is run.

    Attributes:
        name: in the table.
        config: file below ``configs``, or the full path of another.
        options: settings that override the config's.
        context: entered around every step.
        plain: run in float32 and eager mode only.
        infers: also measured in inference, not in training only.
        tiny: settings for a model that costs little.
    """

    name: str
    config: str
    options: dict[str, Any] = field(default_factory=dict)
    context: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext
    plain: bool = False
    infers: bool = True
    tiny: dict[str, Any] = field(default_factory=dict)

    def build(self, device: torch.device, tiny: bool = False) -> nn.Module:
        """The model with initial weights; pretrained ones are not asked for."""
        cfg = load_config(shipped_folder() / self.config, {**self.options, **(self.tiny if tiny else {})})
        if (cfg.model.get("backbone") or {}).get("pretrained"):
            cfg.model.backbone.pretrained = False
        torch.manual_seed(0)
        return build_model(cfg).to(device)


@dataclass(frozen=True)
class ModelCase:
    """Models that do the same task, their batches, and how many points a cloud of these has."""

    name: str
    contenders: tuple[Contender, ...]
    batch: Callable[[int, tuple[int, int], torch.device], tuple[Tensor | dict[str, Tensor], list]]
    points: int | None = None


def detection_batch(
    number: int, size: tuple[int, int], device: torch.device, num_classes: int = 80
) -> tuple[Tensor, list]:
    """Noise ``(B, 3, H, W)`` and data samples with :data:`BOXES` boxes an image, the same every time."""
    from mmdet.structures import DetDataSample

    random = torch.Generator().manual_seed(0)
    height, width = size
    images = torch.randn(number, 3, height, width, generator=random).to(device)
    samples = []
    for _ in range(number):
        corners = torch.rand(BOXES, 2, 2, generator=random).sort(1).values  # two corners a box
        boxes = corners.flatten(1) * torch.tensor([width, height, width, height])
        labels = torch.randint(0, num_classes, (BOXES,), generator=random)
        meta = dict(img_shape=size, batch_input_shape=size, scale_factor=(1.0, 1.0), ori_shape=size)
        sample = DetDataSample(metainfo=meta)
        sample.gt_instances = InstanceData(bboxes=boxes, labels=labels)
        samples.append(sample.to(device))
    return images, samples


@contextlib.contextmanager
def plain_operators() -> Iterator[None]:
    """Relations by the paper's formula, with all features kept, and deformable attention by grid_sample."""
    from dense3d.layers import deformable_attention

    attend = deformable_attention.multi_scale_deformable_attention

    def relation(source, target, weight, bias, temperature, scale, blocked):
        logits = position_relation.relation_logits(source, target, weight, bias, temperature, scale)
        return logits.relu() if blocked is None else logits.relu().masked_fill(blocked, -torch.inf)

    with (
        mock.patch.object(position_relation, "relation_bias", relation),
        mock.patch.object(
            deformable_attention,
            "multi_scale_deformable_attention",
            lambda *inputs: attend(*inputs, backend="reference"),
        ),
    ):
        yield


TINY_DINO = {
    "model.backbone.model_name": "resnet18",
    "model.num_queries": 20,
    "model.encoder.num_layers": 1,
    "model.decoder.num_layers": 2,
}
TINY_RELATION_DETR = {
    "model.backbone.model_name": "resnet18",
    "model.num_queries": 20,
    "model.hybrid.num_queries": 30,
    "+model.encoder_layers": 1,
    "+model.decoder_layers": 2,
}


def _relation_detr(name: str, options: dict[str, Any] | None = None, **settings: Any) -> Contender:
    config = "relation_detr/relation-detr_r50_5xb2-12e_coco.py"
    return Contender(name, config, options or {}, tiny=TINY_RELATION_DETR, **settings)


TINY_SWIN = dict(_delete_=True, embed_dim=16, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2))


def _vidt(name: str, kind: str = "vidt", **settings: Any) -> Contender:
    """Without the file of the body's weights, which need not be there."""
    options = {"model.backbone.init_cfg": None}
    tiny = {"model.backbone.arch": TINY_SWIN, "model.backbone.num_det_tokens": 10}
    return Contender(name, f"vidt/{kind}_swin-tiny_8xb2-50e_coco.py", options, tiny=tiny, **settings)


TINY_MONO = {"model.backbone.model_name": "resnet18", "model.num_groups": 2}
TINY_MONODINO = {"model.num_groups": 2, "model.input_size": (126, 126)}


def _monodino_detr(name: str, model: str) -> Contender:
    """Without the file of Depth Anything's weights, which need not be there."""
    config = f"monodino_detr/{model}_1xb8-195e_kitti-car.py"
    options = {"model.backbone.init_cfg": None, "model.depth_head.init_cfg": None}
    return Contender(name, config, options, tiny=TINY_MONODINO)


TINY_MASK2FORMER = {
    "model.backbone.model_name": "resnet18",
    "+model.head": dict(num_queries=10, encoder_layers=1, decoder_layers=2),
    "+model.criterion": dict(num_points=64),
}
TINY_KMAX = {
    "model.backbone.model_name": "resnet18",
    "+model.num_queries": 10,
    "+model.layers_per_map": (1, 1, 1),
    "+model.pixel_decoder": dict(base_channels=(8, 8, 8, 8), num_blocks=(1, 1, 1, 1)),
    "+model.criterion": dict(discrimination_pixels=64, semantic_pixels=64),
}
TINY_MMDET_MASK2FORMER = {
    "model.backbone.depth": 18,
    "model.panoptic_head.in_channels": [64, 128, 256, 512],
    "model.panoptic_head.num_queries": 10,
    "model.panoptic_head.pixel_decoder.encoder.num_layers": 1,
    "model.panoptic_head.transformer_decoder.num_layers": 2,
    "model.train_cfg.num_points": 64,
}


def _mask2former_of_mmdet() -> Contender:
    """The config that mmdet ships, without its download of weights."""
    package = Path(importlib.util.find_spec("mmdet").submodule_search_locations[0])
    config = package / ".mim/configs/mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py"
    options = {"model.backbone.init_cfg": None}
    return Contender("Mask2Former of mmdet", str(config), options, tiny=TINY_MMDET_MASK2FORMER)


def _ccnext(name: str, options: dict[str, Any] | None = None, **settings: Any) -> Contender:
    config = "ccnext/ccnext_convnext-pico_1xb8-20e_kitti-eigen.py"
    return Contender(
        name, config, options or {}, tiny={"model.backbone.model_name": "convnext_atto"}, **settings
    )


@contextlib.contextmanager
def one_tile_at_a_time() -> Iterator[None]:
    """Tiled prediction as the official code has it, a forward pass a tile."""
    from dense3d.stereo.croco_stereo.tiling import Tiles

    batches = Tiles.batches

    def single(tiles: Tiles, left: Tensor, right: Tensor) -> Iterator[tuple]:
        return batches(replace(tiles, batch_size=1), left, right)

    with mock.patch.object(Tiles, "batches", single):
        yield


TINY_CROCO = {
    "model.crop_size": (32, 64),
    "+model.hooks": (1, 2, 3, 4),
    "+model.head": dict(hidden_channels=(8, 8, 16, 16), channels=16),
    **{f"model.network.{part}_embed_dim": 32 for part in ("enc", "dec")},
    **{f"model.network.{part}_num_heads": 2 for part in ("enc", "dec")},
    "model.network.enc_depth": 2,
    "model.network.dec_depth": 3,
}


def _croco_stereo(name: str, **settings: Any) -> Contender:
    """Without the file of pre-trained weights, which need not be there."""
    config = "croco_stereo/croco-stereo_vitl-base_1xb6-32e_stereo-mix.py"
    return Contender(name, config, {"model.network.init_cfg": None}, tiny=TINY_CROCO, **settings)


TINY_POINT_MAE = {
    "+model.encoder": dict(embed_dim=32, depth=1, num_heads=2),
    "+model.decoder": dict(depth=1, num_heads=2),
}


def _point_mae(name: str, **settings: Any) -> Contender:
    config = "point_mae/point-mae_pt-s_1xb128-300e_shapenet55.py"
    return Contender(name, config, tiny=TINY_POINT_MAE, **settings)


TINY_NERF_MAE = {
    "+model.encoder.arch": dict(_delete_=True, embed_dim=12, depths=(1, 1, 1, 1), num_heads=(2, 2, 2, 2))
}


def _nerf_mae(name: str, attention: str, **settings: Any) -> Contender:
    options = {"+model.encoder.attention": attention}
    config = "nerf_mae/nerf-mae_swin3d-s_8xb4-2000e_nerf-mix.py"
    return Contender(name, config, options, tiny=TINY_NERF_MAE, **settings)


TINY_SCENES = dict(
    dim=32,
    num_groups=16,
    group_size=8,
    image_encoder=dict(
        arch=dict(embed_dim=32, depth=1, num_heads=2, position=None, class_token=False, final_norm=False)
    ),
    decoder=dict(dim=24, image_depth=1, point_depth=1),
)


def _gaussian2scene(name: str, stage: int, options: dict[str, Any] | None = None) -> Contender:
    """A stage of Gaussian2Scene without the file of the stage before."""
    kind = ("stage1_1xb128-400e", "stage2_1xb8-100e")[stage - 1]
    options = {**(options or {}), **({"model.init_cfg": None} if stage == 2 else {})}
    prefix = "model" if stage == 1 else "model.autoencoder"
    tiny = {f"+{prefix}.{key}": value for key, value in TINY_SCENES.items()}
    return Contender(
        f"Gaussian2Scene, {name}",
        f"gaussian2scene/gaussian2scene-{kind}_sunrgbd.py",
        options,
        infers=False,
        tiny=tiny,
    )


TINY_LEVELS = {
    "+model.backbone.num_points": (256, 128, 64, 32),
    "model.proposals.num_proposals": 32,
}
TINY_THREEDETR = {
    "model.backbone.num_points": (64,),
    "model.num_queries": 8,
    "model.encoder.num_layers": 1,
    "model.decoder.num_layers": 2,
}


def _rooms(name: str, title: str, config: str, points: int, tiny: dict[str, Any]) -> ModelCase:
    """A detector beside the official steps, on rooms of so many points."""
    aligned, height = "scannet" in config, "votenet" in config
    batch = detector_models.room_batch(points, height, not aligned, 18 if aligned else 10)
    plain = Contender(
        f"{title}, official steps", config, context=detector_models.official_steps, plain=True, tiny=tiny
    )
    return ModelCase(name, (plain, Contender(title, config, tiny=tiny)), batch, points)


TINY_BOXES = {
    "+model.backbone.arch": dict(_delete_=True, embed_dim=12, depths=(1, 1, 1, 1), num_heads=(1, 2, 2, 2)),
    "model.neck.out_channels": 32,
}


def _nerf_rpn(name: str, head: str, options: dict[str, Any] | None = None) -> Contender:
    config = f"nerf_rpn/nerf-rpn-{head}_swin3d-s_4xb2-200e_front3d.py"
    return Contender(name, config, options or {}, tiny=TINY_BOXES)


CASES = [
    ModelCase(
        "relation-detr",
        (
            _relation_detr("Relation-DETR, plain operators", context=plain_operators, plain=True),
            _relation_detr("Relation-DETR"),
            _relation_detr("Relation-DETR, checkpointing", {"+model.with_cp": True}, infers=False),
            Contender("DINO of mmdet", "dino/dino_r50_8xb2-12e_coco.py", tiny=TINY_DINO),
        ),
        detection_batch,
    ),
    ModelCase(
        "vidt",
        (
            _vidt("ViDT, Swin-tiny, plain operators", context=plain_operators, plain=True),
            _vidt("ViDT, Swin-tiny"),
            _vidt("ViDT without a neck, Swin-tiny", "vidt-neck-free"),
            Contender(
                "DINO of mmdet, Swin-tiny",
                "dino/dino_swin-t_8xb2-12e_coco.py",
                {"model.backbone.init_cfg": None},
                tiny={n: v for n, v in TINY_DINO.items() if "backbone" not in n}
                | {"model.backbone.arch": TINY_SWIN},
            ),
        ),
        detection_batch,
    ),
    ModelCase(
        "ccnext",
        (
            _ccnext("CCNeXt, masked attention over the image", context=whole_image_attention, plain=True),
            _ccnext("CCNeXt, masked attention over rows", context=whole_row_attention, plain=True),
            _ccnext("CCNeXt"),
            _ccnext("CCNeXt, left branch alone", {"model.decoder.dual": False}),
        ),
        stereo_batch,
    ),
    ModelCase(
        "monodino-detr",
        (
            Contender("MonoDETR, ResNet-50", "monodetr/monodetr_r50_1xb16-195e_kitti-car.py", tiny=TINY_MONO),
            _monodino_detr("MonoDINO-DETR, ViT-B", "monodino-detr_vitb"),
            _monodino_detr("MonoDINO-DETR + DAB, ViT-B", "monodino-detr-dab_vitb"),
        ),
        street_batch,
    ),
    ModelCase(
        "mask2former",
        (
            _mask2former_of_mmdet(),
            Contender(
                "Mask2Former", "mask2former/mask2former_r50_8xb2-50e_coco-panoptic.py", tiny=TINY_MASK2FORMER
            ),
        ),
        panoptic_batch,
    ),
    ModelCase(
        "kmax",
        (
            _mask2former_of_mmdet(),
            Contender(
                "kMaX-DeepLab, no semantic head",
                "kmax_deeplab/kmax_r50_32xb2-150k_coco.py",
                # The image's own size, not the square of 1281 pixels; the auxiliary head of training
                # normalises one number a channel and image, which needs more than one image.
                {"model.input_size": None, "+model.semantic_head": None},
                tiny=TINY_KMAX,
            ),
        ),
        panoptic_batch,
    ),
    ModelCase(
        "croco-stereo",
        (
            _croco_stereo("CroCo-Stereo, ViT-L, one tile at a time", context=one_tile_at_a_time, plain=True),
            _croco_stereo("CroCo-Stereo, ViT-L, four tiles at a time"),
        ),
        matching_batch,
    ),
    ModelCase(
        "point-mae",
        (
            _point_mae("Point-MAE, official steps", context=official_steps, plain=True),
            _point_mae("Point-MAE"),
        ),
        cloud_batch,
        POINTS,
    ),
    ModelCase(
        "nerf-mae",
        (
            _nerf_mae("NeRF-MAE, swin_s, all weights of attention kept", "reference"),
            _nerf_mae("NeRF-MAE, swin_s, fused attention", "fused"),
        ),
        voxel_batch,
        SIDE**3,
    ),
    ModelCase(
        "gaussian2scene",
        (
            _gaussian2scene("stage one", 1),
            _gaussian2scene("stage two", 2),
            _gaussian2scene("stage two, nothing rendered", 2, {"model.weights.render": 0.0}),
        ),
        scene_batch,
        POINTS_OF_SCENES,
    ),
    _rooms("votenet", "VoteNet", "votenet/votenet_pointnet2_1xb8-180e_sunrgbd.py", 20_000, TINY_LEVELS),
    _rooms("votenet-40k", "VoteNet", "votenet/votenet_pointnet2_1xb8-180e_scannet.py", 40_000, TINY_LEVELS),
    _rooms("threedetr", "3DETR", "threedetr/3detr_1xb8-1080e_sunrgbd.py", 20_000, TINY_THREEDETR),
    _rooms("threedetr-40k", "3DETR", "threedetr/3detr_1xb8-1080e_scannet.py", 40_000, TINY_THREEDETR),
    ModelCase(
        "nerf-rpn",
        (
            _nerf_rpn("NeRF-RPN, attention step by step", "fcos", {"+model.backbone.attention": "reference"}),
            _nerf_rpn("NeRF-RPN, anchor-free", "fcos"),
            _nerf_rpn("NeRF-RPN, anchor-based", "anchor"),
        ),
        boxes_batch,
        SIDE**3,
    ),
]
