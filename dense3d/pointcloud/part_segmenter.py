"""Parts of objects by a point transformer and feature propagation.

Pang et al., "Masked Autoencoders for Point Cloud Self-supervised Learning", ECCV 2022, section 4.2, and the
official code's ``segmentation/models/pt.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor, nn

from dense3d.errors import ConfigError, DataError
from dense3d.pointcloud.batches import points_of
from dense3d.pointcloud.data_preprocessor import PointDataPreprocessor
from dense3d.pointcloud.feature_propagation import FeaturePropagation
from dense3d.pointcloud.point_labels import point_labels, point_losses
from dense3d.pointcloud.transformer import PointTransformer
from dense3d.registry import MODELS
from dense3d.structures import PointDataSample


class PartHead(nn.Module):
    """Scores of parts for each point, from its own features and those of the whole object.

    Args:
        in_channels: of a point and the object together.
        num_parts: of the scores.
        channels: of the two layers between.
        dropout: behind the first of them.
    """

    def __init__(
        self, in_channels: int, num_parts: int, channels: tuple[int, int] = (512, 256), dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.linear1, self.norm1 = nn.Linear(in_channels, channels[0]), nn.BatchNorm1d(channels[0])
        self.dropout = nn.Dropout(dropout)
        self.linear2, self.norm2 = nn.Linear(*channels), nn.BatchNorm1d(channels[1])
        self.classify = nn.Linear(channels[1], num_parts)

    def forward(self, features: Tensor, whole: Tensor, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Outputs of the two layers between, and logits.

        The first layer multiplies the object's features once an object and not once a point.

        Args:
            features: ``(R, F)``, of all points of a batch.
            whole: ``(B, W)``, of the objects; ``F + W`` is ``in_channels``.
            counts: ``(B,)``, points of each object.
        """
        of_point, of_whole = self.linear1.weight.split([features.shape[1], whole.shape[1]], dim=1)
        shared = F.linear(whole, of_whole, self.linear1.bias).repeat_interleave(counts, dim=0)  # (R, 512)
        first = F.relu(self.norm1(F.linear(features, of_point) + shared))
        second = F.relu(self.norm2(self.linear2(self.dropout(first))))
        return first, second, self.classify(second)


