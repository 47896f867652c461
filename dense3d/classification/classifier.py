"""Classification of images by any backbone of the registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from dense3d.classification.weights import official_classifier, start_head
from dense3d.errors import ConfigError, DataError
from dense3d.layers.class_heads import MapHead
from dense3d.registry import MODELS

HEADS = ("official", "linear")


@MODELS.register_module()
class ImageClassifier(BaseModel):
    """A class for each image.

    Args:
        backbone: config of any backbone. With ``init_cfg=dict(type="Pretrained", checkpoint=...)`` it starts
            from that file, and so does as much of the head as the file has and fits.
        num_classes: C, of the data; 2 or more.
        head: ``"official"``, the tail of the family's classifier (``class_head`` of the backbone), or
            ``"linear"``, layer norm and a linear layer on the mean of the last map, which backbones without a
            tail of their own have in any case.
        label_smoothing: share of the target that is spread over all classes.
        data_preprocessor: config, usually of :class:`dense3d.classification.ClassDataPreprocessor`, which
            mixes images.
        init_cfg: see mmengine's ``BaseModel``.

    Shape:
        images ``(B, 3, H, W)``, normalised RGB, to logits ``(B, C)``.

    Raises:
        ConfigError: an unknown head, fewer than two classes, or a backbone that neither has a tail nor says
            how many channels its maps have.
        DataError: a label is missing or no class.

    Example:
        >>> swin = dict(type="Swin", arch=dict(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2)))
        >>> ImageClassifier(swin, num_classes=5).eval()(torch.zeros(2, 3, 64, 48)).shape
        torch.Size([2, 5])
    """

    def __init__(
        self,
        backbone: dict,
        num_classes: int,
        head: str = "official",
        label_smoothing: float = 0.0,
        data_preprocessor: dict | nn.Module | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        _check_arguments(num_classes, head, label_smoothing)
        if isinstance(data_preprocessor, Mapping):
            settings = {"type": "ClassDataPreprocessor", **data_preprocessor}
            if settings.get("batch_augment"):
                settings["batch_augment"] = {"num_classes": num_classes, **settings["batch_augment"]}
            data_preprocessor = MODELS.build(settings)
        super().__init__(data_preprocessor, init_cfg)
        self.num_classes, self.label_smoothing = num_classes, label_smoothing
        self.backbone = MODELS.build(backbone)
        self.has_official_head = head == "official" and hasattr(self.backbone, "class_head")
        if self.has_official_head:
            self.head = self.backbone.class_head(num_classes)
            if hasattr(self.backbone, "drop_output_norms"):
                self.backbone.drop_output_norms()
        else:
            self.head = MapHead(_last_channels(self.backbone), num_classes)

    def forward(
        self, inputs: Tensor, data_samples: list[BaseDataElement] | None = None, mode: str = "tensor"
    ) -> dict[str, Tensor] | list[BaseDataElement] | Tensor:
        """Losses, predictions or logits.

        Args:
            inputs: images ``(B, 3, H, W)``.
            data_samples: for ``"loss"`` with ``gt_label``, or ``gt_score`` ``(C,)``, which sums to 1;
                ``"predict"`` adds to them.
            mode: ``"loss"``, cross entropy and, of hard labels, the accuracy in percent; ``"predict"``,
                samples with ``pred_label`` and ``pred_scores`` ``(C,)``; or ``"tensor"``, logits ``(B, C)``.
        """
        logits = self.logits(inputs)
        if mode == "loss":
            return self.loss(logits, self._targets(data_samples, logits))
        if mode == "predict":
            return self.predictions(logits, data_samples)
        return logits

    def logits(self, images: Tensor) -> Tensor:
        """Logits ``(B, C)`` of images."""
        return self.head(self.features(images))

    def features(self, images: Tensor) -> Tensor:
        """What the head takes: a map, tokens or pooled features, as the backbone's tail wants them."""
        if not self.has_official_head:
            return self.backbone(images)[-1]
        # plain transformers embed patches; what leaves their blocks has a name of its own
        encode = getattr(self.backbone, "encode", self.backbone.embed)
        return encode(images)

    def loss(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Cross entropy with label smoothing.

        Args:
            logits: ``(B, C)``.
            targets: labels ``(B,)``, or scores ``(B, C)`` whose rows sum to 1.
        """
        logits = logits.float()
        losses = {"loss": F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)}
        if targets.ndim == 1:
            losses["accuracy"] = 100 * (logits.detach().argmax(dim=1) == targets).float().mean()
        return losses

    def predictions(
        self, logits: Tensor, samples: list[BaseDataElement] | None = None
    ) -> list[BaseDataElement]:
        """Samples, new ones unless given, with the probabilities and the class of logits ``(B, C)``."""
        scores = logits.float().softmax(dim=1)
        samples = samples or [BaseDataElement() for _ in scores]
        for sample, score in zip(samples, scores):
            sample.set_field(score, "pred_scores")
            sample.set_field(score.argmax(), "pred_label")
        return samples

    def init_weights(self) -> None:
        """Start the parts; the head from the backbone's checkpoint, as far as it has one that fits."""
        super().init_weights()
        init_cfg = getattr(self.backbone, "init_cfg", None) or {}
        if self.has_official_head and init_cfg.get("type") == "Pretrained":
            start_head(self.head, self.backbone, init_cfg["checkpoint"])

    def adapt_checkpoint(self, checkpoint: dict[str, Any], path: object) -> dict[str, Any]:
        """A checkpoint of ours as it is; an official one, with its classifier, in our names.

        Raises:
            CheckpointError: the file is of a backbone alone, of another family or number of classes.
        """
        return official_classifier(self, checkpoint, path)

    def _targets(self, samples: list[BaseDataElement] | None, logits: Tensor) -> Tensor:
        if samples and all("gt_score" in sample for sample in samples):
            return torch.stack([sample.gt_score for sample in samples]).to(logits.device, torch.float32)
        if not samples or any("gt_label" not in sample for sample in samples):
            raise DataError("images came without gt_label: use a data set of classes, such as ClassFolder")
        labels = torch.stack([torch.as_tensor(sample.gt_label) for sample in samples]).view(-1)
        wrong = labels[(labels < 0) | (labels >= self.num_classes)]
        if len(wrong):
            raise DataError(
                f"an image has the label {int(wrong[0])} and the model {self.num_classes} classes: set "
                "model.num_classes to the data's"
            )
        return labels.to(logits.device)


def _check_arguments(num_classes: int, head: str, label_smoothing: float) -> None:
    if not isinstance(num_classes, int) or num_classes < 2:
        raise ConfigError(
            f"ImageClassifier: num_classes={num_classes!r}, but it tells 2 classes or more apart"
        )
    if head not in HEADS:
        raise ConfigError(f"ImageClassifier: head={head!r}, but there are {' and '.join(HEADS)}")
    if not 0 <= label_smoothing < 1:
        raise ConfigError(f"ImageClassifier: label_smoothing={label_smoothing!r} must be in [0, 1)")


def _last_channels(backbone: nn.Module) -> int:
    channels = getattr(backbone, "out_channels", None)
    if not isinstance(channels, (list, tuple)):
        raise ConfigError(
            f"ImageClassifier: a {type(backbone).__name__} does not say how many channels its maps have "
            "(out_channels); use dense3d.TimmBackbone or another backbone of dense3d"
        )
    return channels[-1]
