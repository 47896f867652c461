"""From lists of pairs to normalised, padded batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from dense3d.errors import ConfigError, DataError
from dense3d.registry import MODELS
from dense3d.structures.stereo_sample import StereoSample

INVALID = {
    "gt_disparity": float("inf"),
    "gt_flow": float("inf"),
    "gt_depth": 0.0,
    "gt_nonoccluded": False,
}


@MODELS.register_module()
class StereoDataPreprocessor(BaseDataPreprocessor):
    """Normalise both images of each pair and pad them, right and bottom, to a common size.

    Args:
        mean, std: of the three channels (red, green, blue), in 0..255; one number stands for all three.
            None leaves values as they are.
        pad_divisor: height and width become multiples of it.
        pad_mode: ``"replicate"`` continues the edges; ``"constant"`` writes ``pad_value``, in the units of
            the normalised images.
        pad_value: see there.
        pad_size: least height and width.
        non_blocking: of the copies to the device.

    Example:
        >>> preprocessor = StereoDataPreprocessor(mean=0, std=255, pad_divisor=32)
        >>> images = [torch.full((3, 40, 64), 255, dtype=torch.uint8)]
        >>> batch = preprocessor({"inputs": {"left": images, "right": images}})
        >>> batch["inputs"]["left"].shape, batch["inputs"]["left"].max()
        (torch.Size([1, 3, 64, 64]), tensor(1.))
    """

    def __init__(
        self,
        mean: Sequence[float] | float | None = None,
        std: Sequence[float] | float | None = None,
        pad_divisor: int = 1,
        pad_mode: str = "replicate",
        pad_value: float = 0.0,
        pad_size: tuple[int, int] = (1, 1),
        non_blocking: bool = False,
    ) -> None:
        super().__init__(non_blocking)
        if (mean is None) != (std is None):
            raise ConfigError("StereoDataPreprocessor takes mean and std together, or neither")
        if pad_mode not in ("replicate", "constant"):
            raise ConfigError(f"pad_mode must be 'replicate' or 'constant', not {pad_mode!r}")
        if int(pad_divisor) != pad_divisor or pad_divisor < 1:
            raise ConfigError(f"pad_divisor must be a whole number of at least 1, not {pad_divisor!r}")
        self.normalises = mean is not None
        if self.normalises:
            self.register_buffer("mean", _channels("mean", mean), persistent=False)
            self.register_buffer("std", _channels("std", std), persistent=False)
            if not (np.asarray(std) > 0).all():  # no tensor: the model may be built on the meta device
                raise ConfigError(f"std must be positive, not {std!r}")
        self.pad_divisor, self.pad_mode, self.pad_value = pad_divisor, pad_mode, pad_value
        self.pad_size = tuple(pad_size)

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Batch a list of pairs.

        Args:
            data: ``inputs``: ``left`` and ``right``, each a list of (3, H, W) or one (B, 3, H, W), any dtype;
                ``left_pyramid`` and ``right_pyramid`` too if there are: for each level such a list.
                ``data_samples``: a :class:`~dense3d.structures.StereoSample` for each pair, or none.
            training: has no influence.

        Returns:
            ``inputs`` with float tensors (B, 3, H', W') (pyramids: a list of those, not padded, so that
            all pairs must have one size) and ``data_samples``, whose ground truth is padded as invalid.
            ``img_shape`` stays the size before padding, ``batch_input_shape`` is the one after it.

        Raises:
            DataError: left and right differ in size, or an image has not three channels.
        """
        data = self.cast_data(data)
        inputs, samples = dict(data["inputs"]), data.get("data_samples")
        left, right = list(inputs["left"]), list(inputs["right"])
        if samples is not None and len(samples) != len(left):
            raise DataError(f"{len(left)} pairs came with {len(samples)} data samples")
        for index, pair in enumerate(zip(left, right, strict=True)):
            _check(pair, samples[index] if samples else None)
        shape = self._shape(left)
        batch = {name: self._batch(images, shape) for name, images in (("left", left), ("right", right))}
        for name in ("left_pyramid", "right_pyramid"):
            if name in inputs:
                batch[name] = [self._stack(level) for level in inputs[name]]
        if samples is not None:
            samples = [self._pad_sample(sample, i, shape) for sample, i in zip(samples, left)]
        return {"inputs": batch, "data_samples": samples}

    def _shape(self, images: list[Tensor]) -> tuple[int, int]:
        sides = [max(least, *(i.shape[axis] for i in images)) for axis, least in zip((-2, -1), self.pad_size)]
        return tuple(-(-side // self.pad_divisor) * self.pad_divisor for side in sides)

    def normalise(self, image: Tensor) -> Tensor:
        """Images ``(..., 3, H, W)`` in 0..255 as the network sees them, float32."""
        image = image.float()
        return (image - self.mean) / self.std if self.normalises else image

    def _batch(self, images: list[Tensor], shape: tuple[int, int]) -> Tensor:
        return torch.stack([self._pad(self.normalise(image), shape) for image in images])

    def _stack(self, level: Sequence[Tensor]) -> Tensor:
        if len({tuple(image.shape) for image in level}) > 1:
            raise DataError("pyramids of a batch differ in size: resize or crop all pairs to one size first")
        return torch.stack([self.normalise(image) for image in level])

    def _pad(self, image: Tensor, shape: tuple[int, int]) -> Tensor:
        more = (0, shape[1] - image.shape[2], 0, shape[0] - image.shape[1])
        if not any(more):
            return image
        value = self.pad_value if self.pad_mode == "constant" else None
        return F.pad(image[None], more, self.pad_mode, value)[0]

    def _pad_sample(self, sample: StereoSample, image: Tensor, shape: tuple[int, int]) -> StereoSample:
        """A copy with padded ground truth; maps of twice the size (Spring's) are padded twice as much."""
        height, width = image.shape[-2:]
        sample = sample.new()
        if "img_shape" not in sample:
            sample.set_metainfo({"img_shape": (height, width)})
        sample.set_metainfo({"batch_input_shape": shape})
        for name, invalid in INVALID.items():
            if name not in sample:
                continue
            values = sample.get(name)
            factor = 2 if values.shape[-2:] == (2 * height, 2 * width) else 1
            more = (0, factor * (shape[1] - width), 0, factor * (shape[0] - height))
            if any(more):
                sample.set_data({name: F.pad(values, more, value=invalid)})
        return sample


def _channels(name: str, values: Sequence[float] | float) -> Tensor:
    # on the CPU also where a model is built on the meta device, since their values are looked at
    tensor = torch.as_tensor(values, dtype=torch.float32, device="cpu").reshape(-1, 1, 1)
    if len(tensor) not in (1, 3):
        raise ConfigError(f"{name} has {len(tensor)} numbers; give one, or three for red, green and blue")
    return tensor.expand(3, 1, 1).clone()


def _check(pair: tuple[Tensor, Tensor], sample: StereoSample | None) -> None:
    paths = [sample.get(f"{side}_path") if sample is not None else None for side in ("left", "right")]
    left, right = (str(path or f"the {side} image") for path, side in zip(paths, ("left", "right")))
    for image, name in zip(pair, (left, right)):
        if image.ndim != 3 or image.shape[0] != 3:
            raise DataError(
                f"{name}: a model reads (3, H, W) in RGB, not {tuple(image.shape)}; repeat the one channel "
                "of a grey image three times, as dense3d's loaders do"
            )
    if pair[0].shape != pair[1].shape:
        sizes = [f"{image.shape[-1]} x {image.shape[-2]}" for image in pair]
        raise DataError(
            f"{left} is {sizes[0]} pixels, but {right} is {sizes[1]}: both images of a pair have one size"
        )
