"""MonoDETR and MonoDINO-DETR: monocular 3D detection as set prediction, guided by depth.

Zhang et al., "MonoDETR: Depth-guided Transformer for Monocular 3D Object Detection", ICCV 2023
(arXiv 2203.13310; official code github.com/ZrrSkywalker/MonoDETR). Kim et al., "MonoDINO-DETR: Depth-Enhanced
Monocular 3D Object Detection Using a Vision Foundation Model", IV 2025 (arXiv 2502.00315; official code
github.com/JihyeokKim/MonoDINO-DETR).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from dense3d.detection3d.monodino_detr.criterion import MonoCriterion
from dense3d.detection3d.monodino_detr.depth import Camera, DepthPrediction, DepthPredictor
from dense3d.detection3d.monodino_detr.matching import ObjectTargets
from dense3d.detection3d.monodino_detr.prediction import (
    PixelMap,
    PredictionHeads,
    Predictions,
    decode_frame,
    top_queries,
)
from dense3d.detection3d.monodino_detr.transformer import (
    AnchorQueries,
    DepthGuidedDecoder,
    EncodedScene,
    PointQueries,
    VisualEncoder,
)
from dense3d.errors import ConfigError, DataError
from dense3d.registry import MODELS


@dataclass
class Features:
    """What the images look like."""

    levels: Sequence[Tensor]  # (B, C, h, w) a level
    relative_depth: Tensor | None = None  # (B, 1, H, W)


@MODELS.register_module()
class MonoDETR(BaseModel):
    """MonoDETR on any backbone.

    Args:
        backbone: config of the image backbone.
        neck: config of what maps its features to ``num_levels`` maps of ``embed_dims`` channels.
        depth_predictor: arguments of :class:`DepthPredictor`.
        class_names: of the classes that KITTI's lines name, in the order of the labels.
        num_classes: outputs of the class heads, the number of names if not given; official models have spare
            ones, which never name a detection.
        num_queries: objects that an image may have.
        num_groups: groups of queries in training.
        anchors: six-dimensional anchors that move as queries ("DAB"), not points.
        embed_dims: channels of the transformer.
        num_levels: levels of the feature pyramid.
        num_heads: heads of all attentions.
        encoder_points: locations that a head of the encoder samples on each level.
        decoder_points: the same for the decoder.
        feedforward_channels: channels within the feed-forward networks.
        encoder_layers: layers of the visual encoder.
        decoder_layers: layers of the decoder.
        dropout: of encoder and decoder.
        relation: relation encoder of the decoder, see :class:`DepthGuidedDecoder`; None: no relation.
        criterion: arguments of :class:`MonoCriterion`.
        test_cfg: ``max_per_img`` and ``score_thr``, the least score of the class.
        data_preprocessor: normalises images.
        init_cfg: mmengine initialisation.

    Raises:
        ConfigError: the neck gives another number of maps than ``num_levels``, there are fewer classes than
            names, or the relation does not fit the decoder.
    """

    tiny_needs: ClassVar[dict] = dict(task="3d", strides=(4, 8, 16, 32))

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        depth_predictor: dict,
        class_names: Sequence[str] = ("Pedestrian", "Car", "Cyclist"),
        num_classes: int | None = None,
        num_queries: int = 50,
        num_groups: int = 11,
        anchors: bool = False,
        embed_dims: int = 256,
        num_levels: int = 4,
        num_heads: int = 8,
        encoder_points: int = 4,
        decoder_points: int = 4,
        feedforward_channels: int = 256,
        encoder_layers: int = 3,
        decoder_layers: int = 3,
        dropout: float = 0.1,
        relation: dict | None = None,
        criterion: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(data_preprocessor, init_cfg)
        num_classes = num_classes or len(class_names)
        if num_classes < len(class_names):
            raise ConfigError(
                f"model.num_classes={num_classes}, but class_names has {len(class_names)} names: "
                "leave num_classes out"
            )
        self.class_names, self.num_levels = tuple(class_names), num_levels
        self.num_queries, self.num_groups = num_queries, num_groups
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(neck)
        self.depth_predictor = DepthPredictor(**{"embed_dims": embed_dims, **depth_predictor})
        layer = dict(
            embed_dims=embed_dims,
            num_heads=num_heads,
            num_levels=num_levels,
            feedforward_channels=feedforward_channels,
            dropout=dropout,
        )
        self.encoder = VisualEncoder(encoder_layers, num_points=encoder_points, **layer)
        self.decoder = DepthGuidedDecoder(decoder_layers, relation, num_points=decoder_points, **layer)
        self.queries = (AnchorQueries if anchors else PointQueries)(num_queries * num_groups, embed_dims)
        self.heads = nn.ModuleList(PredictionHeads(embed_dims, num_classes) for _ in range(decoder_layers))
        bins = {k: v for k, v in depth_predictor.items() if k in ("num_bins", "depth_min", "depth_max")}
        self.criterion = MonoCriterion(**{"depth_map": bins, **(criterion or {})})
        self.test_cfg = {"max_per_img": 50, "score_thr": 0.2, **(test_cfg or {})}

    def forward(
        self, inputs: Tensor, data_samples: list[BaseDataElement], mode: str = "tensor"
    ) -> dict[str, Tensor] | list[BaseDataElement] | Predictions:
        """mmengine's entry: ``"loss"``, ``"predict"``, or ``"tensor"``, the last layer's predictions.

        Args:
            inputs: normalised images ``(B, 3, H, W)``.
            data_samples: with ``calibration`` and ``ori_shape``, for losses also ``gt_instances`` with the
                fields of :class:`~dense3d.datasets.kitti.mono_targets.MonoTargets`.
            mode: what to return.

        Raises:
            DataError: a sample has no calibration.
        """
        if mode == "loss":
            return self.loss(inputs, data_samples)
        if mode == "predict":
            return self.predict(inputs, data_samples)
        if mode == "tensor":
            return self.predict_layers(inputs, camera_of(data_samples, inputs.device))[0][-1]
        raise ConfigError(f'mode={mode!r} is none of "loss", "predict" and "tensor"')

    def extract(self, inputs: Tensor) -> Features:
        """Feature pyramid of images ``(B, 3, H, W)``."""
        return Features(self.neck(self.backbone(inputs)))

    def encode(self, inputs: Tensor) -> tuple[EncodedScene, DepthPrediction]:
        """What the decoder looks at, and the depth map."""
        features = self.extract(inputs)
        if len(features.levels) != self.num_levels:
            raise ConfigError(
                f"the neck gives {len(features.levels)} maps, but num_levels is {self.num_levels}: "
                "make what model.neck gives and model.num_levels equal"
            )
        depth = self.depth_predictor(features.levels, features.relative_depth)
        memory, shapes = self.encoder(features.levels)
        return EncodedScene(memory, shapes, depth.tokens), depth

    def predict_layers(
        self, inputs: Tensor, camera: Camera, groups: int = 1
    ) -> tuple[list[Predictions], DepthPrediction]:
        """Predictions of every decoder layer, and the depth map.

        Args:
            inputs: ``(B, 3, H, W)``.
            camera: of the batch.
            groups: how many groups of queries take part.
        """
        seen, depth = self.encode(inputs)
        hidden, boxes, _ = self.decoder(self.queries, groups * self.num_queries, groups, seen)
        layers = [head(h, box, depth.expected, camera) for head, h, box in zip(self.heads, hidden, boxes)]
        return layers, depth

    def loss(self, inputs: Tensor, data_samples: list[BaseDataElement]) -> dict[str, Tensor]:
        """All weighted losses, see :class:`MonoCriterion`; all groups of queries take part."""
        camera = camera_of(data_samples, inputs.device)
        targets = ObjectTargets.of([sample.gt_instances for sample in data_samples])
        layers, depth = self.predict_layers(inputs, camera, self.num_groups)
        return self.criterion(layers, depth.logits, targets, self.num_groups)

    def predict(self, inputs: Tensor, data_samples: list[BaseDataElement]) -> list[BaseDataElement]:
        """Put each image's detections, KITTI's objects with scores, into ``predictions`` of its sample.

        Boxes lie in the original image: where the sample has a ``warp``, its scaling is inverted.
        """
        layers, _ = self.predict_layers(inputs, camera_of(data_samples, inputs.device))
        last = layers[-1]
        last.logits = last.logits[..., : len(self.class_names)]
        top = top_queries(last, self.test_cfg["max_per_img"])
        for index, sample in enumerate(data_samples):
            P2, threshold = sample.calibration.P2, self.test_cfg["score_thr"]
            objects = decode_frame(top, index, P2, _pixels(sample), self.class_names, threshold)
            sample.set_field(objects, "predictions")
        return data_samples

    @staticmethod
    def tiny(backbone: dict, maps: int) -> dict:
        """A small model on one level more than the backbone has maps, for the table of compatibility."""
        neck = dict(
            type="mmdet.ChannelMapper",
            in_channels="backbone",
            kernel_size=1,
            out_channels=32,
            act_cfg=None,
            norm_cfg=dict(type="GN", num_groups=8),
            num_outs=maps + 1,
        )
        source = dict(type="PyramidDepthSource")
        return _tiny_model("MonoDETR", backbone, neck, source, num_levels=maps + 1)


@MODELS.register_module()
class MonoDINODETR(MonoDETR):
    """MonoDINO-DETR: tokens of a plain ViT instead of a pyramid, and relative depth from the same tokens.

    Args:
        depth_head: config of what gives relative depth, ``dict(type="DPTHead", ...)``.
        input_size: height and width into which every image is squashed.
        pad_divisor: images are first padded right and below to a multiple of it; the detector is not told, so
            that coordinates differ by the share of the padding, as in the official code.
        **kwargs: of :class:`MonoDETR`.
    """

    tiny_needs: ClassVar[dict] = dict(task="3d", maps=4, tokens=True)

    def __init__(
        self,
        *args,
        depth_head: dict,
        input_size: tuple[int, int] = (518, 518),
        pad_divisor: int = 14,
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        self.depth_head = MODELS.build(depth_head)
        self.input_size, self.pad_divisor = tuple(input_size), pad_divisor

    def extract(self, inputs: Tensor) -> Features:
        """Pyramid and relative depth of images ``(B, 3, H, W)``."""
        height, width = inputs.shape[-2:]
        padded = F.pad(inputs, (0, -width % self.pad_divisor, 0, -height % self.pad_divisor))
        squashed = F.interpolate(padded, self.input_size, mode="bilinear", align_corners=False)
        maps = self.backbone(squashed)
        return Features(self.neck(maps), self.depth_head(maps, self.input_size))

    @staticmethod
    def tiny(backbone: dict, maps: int) -> dict:
        """A small model with anchors and the relation of Relation-DETR, for the table of compatibility."""
        neck = dict(
            type="HierarchicalFeatureFusion",
            in_channels="backbone",
            hidden_channels=(32, 32),
            out_channels=32,
        )
        depth_head = dict(type="DPTHead", in_channels="backbone", hidden_channels=(8, 8, 16, 16), channels=8)
        return _tiny_model(
            "MonoDINODETR",
            backbone,
            neck,
            dict(type="RelativeDepthSource"),
            num_levels=3,
            input_size=(112, 112),  # patches have 14 or 16 pixels
            depth_head=depth_head,
            anchors=True,
            relation=dict(type="PositionRelation", embed_dims=16, num_heads=4),
        )


def camera_of(data_samples: Sequence[BaseDataElement], device: torch.device) -> Camera:
    """What geometry needs to know of a batch.

    Raises:
        DataError: a sample has no calibration.
    """
    for sample in data_samples:
        if "calibration" not in sample:
            raise DataError(
                f"{sample.get('img_path', 'an image')} has no calibration, which depth is computed from; "
                "load frames with KittiDataset and PackKittiFrame"
            )
    focal = [float(sample.calibration.P2[0, 0]) for sample in data_samples]
    height = [float(sample.ori_shape[0]) for sample in data_samples]
    return Camera(torch.tensor(focal, device=device), torch.tensor(height, device=device))


def _pixels(sample: BaseDataElement) -> PixelMap:
    warp = sample.get("warp")
    if warp is None:
        return PixelMap.stretched(sample.ori_shape[1::-1])
    return PixelMap.of_warp(warp.matrix, warp.target)


def _tiny_model(name: str, backbone: dict, neck: dict, source: dict, **settings) -> dict:
    return dict(
        type=f"dense3d.{name}",
        data_preprocessor=dict(
            type="ImgDataPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
        ),
        backbone=backbone,
        neck=neck,
        depth_predictor=dict(source=source, num_heads=4, feedforward_channels=64),
        class_names=("Pedestrian", "Car", "Cyclist"),
        num_queries=10,
        num_groups=2,
        embed_dims=32,
        num_heads=4,
        feedforward_channels=64,
        encoder_layers=1,
        decoder_layers=2,
        test_cfg=dict(max_per_img=10, score_thr=0.0),
        **settings,
    )
