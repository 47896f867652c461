"""Models whose queries are segments: each has a class and a mask, from which three kinds of results follow.

kMaX-DeepLab, Mask2Former and ECO-M2F are such models. They differ in network, criterion and the probability
of a mask, which is relative to the other queries or absolute.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

import torch
from mmengine.model import BaseModel
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from dense3d.errors import ConfigError
from dense3d.registry import MODELS
from dense3d.segmentation.panoptic_map import PanopticMap, semantic_scores, top_instances

if TYPE_CHECKING:
    from mmdet.structures import DetDataSample

RESULTS = {"panoptic_on": True, "instance_on": False, "semantic_on": False, "max_per_image": 100}


class PanopticPostProcess:
    """From the logits of one image's queries to results; a subclass is a dataclass of its thresholds.

    In all methods ``logits`` are ``(N, K + 1)``, the last is void, and ``masks`` ``(N, H, W)`` logits.
    """

    def resize(self, masks: Tensor, size: tuple[int, int], padded: tuple[int, int]) -> Tensor:
        """``(1, N, h, w)`` to another size, in a network whose input has the size ``padded``."""
        raise NotImplementedError

    def probabilities(self, masks: Tensor) -> Tensor:
        """How much each pixel belongs to each query, ``(N, H, W)`` in [0, 1]."""
        raise NotImplementedError

    def binary(self, masks: Tensor, probabilities: Tensor) -> Tensor:
        """Which pixels may belong to a query, ``(N, H, W)`` bool."""
        raise NotImplementedError

    def panoptic(self, logits: Tensor, masks: Tensor, things: Collection[int]) -> PanopticMap:
        """Each pixel with one segment at most; segments of the classes ``things`` are separate."""
        raise NotImplementedError

    def semantic(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Scores ``(K, H, W)`` of the classes; see :func:`semantic_scores`."""
        return semantic_scores(logits, self.probabilities(masks))

    def instances(
        self, logits: Tensor, masks: Tensor, number: int, things: Collection[int] | None
    ) -> InstanceData:
        """The best ``number`` pairs of query and class; see :func:`top_instances`.

        Args:
            logits: ``(N, K + 1)``.
            masks: ``(N, H, W)`` logits.
            number: of pairs.
            things: classes to keep; None keeps all.
        """
        probabilities = self.probabilities(masks)
        return top_instances(logits, probabilities, self.binary(masks, probabilities), number, things)

    def masks_of_image(
        self, masks: Tensor, padded: tuple[int, int], content: tuple[int, int], output: tuple[int, int]
    ) -> Tensor:
        """Mask logits of one image at the wanted size: resized to the input, cropped, resized again.

        Args:
            masks: ``(N, h, w)`` logits.
            padded: size of the network's input.
            content: size of the image in it, from the top left corner.
            output: wanted size.
        """
        masks = self.resize(masks[None], padded, padded)[..., : content[0], : content[1]]
        return self.resize(masks, output, padded)[0]