@MODELS.register_module()
class PartSegmenter(BaseModel):
    """A part for each point of an object of a known category.

    Args:
        backbone: arguments of :class:`dense3d.pointcloud.PointTransformer`.
        num_parts: of all categories together.
        category_parts: for each category the numbers of its parts; predictions are restricted to those of
            the object's category. None for no restriction.
        num_categories: of objects; those of ``category_parts`` unless given.
        fetch_blocks: blocks whose outputs are joined, from 0.
        propagation_channels: layers behind the interpolation, 4 times ``embed_dim`` and 1024 unless given.
        category_channels: of the category's feature.
        dropout: of the head.
        data_preprocessor, init_cfg: see mmengine's ``BaseModel``.

    Shape:
        clouds ``(B, N, 3)``, or what :class:`dense3d.pointcloud.PointDataPreprocessor` gives; clouds of a
        batch may differ in size.

    Raises:
        ConfigError: a block or a part does not exist, or nothing tells the number of categories.
        DataError: a cloud has no category, or one that does not exist, or too few points.

    Example:
        >>> small = dict(embed_dim=24, depth=3, num_heads=2, num_groups=8, group_size=4)
        >>> model = PartSegmenter(small, num_parts=4, num_categories=2, fetch_blocks=(0, 1, 2)).eval()
        >>> model.log_probabilities(torch.rand(2, 32, 3), torch.tensor([0, 1])).shape
        torch.Size([2, 32, 4])
    """

    def __init__(
        self,
        backbone: dict,
        num_parts: int,
        category_parts: Sequence[Sequence[int]] | None = None,
        num_categories: int | None = None,
        fetch_blocks: Sequence[int] = (3, 7, 11),
        propagation_channels: Sequence[int] | None = None,
        category_channels: int = 64,
        dropout: float = 0.5,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor or PointDataPreprocessor(), init_cfg)
        self.backbone = PointTransformer(**{k: v for k, v in backbone.items() if k != "type"})
        self.num_parts, self.fetch_blocks = num_parts, tuple(fetch_blocks)
        self.num_categories = num_categories if num_categories is not None else len(category_parts or ())
        self._check_settings(category_parts)
        dim = self.backbone.embed_dim
        levels = dim * len(self.fetch_blocks)
        channels = tuple(propagation_channels or (4 * dim, 1024))
        self.category_embed = nn.Sequential(
            nn.Linear(self.num_categories, category_channels, bias=False),
            nn.BatchNorm1d(category_channels),
            nn.LeakyReLU(0.2),
        )
        self.propagation = FeaturePropagation(levels, channels)
        self.head = PartHead(channels[-1] + 2 * levels + category_channels, num_parts, dropout=dropout)
        allowed = torch.ones(self.num_categories, num_parts, dtype=torch.bool)
        if category_parts is not None:
            allowed.zero_()
            for category, parts in enumerate(category_parts):
                allowed[category, list(parts)] = True
        self.register_buffer("allowed", allowed, persistent=False)

    def _check_settings(self, category_parts: Sequence[Sequence[int]] | None) -> None:
        depth = len(self.backbone.blocks)
        known = sorted({*self.fetch_blocks} & {*range(depth)})
        if not known or known != list(self.fetch_blocks):
            raise ConfigError(
                f"fetch_blocks={self.fetch_blocks}: the backbone has blocks 0 to {depth - 1}, each to be "
                "named once and in their order"
            )
        if self.num_categories < 1 or len(category_parts or ()) not in (0, self.num_categories):
            raise ConfigError("a PartSegmenter needs category_parts, or num_categories, of the same number")
        for category, parts in enumerate(category_parts or ()):
            if not parts or not all(0 <= part < self.num_parts for part in parts):
                raise ConfigError(
                    f"category_parts[{category}]={list(parts)}: there are parts 0 to {self.num_parts - 1}"
                )

    def forward(
        self,
        inputs: Tensor | Mapping[str, Tensor | None],
        data_samples: list[PointDataSample] | None = None,
        mode: str = "tensor",
    ) -> dict[str, Tensor] | list[PointDataSample] | Tensor:
        """Losses, predictions or log probabilities.

        Args:
            inputs: clouds.
            data_samples: with ``category``; for ``"loss"`` also ``gt_point_labels``.
            mode: ``"loss"``, the negative log likelihood over all parts and the accuracy in percent, of
                points whose label is not -1;
                ``"predict"``, samples with ``pred_point_labels`` ``(N,)``, of the category's parts alone, and
                ``pred_point_scores`` ``(N, P)``, log probabilities; or ``"tensor"``, log probabilities
                ``(B, N, P)``, or ``(sum of N, P)`` of clouds of several sizes.
        """
        points, lengths = points_of(inputs)
        categories = self._categories(data_samples, len(points), points.device)
        found = self.log_probabilities(points, categories, lengths)
        if mode == "tensor":
            return found
        counts = [points.shape[1]] * len(points) if lengths is None else lengths.tolist()
        found = found.flatten(0, -2)  # (R, P)
        if mode == "predict":
            return self._samples(found, categories, counts, data_samples)
        labels = point_labels(data_samples, counts, self.num_parts, "part").to(found.device)
        return point_losses(found, labels)

    def log_probabilities(self, points: Tensor, categories: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Log probabilities of all parts.

        Args:
            points: ``(B, N, 3)``.
            categories: ``(B,)``.
            lengths: ``(B,)``, how many first points of each cloud count.

        Returns:
            ``(B, N, P)``; with ``lengths``, ``(sum of lengths, P)``.
        """
        logits = self.layers(points, categories, lengths)["logits"]
        found = F.log_softmax(logits.float(), dim=-1)
        return found.unflatten(0, points.shape[:2]) if lengths is None else found

    def layers(self, points: Tensor, categories: Tensor, lengths: Tensor | None = None) -> dict[str, Tensor]:
        """What lies between: features of the objects ``(B, ...)`` and of their points, one after the other.

        Args:
            points, categories, lengths: see :meth:`log_probabilities`.

        Returns:
            ``category`` ``(B, category_channels)``, ``max`` and ``mean`` ``(B, L)`` over the patches,
            ``propagated``, ``first``, ``second`` and ``logits`` ``(R, ...)`` of R points.
        """
        patches = self.backbone.group(points, lengths)
        tokens = self.backbone.patch_embed(patches.points)
        levels = torch.cat(self.backbone.encode(tokens, patches.centres, self.fetch_blocks)[1], dim=2)
        real = counts = None
        if lengths is not None:
            real = torch.arange(points.shape[1], device=points.device) < lengths[:, None]
            counts = lengths
        else:
            counts = torch.full((len(points),), points.shape[1], device=points.device)
        category = self.category_embed(F.one_hot(categories, self.num_categories).to(levels.dtype))
        whole = {"max": levels.max(dim=1).values, "mean": levels.mean(dim=1), "category": category}
        propagated = self.propagation(points, patches.centres, levels, real)
        propagated = propagated if real is not None else propagated.flatten(0, 1)
        joined = torch.cat(list(whole.values()), dim=1)
        first, second, logits = self.head(propagated, joined, counts)
        return whole | {"propagated": propagated, "first": first, "second": second, "logits": logits}

    def _categories(self, samples: list[PointDataSample] | None, number: int, device: torch.device) -> Tensor:
        if not samples or len(samples) != number or any("category" not in sample for sample in samples):
            raise DataError("a part segmentor is told the category of each object: its sample has none")
        found = torch.stack([torch.as_tensor(sample.category) for sample in samples]).view(-1).to(device)
        wrong = found[(found < 0) | (found >= self.num_categories)]
        if len(wrong):
            raise DataError(
                f"an object has the category {int(wrong[0])}; there are 0 to {self.num_categories - 1}"
            )
        return found

    def _samples(
        self, found: Tensor, categories: Tensor, counts: list[int], samples: list[PointDataSample]
    ) -> list[PointDataSample]:
        for sample, category, scores in zip(samples, categories, found.split(counts)):
            sample.pred_point_scores = scores
            sample.pred_point_labels = scores.masked_fill(~self.allowed[category], -torch.inf).argmax(dim=1)
        return samples
