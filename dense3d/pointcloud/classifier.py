"""Classification of clouds by a point transformer.

Pang et al., "Masked Autoencoders for Point Cloud Self-supervised Learning", ECCV 2022, section 4.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor

from dense3d.errors import ConfigError, DataError
from dense3d.pointcloud.batches import points_of
from dense3d.pointcloud.classification_head import ClassificationHead, cloud_feature
from dense3d.pointcloud.data_preprocessor import PointDataPreprocessor
from dense3d.pointcloud.sampling import PointSampling
from dense3d.pointcloud.transformer import PointTransformer
from dense3d.registry import MODELS
from dense3d.structures import PointDataSample


@MODELS.register_module()
class PointClassifier(BaseModel):
    """A class for each cloud.

    Args:
        backbone: arguments of :class:`dense3d.pointcloud.PointTransformer`; it gets a class token.
        num_classes: of the data, or more.
        head: arguments of :class:`~dense3d.pointcloud.classification_head.ClassificationHead`.
        sampling: arguments of :class:`~dense3d.pointcloud.sampling.PointSampling`, applied in ``"loss"`` and
            ``"predict"``; None to take clouds as they come.
        voting: ``rounds``, random draws whose logits are averaged (10 officially), and ``repeats``, how often
            that is done; None for no voting. It needs ``sampling``.
        data_preprocessor, init_cfg: see mmengine's ``BaseModel``.

    Shape:
        clouds ``(B, N, 3)``, or what :class:`dense3d.pointcloud.PointDataPreprocessor` gives.

    Raises:
        ConfigError: voting without sampling, or without a round.
        DataError: a cloud has fewer points than groups or neighbours, or a label is missing or no class.

    Example:
        >>> small = dict(embed_dim=24, depth=1, num_heads=2, num_groups=8, group_size=4)
        >>> model = PointClassifier(small, num_classes=5).eval()
        >>> model(torch.rand(2, 32, 3)).shape
        torch.Size([2, 5])
    """

    def __init__(
        self,
        backbone: dict,
        num_classes: int,
        head: dict | None = None,
        sampling: dict | None = None,
        voting: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor or PointDataPreprocessor(), init_cfg)
        settings = {k: v for k, v in backbone.items() if k != "type"} | {"class_token": True}
        self.backbone = PointTransformer(**settings)
        self._num_classes = num_classes  # of a few-shot fold, fewer than its data set has
        self.head = ClassificationHead(2 * self.backbone.embed_dim, num_classes, **(head or {}))
        self.sampling = None if sampling is None else PointSampling(**sampling)
        self.voting = _checked_voting(voting, self.sampling)

    def forward(
        self,
        inputs: Tensor | Mapping[str, Tensor | None],
        data_samples: list[PointDataSample] | None = None,
        mode: str = "tensor",
    ) -> dict[str, Tensor] | list[PointDataSample] | Tensor:
        """Losses, predictions or logits.

        Args:
            inputs: clouds.
            data_samples: with ``gt_label``, for ``"loss"``; ``"predict"`` adds to them.
            mode: ``"loss"``, cross entropy and the accuracy in percent; ``"predict"``, samples with
                ``pred_label``, ``pred_scores`` ``(C,)``, which sum to 1, and with voting
                ``pred_vote_logits`` ``(repeats, C)``; or ``"tensor"``, logits ``(B, C)``.
        """
        points, lengths = points_of(inputs)
        if mode == "loss":
            labels = self._labels(data_samples, points.device)
            return self.loss(self._logits(*self._sampled(points, lengths, True)), labels)
        if mode == "predict":
            return self._predict(points, lengths, data_samples)
        return self._logits(points, lengths)

    def features(self, points: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Class token and maximum over the others, ``(B, 2 * embed_dim)``, of clouds ``(B, N, 3)``."""
        return cloud_feature(self.backbone(points, lengths)[0])

    def loss(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Cross entropy of logits ``(B, C)``, and the accuracy in percent.

        Args:
            logits: ``(B, C)``.
            labels: ``(B,)``.
        """
        accuracy = 100 * (logits.detach().argmax(dim=1) == labels).float().mean()
        return {"loss": F.cross_entropy(logits.float(), labels), "accuracy": accuracy}

    def _logits(self, points: Tensor, lengths: Tensor | None) -> Tensor:
        return self.head(self.features(points, lengths))

    def _sampled(
        self, points: Tensor, lengths: Tensor | None, training: bool
    ) -> tuple[Tensor, Tensor | None]:
        if self.sampling is None:
            return points, lengths
        sample = self.sampling.training_points if training else self.sampling.test_points
        return sample(points, lengths)

    def _labels(self, samples: list[PointDataSample] | None, device: torch.device) -> Tensor:
        if not samples or any("gt_label" not in sample for sample in samples):
            raise DataError("clouds came without gt_label: use a data set of classified clouds")
        labels = torch.stack([torch.as_tensor(sample.gt_label) for sample in samples]).view(-1).to(device)
        wrong = labels[(labels < 0) | (labels >= self._num_classes)]
        if len(wrong):
            raise DataError(
                f"a cloud has the label {int(wrong[0])} and the model {self._num_classes} classes: set "
                "model.num_classes to the data's"
            )
        return labels

    def _predict(
        self, points: Tensor, lengths: Tensor | None, samples: list[PointDataSample] | None
    ) -> list[PointDataSample]:
        scores = self._logits(*self._sampled(points, lengths, False)).float().softmax(dim=1)
        samples = samples or [PointDataSample() for _ in scores]
        for sample, score in zip(samples, scores):
            sample.pred_scores, sample.pred_label = score, score.argmax()
        if self.voting is not None:
            votes = torch.stack([self._vote(points, lengths, i) for i in range(self.voting["repeats"])], 1)
            for sample, vote in zip(samples, votes):
                sample.pred_vote_logits = vote
        return samples

    def _vote(self, points: Tensor, lengths: Tensor | None, repeat: int) -> Tensor:
        """Mean logits ``(B, C)`` over random draws."""
        draws = self.sampling.votes(points, lengths, self.voting["rounds"], seed=repeat)
        return torch.stack([self._logits(*draw).float() for draw in draws]).mean(dim=0)


def _checked_voting(voting: dict[str, Any] | None, sampling: PointSampling | None) -> dict[str, int] | None:
    if voting is None:
        return None
    settings = {"rounds": 10, "repeats": 1} | voting
    unknown = set(settings) - {"rounds", "repeats"}
    if unknown or any(not isinstance(n, int) or n < 1 for n in settings.values()):
        raise ConfigError(f"voting={voting!r}: give rounds and repeats, each 1 or more")
    if sampling is None:
        raise ConfigError("voting draws points at random: give sampling=dict(num_points=...) as well")
    return settings