class PanopticModel(BaseModel):
    """Backbone, criterion and results; a subclass adds the network between them.

    Args:
        backbone: config of the image backbone.
        num_classes: K, things and stuff together; labels are 0 ... K - 1.
        thing_classes: labels that are things.
        criterion: arguments of ``criterion_class`` beside the number of classes.
        test_cfg: ``panoptic_on``, ``instance_on``, ``semantic_on``, ``max_per_image`` of instances, and the
            thresholds of ``post_process_class``.
        data_preprocessor: normalises and pads images.
        init_cfg: mmengine initialisation.

    Attributes:
        criterion_class: what gives the losses.
        post_process_class: what gives the results.
    """

    criterion_class: Callable[..., Callable[..., dict[str, Tensor]]]
    post_process_class: Callable[..., PanopticPostProcess]

    def __init__(
        self,
        backbone: dict,
        num_classes: int,
        thing_classes: Sequence[int],
        criterion: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        self.num_classes, self.thing_classes = num_classes, frozenset(thing_classes)
        self.criterion = self.criterion_class(num_classes, **(criterion or {}))
        test_cfg = dict(test_cfg or {})
        self.results = {key: test_cfg.pop(key, default) for key, default in RESULTS.items()}
        self.post_process = self.post_process_class(**test_cfg)

    @classmethod
    def test_cfg_keys(cls) -> set[str]:
        """What ``test_cfg`` may hold."""
        return {*RESULTS, *inspect.signature(cls.post_process_class).parameters}

    def decode(self, features: Sequence[Tensor]) -> Any:
        """Predictions of all layers, from the maps of the backbone."""
        raise NotImplementedError

    def final(self, predictions: Any) -> tuple[Tensor, Tensor]:
        """Class logits ``(B, N, K + 1)`` and mask logits ``(B, N, h, w)`` of the last layer."""
        raise NotImplementedError

    def losses_of(
        self, features: Sequence[Tensor], inputs: Tensor, data_samples: list[DetDataSample]
    ) -> dict[str, Tensor]:
        """:meth:`loss` from the maps of the backbone."""
        raise NotImplementedError

    def pad(self, inputs: Tensor) -> Tensor:
        """The network's input from a batch ``(B, 3, H, W)``: the same, unless a model needs more."""
        return inputs

    def extract_feat(self, inputs: Tensor) -> Sequence[Tensor]:
        """Maps of the backbone."""
        return self.backbone(inputs)

    def forward(
        self, inputs: Tensor, data_samples: list[DetDataSample] | None = None, mode: str = "tensor"
    ) -> Any:
        """mmdet's entry: ``"loss"``, ``"predict"``, or ``"tensor"`` (:meth:`predict_layers`).

        Args:
            inputs: normalised and padded images ``(B, 3, H, W)``.
            data_samples: with ``img_shape`` and ``ori_shape``, for losses with annotations.
            mode: what to return.
        """
        if mode == "loss":
            return self.loss(inputs, data_samples)
        if mode == "predict":
            return self.predict(inputs, data_samples)
        if mode == "tensor":
            return self.predict_layers(inputs)
        raise ConfigError(f'mode={mode!r} is none of "loss", "predict" and "tensor"')

    def predict_layers(self, inputs: Tensor) -> Any:
        """Predictions of all layers for images ``(B, 3, H, W)``."""
        return self.decode(self.extract_feat(self.pad(inputs)))

    def loss(self, inputs: Tensor, data_samples: list[DetDataSample]) -> dict[str, Tensor]:
        """All weighted losses; their sum is the training loss. The model's criterion names them."""
        inputs = self.pad(inputs)
        return self.losses_of(self.extract_feat(inputs), inputs, data_samples)

    @torch.no_grad()
    def predict(
        self, inputs: Tensor, data_samples: list[DetDataSample], rescale: bool = True
    ) -> list[DetDataSample]:
        """Results in the data samples, as ``test_cfg`` asks for them.

        ``pred_panoptic_seg`` in mmdet's coding, with the list ``segments`` beside it; ``pred_instances``;
        ``pred_sem_seg``.

        Args:
            inputs: ``(B, 3, H, W)``.
            data_samples: with ``img_shape``, and ``ori_shape`` where images were resized.
            rescale: give results at the size of the original image rather than of the resized one.
        """
        inputs = self.pad(inputs)
        return self.results_of(self.extract_feat(inputs), inputs, data_samples, rescale)

    def results_of(
        self, features: Sequence[Tensor], inputs: Tensor, data_samples: list[DetDataSample], rescale: bool
    ) -> list[DetDataSample]:
        """:meth:`predict` from the maps of the backbone."""
        padded = tuple(inputs.shape[-2:])
        for sample, logits, masks in zip(data_samples, *self.final(self.decode(features))):
            content = sample.img_shape[:2]
            output = sample.get("ori_shape", content)[:2] if rescale else content
            masks = self.post_process.masks_of_image(masks.float(), padded, content, output)
            self._add_results(sample, logits.float(), masks)
        return data_samples

    def _add_results(self, sample: DetDataSample, logits: Tensor, masks: Tensor) -> None:
        panoptic_on = self.results["panoptic_on"]
        if panoptic_on:
            result = self.post_process.panoptic(logits, masks, self.thing_classes)
            sample.pred_panoptic_seg = result.encoded(self.num_classes)
            sample.set_field(result.segments, "segments", dtype=list)
        if self.results["instance_on"]:
            kept, number = self.thing_classes if panoptic_on else None, self.results["max_per_image"]
            sample.pred_instances = self.post_process.instances(logits, masks, number, kept)
        if self.results["semantic_on"]:
            scores = self.post_process.semantic(logits, masks)
            sample.pred_sem_seg = PixelData(sem_seg=scores.argmax(0, keepdim=True))
