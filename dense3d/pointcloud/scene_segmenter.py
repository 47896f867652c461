"""Classes of the points of scenes from features of all levels of a hierarchical network.

Hermosilla et al., "Masked Scene Modeling", CVPR 2025: the linear layer on hierarchical features that frozen
networks are evaluated by. The rest of the head is decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.pointcloud.data_preprocessor import PointDataPreprocessor
from dense3d.pointcloud.hunet import HUNet
from dense3d.pointcloud.point_labels import point_labels, point_losses
from dense3d.pointcloud.sparse import build_pyramid, sample_levels
from dense3d.pointcloud.voxel_batch import clouds_of, voxel_batch
from dense3d.registry import MODELS
from dense3d.structures import PointDataSample

FEW = 1 << 16  # points whose scores are computed at a time in evaluation


@MODELS.register_module()
class SceneSegmenter(BaseModel):
    """A class for each point of a scene, for all of its points and not only for one of each voxel.

    Args:
        backbone: arguments of :class:`dense3d.pointcloud.hunet.HUNet`, whose ``init_cfg`` names the weights
            to start from.
        num_classes: C.
        voxel_size: metres.
        frozen: only the head is trained; the backbone stays in evaluation mode and in float32.
        sampling: ``mode`` and ``mapping`` of :func:`dense3d.pointcloud.sparse.sample_levels`.
        train_points: so many random points of each batch are classified in training; all unless given.
        data_preprocessor, init_cfg: see mmengine's ``BaseModel``.

    Shape:
        what :class:`dense3d.pointcloud.PointDataPreprocessor` gives, with features.

    Raises:
        ConfigError: ``sampling`` has an unknown key, or fewer than two points would be classified.
        DataError: clouds without features; labels that do not go with the points or that do not exist.

    Example:
        >>> small = dict(in_channels=3, channels=(8, 16), convs=(1, 1), attentions=(0, 1), num_heads=(1, 2),
        ...     windows=(32, 32), decoder_channels=(8, 16), decoder_convs=(1, 1), decoder_attentions=(0, 1),
        ...     decoder_num_heads=(1, 2), decoder_windows=(32, 32))
        >>> model = SceneSegmenter(small, num_classes=5, voxel_size=0.1).eval()
        >>> model({"points": torch.rand(2, 50, 3), "features": torch.rand(2, 50, 3)}).shape
        torch.Size([100, 5])
    """

    def __init__(
        self,
        backbone: dict,
        num_classes: int,
        voxel_size: float = 0.02,
        frozen: bool = True,
        sampling: dict | None = None,
        train_points: int | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor or PointDataPreprocessor(), init_cfg)
        self.backbone = HUNet(**{key: value for key, value in backbone.items() if key != "type"})
        self.num_classes, self.voxel_size, self.frozen = num_classes, voxel_size, frozen
        self.sampling, self.train_points = dict(sampling or {}), train_points
        if train_points is not None and train_points < 2:
            raise ConfigError(
                f"train_points={train_points} of a SceneSegmenter: batch norm needs two at least"
            )
        unknown = [key for key in self.sampling if key not in ("mode", "mapping")]
        if unknown:
            raise ConfigError(f"sampling of a SceneSegmenter has mode and mapping, not {unknown[0]!r}")
        channels = sum(self.backbone.out_channels)
        self.norm, self.classify = nn.BatchNorm1d(channels), nn.Linear(channels, num_classes)
        if frozen:
            self.backbone.requires_grad_(False)

    def train(self, mode: bool = True) -> SceneSegmenter:
        """As for every module, but a frozen backbone stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def forward(
        self,
        inputs: Mapping[str, Tensor | None],
        data_samples: list[PointDataSample] | None = None,
        mode: str = "tensor",
    ) -> dict[str, Tensor] | list[PointDataSample] | Tensor:
        """Losses, predictions or logits.

        Args:
            inputs: clouds.
            data_samples: for ``"loss"`` with ``gt_point_labels``, -1 where a point has none.
            mode: ``"loss"``, cross entropy and the accuracy in percent; ``"predict"``, samples with
                ``pred_point_labels`` and ``pred_point_scores`` ``(N,)``, the class of each point and its
                probability; or ``"tensor"``, logits ``(R, C)`` of all points, cloud after cloud.
        """
        points, features, lengths = clouds_of(inputs, self.backbone.in_channels)
        if mode == "loss":
            labels = point_labels(data_samples, lengths.tolist(), self.num_classes).to(points.device)
            chosen = self._some(labels)
            found = self._head(self.features(points, features, lengths, chosen))
            return point_losses(F.log_softmax(found.float(), dim=1), labels[chosen])
        sample = self.sampler(points, features, lengths)
        some = torch.arange(len(points), device=points.device).split(FEW)
        logits = (self._head(sample(part)) for part in some)  # not all features at once
        if mode == "tensor":
            return torch.cat([*logits])
        best = [F.softmax(part.float(), dim=1).max(dim=1) for part in logits]
        samples = data_samples or [PointDataSample() for _ in lengths]
        best = (torch.cat([*values]) for values in zip(*best))
        parts = (values.split(lengths.tolist()) for values in best)
        for sample, scores, labels in zip(samples, *parts):
            sample.set_data({"pred_point_scores": scores, "pred_point_labels": labels})
        return samples

    def features(
        self, points: Tensor, features: Tensor, lengths: Tensor, chosen: Tensor | None = None
    ) -> Tensor:
        """Features of all levels at points.

        Args:
            points: ``(R, 3)``, clouds one after the other.
            features: ``(R, F)`` of these points.
            lengths: ``(B,)``, points of each cloud.
            chosen: ``(K,)`` points that features are wanted of; all unless given.

        Returns:
            ``(K, sum of C_l)``, finest level first.
        """
        return self.sampler(points, features, lengths)(chosen)

    def sampler(self, points: Tensor, features: Tensor, lengths: Tensor) -> Callable[[Tensor | None], Tensor]:
        """What gives :meth:`features` at chosen points, after one pass of the backbone.

        Features of all points of a large scene may not fit into memory: 3.7 GB for a million points of 928
        channels.
        """
        with self._as_it_is(points.device):
            voxels = voxel_batch(points, features, lengths, self.voxel_size, random=self.training)
            pyramid = build_pyramid(voxels.coords, voxels.scene, self.backbone.depth)
            maps = self.backbone(pyramid, voxels.features)
        levels = self.backbone.out_levels

        def sample(chosen: Tensor | None = None) -> Tensor:
            places = slice(None) if chosen is None else chosen
            grid, scene = voxels.grid[places], voxels.point_scene[places]
            with self._as_it_is(points.device):
                return sample_levels(pyramid, maps, grid, scene, levels=levels, **self.sampling)

        return sample

    @contextmanager
    def _as_it_is(self, device: torch.device) -> Iterator[None]:
        """Without gradients and mixed precision if the backbone is frozen."""
        if not self.frozen:
            yield
            return
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            yield

    def _head(self, features: Tensor) -> Tensor:
        return self.classify(self.norm(features))

    def _some(self, labels: Tensor) -> Tensor:
        """Points that a training step classifies."""
        if self.train_points is None or len(labels) <= self.train_points:
            return torch.arange(len(labels), device=labels.device)
        return torch.randperm(len(labels))[: self.train_points].sort().values.to(labels.device)
