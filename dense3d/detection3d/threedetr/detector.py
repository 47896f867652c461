"""3DETR: queries at spread points of an encoded cloud become boxes.

Misra et al., "An End-to-End Transformer Model for 3D Object Detection", ICCV 2021 (facebookresearch/3detr).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from dense3d.detection3d.point_detector import PointDetector
from dense3d.detection3d.threedetr.criterion import SetCriterion, set_targets
from dense3d.detection3d.threedetr.heads import BoxHeads, BoxPredictions
from dense3d.detection3d.threedetr.position import FourierPosition, SceneBounds, bounds_of
from dense3d.detection3d.threedetr.transformer import BoxDecoderLayers, PointEncoder
from dense3d.errors import ConfigError, DataError
from dense3d.ops import farthest_point_sample, gather_points
from dense3d.pointcloud.set_abstraction import PointLayers
from dense3d.registry import MODELS
from dense3d.structures import PointDataSample

QUERY_CONTENTS = ("zero", "points")


@MODELS.register_module()
class ThreeDETR(PointDetector):
    """Oriented boxes in clouds of rooms, as a set.

    Args:
        backbone: see :class:`~dense3d.detection3d.point_detector.PointDetector`; 3DETR's pre-encoder is a
            :class:`dense3d.pointcloud.PointNet2` of one level without propagation.
        num_classes: NC.
        num_heading_bins: NH; 1 for boxes along the axes.
        num_queries: Q.
        encoder: arguments of :class:`~dense3d.detection3d.threedetr.transformer.PointEncoder`, of as many
            channels as the backbone gives.
        decoder: arguments of :class:`~dense3d.detection3d.threedetr.transformer.BoxDecoderLayers`.
        query_content: what a query knows at first: ``"zero"``, nothing beside its place, as officially; or
            ``"points"``, the encoded features of its point, which learns much faster on few scenes
            (Liu et al., "Group-Free 3D Object Detection via Transformers", ICCV 2021, begins so).
        head_dropout: of the five heads.
        criterion: arguments of :class:`~dense3d.detection3d.threedetr.criterion.SetCriterion`.
        decoding, data_preprocessor, init_cfg: see
            :class:`~dense3d.detection3d.point_detector.PointDetector`.

    Raises:
        ConfigError: an option is unknown.

    Shape:
        clouds ``(B, N, 3)`` with features ``(B, N, F)`` to boxes, see
        :meth:`~dense3d.detection3d.point_detector.PointDetector.forward`; mode ``"tensor"`` gives
        :class:`~dense3d.detection3d.threedetr.heads.BoxPredictions`.

    Example:
        >>> import torch
        >>> backbone = dict(type="PointNet2", in_channels=0, num_points=(16,), radii=(0.5,),
        ...     num_neighbours=(8,), channels=((16,),), propagation=())
        >>> model = ThreeDETR(backbone, 2, num_queries=5, encoder=dict(num_layers=1),
        ...     decoder=dict(dim=16, num_layers=2)).eval()
        >>> model(torch.rand(1, 64, 3)).boxes.shape
        torch.Size([2, 1, 5, 7])
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        num_classes: int,
        num_heading_bins: int = 12,
        num_queries: int = 256,
        encoder: dict[str, Any] | None = None,
        decoder: dict[str, Any] | None = None,
        query_content: str = "zero",
        head_dropout: float = 0.3,
        criterion: dict[str, Any] | None = None,
        decoding: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(backbone, num_classes, decoding, data_preprocessor, init_cfg)
        if query_content not in QUERY_CONTENTS:
            raise ConfigError(
                f"query_content={query_content!r} of 3DETR: use one of {', '.join(map(repr, QUERY_CONTENTS))}"
            )
        self.query_content = query_content
        self.num_queries, self.num_heading_bins = num_queries, num_heading_bins
        width = self.backbone.out_channels
        self.encoder = PointEncoder(width, **(encoder or {}))
        self.decoder = BoxDecoderLayers(**(decoder or {}))
        dim = self.decoder.norm.normalized_shape[0]
        hidden = 2 if self.encoder.radii is None else 1
        self.projection = PointLayers((width, *[width] * hidden, dim))
        for layer in self.projection:
            layer[0].reset_parameters()  # PyTorch's initial weights, as officially
        self.position = FourierPosition(dim)
        self.query_projection = nn.Sequential(
            nn.Linear(dim, dim), nn.ReLU(inplace=True), nn.Linear(dim, dim), nn.ReLU(inplace=True)
        )
        self.heads = BoxHeads(dim, num_classes, num_heading_bins, head_dropout)
        self.criterion = SetCriterion(**(criterion or {}))

    def predictions(
        self,
        points: Tensor,
        features: Tensor | None,
        lengths: Tensor | None,
        bounds: SceneBounds | None = None,
    ) -> BoxPredictions:
        """Boxes of all layers of the decoder; ``bounds`` are those of the clouds unless given."""
        bounds = bounds or bounds_of(points, lengths)
        encoded = self.encoder(self.backbone.seeds(points, features, lengths))
        memory = self.projection(encoded.features.flatten(0, 1)).unflatten(0, encoded.features.shape[:2])
        chosen = self.query_indices(encoded.points)
        places = gather_points(encoded.points, chosen)
        queries = self.query_projection(self.position(places, bounds))
        start = gather_points(memory, chosen) if self.query_content == "points" else None
        content = self.decoder(queries, memory, self.position(encoded.points, bounds), start)
        return self.heads(content, places, bounds)

    def query_indices(self, points: Tensor) -> Tensor:
        """``(B, Q)``, spread ones of the encoded points ``(B, N, 3)``.

        Raises:
            DataError: there are fewer points than queries.
        """
        if points.shape[1] < self.num_queries:
            raise DataError(
                f"{points.shape[1]} encoded points cannot hold {self.num_queries} queries: set a smaller "
                "num_queries, or more points in the backbone"
            )
        return farthest_point_sample(points.float(), self.num_queries, skip_origin=True)

    def losses(
        self,
        found: BoxPredictions,
        points: Tensor,
        lengths: Tensor | None,
        boxes: list[Tensor],
        labels: list[Tensor],
        samples: list[PointDataSample],
    ) -> dict[str, Tensor]:
        """Losses of a batch, see :class:`~dense3d.detection3d.threedetr.criterion.SetCriterion`."""
        if self.num_heading_bins == 1 and any((one[:, 6].abs() > 1e-3).any() for one in boxes):
            raise DataError(
                "boxes are turned and the network has one bin for headings: set num_heading_bins=12, or have "
                "the pipeline make boxes along the axes"
            )
        bounds = bounds_of(points, lengths)
        return self.criterion(found, set_targets(boxes, labels, bounds, self.num_heading_bins))

    def scored(self, found: BoxPredictions) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes ``(B, Q, 7)``, objectness ``(B, Q)`` and probabilities of classes of the last layer."""
        probabilities, objectness = found.probabilities()
        return found.boxes[-1], objectness[-1], probabilities[-1]
