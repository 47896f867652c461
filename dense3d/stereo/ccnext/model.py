"""CCNeXt: stereo depth that learns from rectified pairs alone.

"CCNeXt: An Effective Self-Supervised Stereo Depth Estimation Approach", arXiv 2509.22627
(github.com/alelopes/CCNext).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor

from dense3d.errors import ConfigError, DataError
from dense3d.registry import MODELS
from dense3d.stereo.ccnext.decoder import PairDecoder
from dense3d.stereo.ccnext.encoder import PairEncoder
from dense3d.stereo.ccnext.geometry import scaled_inverse_depth
from dense3d.stereo.ccnext.losses import SelfSupervisedStereoLoss, View
from dense3d.stereo.ccnext.matching import MatchingLoss
from dense3d.structures.stereo_sample import StereoSample

MIN_SIDE = 64  # a map of stride 32 needs two rows to be reflected


@MODELS.register_module()
class CCNeXt(BaseModel):
    """Self-supervised stereo depth.

    The network gives inverse depth in units in which the cameras are ``nominal_baseline`` apart: a pixel's
    disparity is ``nominal_baseline * focal * inverse_depth``, whatever the true baseline, which turns it into
    metres.

    Args:
        backbone: config of a hierarchical backbone with maps of strides 4, 8, 16 and 32.
        encoder: further arguments of :class:`PairEncoder` (``stem``, ``window_size``, ``attention_init``
            ...).
        decoder: further arguments of :class:`PairDecoder` (``dual``, ``scales``, ``channels``, ``init``).
        loss: arguments of :class:`SelfSupervisedStereoLoss` but the depths.
        matching_loss: arguments of :class:`MatchingLoss`, where the encoder has ``matching``.
        min_depth, max_depth: range of what the network can say, in nominal units.
        nominal_baseline: distance of the cameras in those units.
        normalised_focal: focal length as a fraction of the image's width, which training and disparities in
            pixels then use for every pair, as the official code does (KITTI 0.58, DrivingStereo 1.13911);
            None takes it from each pair's rig. Other intrinsics have no influence on a rectified pair.
        trained_focal: focal length in pixels of the training data, whose principal points coincide. What a
            network has learned to see is disparity in pixels, so with another camera its inverse depths are
            those of a camera as in training; predictions then take out the ratio of focal lengths and the
            distance of principal points. None takes every camera for one as in training.
        metric_scale: metres of one nominal unit of depth for every pair (officially 5.4); None takes the true
            over the nominal baseline from each pair's rig.
        flip_post_process: blend each prediction with the mirrored one of the mirrored pair.
        predict_right: also predict the right image's disparity: by the second branch, or by mirroring and
            exchanging the images where there is one branch.
        data_preprocessor, init_cfg: see mmengine's ``BaseModel``; images have to come in [0, 1].

    Shape:
        ``inputs`` ``{"left": (B, 3, H, W), "right": (B, 3, H, W)}`` in [0, 1], of any size.

    Raises:
        ConfigError: the backbone cannot be cut between its stages, or an argument is out of range.
        DataError: images of different size, or a pair without the calibration that is needed.

    Example:
        >>> backbone = dict(type="ConvNeXt", arch=dict(dims=(8, 16, 24, 32), depths=(1, 1, 1, 1)))
        >>> model = CCNeXt(backbone, decoder=dict(channels=(4, 8, 8, 16, 16)), normalised_focal=0.58).eval()
        >>> pair = dict(left=torch.rand(1, 3, 50, 90), right=torch.rand(1, 3, 50, 90))
        >>> model(pair, mode="predict")[0].pred_disparity.shape
        torch.Size([1, 50, 90])
    """

    tiny_needs: ClassVar[dict] = dict(task="stereo", strides=(4, 8, 16, 32), cut=True)

    def __init__(
        self,
        backbone: dict,
        encoder: dict | None = None,
        decoder: dict | None = None,
        loss: dict | None = None,
        matching_loss: dict | None = None,
        min_depth: float = 0.1,
        max_depth: float = 100.0,
        nominal_baseline: float = 0.1,
        normalised_focal: float | None = None,
        trained_focal: float | None = None,
        metric_scale: float | None = None,
        flip_post_process: bool = False,
        predict_right: bool = False,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        for name, value in (
            ("nominal_baseline", nominal_baseline),
            ("normalised_focal", normalised_focal),
            ("trained_focal", trained_focal),
            ("metric_scale", metric_scale),
        ):
            if value is not None and not value > 0:
                raise ConfigError(f"CCNeXt: {name}={value} must be positive")
        if normalised_focal is not None and trained_focal is not None:
            raise ConfigError("CCNeXt: normalised_focal is for every pair, so trained_focal says nothing")
        self.encoder = PairEncoder(backbone, **(encoder or {}))
        self.decoder = PairDecoder(self.encoder.channels, **(decoder or {}))
        if 0 not in self.decoder.scales:
            raise ConfigError(f"CCNeXt predicts by scale 0, which scales={self.decoder.scales} leave out")
        self.criterion = SelfSupervisedStereoLoss(min_depth, max_depth, **(loss or {}))
        self.matching_criterion = None
        if self.encoder.matchings is not None:
            if flip_post_process:
                raise ConfigError(
                    "CCNeXt: matching looks to the left alone, so flip_post_process is not possible"
                )
            self.matching_criterion = MatchingLoss(**(matching_loss or {}))
        elif matching_loss is not None:
            raise ConfigError("CCNeXt: matching_loss needs encoder=dict(matching=dict(...))")
        self.nominal_baseline, self.normalised_focal = nominal_baseline, normalised_focal
        self.trained_focal, self.metric_scale = trained_focal, metric_scale
        self.flip_post_process, self.predict_right = flip_post_process, predict_right

    @staticmethod
    def tiny(backbone: dict, maps: int) -> dict:
        """A small model, for the table of compatibility."""
        return dict(
            type="dense3d.CCNeXt",
            backbone=backbone,
            decoder=dict(channels=(4, 8, 8, 16, 16)),
            normalised_focal=0.58,
            data_preprocessor=dict(type="dense3d.StereoDataPreprocessor", mean=0, std=255),
        )

    @property
    def dual(self) -> bool:
        """Whether there is a branch for the second image."""
        return len(self.decoder.branches) == 2

    def forward(
        self,
        inputs: dict[str, Tensor],
        data_samples: Sequence[StereoSample] | None = None,
        mode: str = "tensor",
    ) -> dict[str, Tensor] | list[StereoSample] | list[dict[int, Tensor]]:
        """Losses, predictions or sigmoid maps.

        Args:
            inputs: ``left`` and ``right``; ``left_pyramid`` and ``right_pyramid``, lists of the images at
                scales 0, 1, 2, 3, where a pipeline makes them.
            data_samples: of the pairs. Training reads ``rig``, ``reference`` (``"right"`` where ``left``
                holds the right camera's image) and ``flipped`` (mirrored images that were not exchanged).
            mode: ``"loss"``; ``"predict"``, the samples with ``pred_disparity``, ``pred_inverse_depth`` (in
                1/metres where the scale is known, else in nominal units), ``pred_depth`` where it is known,
                and ``pred_right_disparity`` if asked for; or ``"tensor"``, for each branch a dict from
                scale to sigmoid maps.
        """
        left, right = self._images(inputs)
        self._check_directions(data_samples or ())
        if mode == "loss":
            return self.loss(inputs, left, right, data_samples)
        if mode == "predict":
            return self.predict(left, right, data_samples)
        return self.sigmoids(left, right)

    def sigmoids(
        self,
        left: Tensor,
        right: Tensor,
        branches: Sequence[int] | None = None,
        scales: Sequence[int] | None = None,
    ) -> list[dict[int, Tensor]]:
        """Maps in (0, 1) of the images' size, ``(B, 1, ceil(H / 2^s), ceil(W / 2^s))``, padded inside.

        Args:
            left, right: ``(B, 3, H, W)`` in [0, 1].
            branches, scales: which; all by default.
        """
        left_features, right_features, _ = self.encoder.match(*self._padded(left, right))
        return self._decode(left_features, right_features, left.shape[-2:], branches, scales)

    def _padded(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """Both images with their border repeated, to sides that the encoder takes."""
        height, width = left.shape[-2:]
        multiple = self.encoder.multiple
        sides = [max(-(-side // multiple) * multiple, MIN_SIDE) for side in (height, width)]
        more = (0, sides[1] - width, 0, sides[0] - height)
        if not any(more):
            return left, right
        return F.pad(left, more, mode="replicate"), F.pad(right, more, mode="replicate")

    def _decode(
        self,
        left: Sequence[Tensor],
        right: Sequence[Tensor],
        size: Sequence[int],
        branches: Sequence[int] | None = None,
        scales: Sequence[int] | None = None,
    ) -> list[dict[int, Tensor]]:
        """Maps of features, without the padding of images of ``size``."""
        found = self.decoder(left, right, branches, scales)
        return [
            {s: x[..., : -(-size[0] // 2**s), : -(-size[1] // 2**s)] for s, x in maps.items()}
            for maps in found
        ]

    def inverse_depth(self, left: Tensor, right: Tensor) -> Tensor:
        """What prediction is made of, without samples: ``(B, 3, H, W)`` in [0, 1] -> ``(B, V, H, W)``.

        V is 1, or 2 with ``predict_right``; in nominal units, flip post-processing included.
        """
        found = self._inverse_depth(left, right)
        if self.flip_post_process:
            mirrored = self._inverse_depth(left.flip(-1), right.flip(-1)).flip(-1)
            found = blend_mirrored(found, mirrored)
        return found

    def _inverse_depth(self, left: Tensor, right: Tensor) -> Tensor:
        if not self.predict_right or self.dual:
            branches = (0, 1) if self.predict_right else (0,)
            maps = torch.cat([m[0] for m in self.sigmoids(left, right, branches, (0,))], dim=1)
        else:
            pairs = (torch.cat([left, right.flip(-1)]), torch.cat([right, left.flip(-1)]))
            first, second = self.sigmoids(*pairs, (0,), (0,))[0][0].chunk(2)
            maps = torch.cat([first, second.flip(-1)], dim=1)
        return scaled_inverse_depth(maps, self.criterion.min_depth, self.criterion.max_depth)

    def predict(
        self, left: Tensor, right: Tensor, data_samples: Sequence[StereoSample] | None
    ) -> list[StereoSample]:
        """Samples with predictions of the size before padding; pairs of one size run as one batch."""
        samples = list(data_samples) if data_samples is not None else [StereoSample() for _ in left]
        sizes = [tuple(sample.get("img_shape", left.shape[-2:]))[:2] for sample in samples]
        for size in dict.fromkeys(sizes):
            chosen = [i for i, other in enumerate(sizes) if other == size]
            crop = (chosen, slice(None), slice(size[0]), slice(size[1]))
            for i, inverse in zip(chosen, self.inverse_depth(left[crop], right[crop])):
                self._fill(samples[i], inverse)
        return samples

    def predict_images(self, left: Tensor, right: Tensor) -> dict[str, Tensor]:
        """Maps ``(B, 1, H, W)`` named as in ``StereoSample``, of pairs without a rig.

        Disparity and depth are there where ``normalised_focal`` or ``trained_focal`` and ``metric_scale`` say
        what a rig would.
        """
        inverse = self.inverse_depth(left, right)
        focal, pixels = self.normalised_focal, self.trained_focal
        if focal is not None:
            pixels = focal * inverse.shape[-1]
        return self._maps(inverse, pixels, 0.0, self.metric_scale)

    def _fill(self, sample: StereoSample, inverse: Tensor) -> None:
        """Fields of one pair from ``(V, H, W)``."""
        focal, offset = self._focal(sample, inverse.shape[-1])
        if self.trained_focal is not None:
            inverse = (self.trained_focal * inverse + offset / self.nominal_baseline) / focal
        rig, scale = sample.get("rig"), self.metric_scale
        if scale is None and rig is not None:
            scale = rig.baseline / self.nominal_baseline
        sample.set_data({k: x[0] for k, x in self._maps(inverse[None], focal, offset, scale).items()})

    def _maps(
        self, inverse: Tensor, focal: float | None, offset: float, scale: float | None
    ) -> dict[str, Tensor]:
        """Predictions ``(B, 1, H, W)`` from ``(B, V, H, W)``: what is known of the rig decides which."""
        maps = {"pred_inverse_depth": inverse[:, :1] / (scale or 1.0)}
        if focal is not None:
            disparity = self.nominal_baseline * focal * inverse - offset
            maps["pred_disparity"] = disparity[:, :1]
            if self.predict_right:
                maps["pred_right_disparity"] = disparity[:, 1:]
        if scale is not None:
            maps["pred_depth"] = scale / inverse[:, :1]
        return maps

    def _focal(self, sample: StereoSample, width: int) -> tuple[float, float]:
        """Focal length and distance of principal points, in pixels."""
        if self.normalised_focal is not None:
            return self.normalised_focal * width, 0.0
        rig = sample.get("rig")
        if rig is None:
            raise DataError(
                f"{sample.get('left_path') or 'a pair'} has no calibration, without which inverse depth "
                "is no disparity in pixels: give its calibration file, or set model.normalised_focal (focal "
                "length over width; 0.58 for official KITTI weights)"
            )
        if rig.width != width:
            raise DataError(
                f"{sample.get('left_path') or 'a pair'} is {width} pixels wide, but its rig is of images "
                f"that are {rig.width} pixels wide; resize the rig along with the images"
            )
        return rig.focal, rig.doffs

    def loss(
        self,
        inputs: dict[str, Any],
        left: Tensor,
        right: Tensor,
        data_samples: Sequence[StereoSample] | None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Named losses of a batch; see :class:`SelfSupervisedStereoLoss`."""
        if data_samples is None:
            raise DataError("CCNeXt's loss needs data samples: they say which camera the first image is of")
        width = left.shape[-1]
        rows = []
        for sample in data_samples:
            shape = sample.get("img_shape")
            focal, offset = self._focal(sample, shape[1] if shape is not None else width)
            side = direction(sample)
            rows.append((side * self.nominal_baseline * focal, -side * offset))
        shift, offset = torch.tensor(rows, dtype=torch.float32, device=left.device).unbind(1)
        padded = self._padded(left, right)
        left_features, right_features, matches = self.encoder.match(*padded)
        maps = self._decode(left_features, right_features, left.shape[-2:])
        scales = self.decoder.scales
        images = [self._pyramid(inputs, name, scales) for name in ("left", "right")]
        views = [View(maps[0], images[0], right, shift, offset)]
        if self.dual:
            views.append(View(maps[1], images[1], left, -shift, -offset))
        losses = self.criterion(views, generator)
        if matches:
            losses["loss_matching"] = self.matching_criterion(matches, *padded)
        return losses

    def _check_directions(self, samples: Sequence[StereoSample]) -> None:
        """Matching looks to the left in the second image, whatever the samples say."""
        if self.encoder.matchings is None:
            return
        for sample in samples:
            if direction(sample) > 0:
                raise DataError(
                    f"{sample.get('left_path') or 'a pair'} is mirrored, or begins with the right image, but "
                    "encoder.matching looks to the left alone: use StereoFlip(exchange=True), or no matching"
                )

    def _pyramid(self, inputs: dict[str, Any], name: str, scales: Sequence[int]) -> dict[int, Tensor]:
        """Images at the scales, of the pipeline's pyramid where it has made one; 0 is what the network
        sees."""
        image = inputs[name]
        levels = {0: image}
        height, width = image.shape[-2:]
        for scale in scales:
            size = (-(-height // 2**scale), -(-width // 2**scale))
            made = [x for x in inputs.get(f"{name}_pyramid", ()) if tuple(x.shape[-2:]) == size]
            if scale > 0:
                levels[scale] = made[0] if made else resized(image, size)
        return levels

    def _images(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        if not isinstance(inputs, dict) or not {"left", "right"} <= set(inputs):
            raise DataError(
                "CCNeXt takes inputs with the keys left and right, as StereoDataPreprocessor gives"
            )
        left, right = inputs["left"], inputs["right"]
        if left.ndim != 4 or left.shape != right.shape:
            raise DataError(
                f"left images are {tuple(left.shape)} and right ones {tuple(right.shape)}: both must be "
                "(B, 3, H, W) of one size"
            )
        if left.shape[1] != self.encoder.backbone.in_channels:
            raise DataError(
                f"CCNeXt takes images of {self.encoder.backbone.in_channels} channels, not {left.shape[1]}; "
                "repeat the one of a grey image three times"
            )
        if not left.is_floating_point():
            raise DataError(
                f"CCNeXt takes images in [0, 1], not {left.dtype}: "
                "use StereoDataPreprocessor(mean=0, std=255)"
            )
        return left, right


def direction(sample: StereoSample) -> int:
    """-1 where matches of the first image lie to the left in the second, 1 where to the right.

    Example:
        >>> samples = [StereoSample(metainfo=dict(reference=r, flipped=f)) for r in ("left", "right")
        ...            for f in (False, True)]
        >>> [direction(sample) for sample in samples]
        [-1, 1, 1, -1]
    """
    is_right = sample.get("reference", "left") == "right"
    return 1 if is_right != bool(sample.get("flipped", False)) else -1


def blend_mirrored(maps: Tensor, mirrored: Tensor) -> Tensor:
    """monodepth's post-processing: the mirrored prediction at the left border, the plain one at the right.

    Args:
        maps: predictions ``(..., W)``.
        mirrored: of the mirrored images, mirrored back.

    Example:
        >>> blend_mirrored(torch.zeros(5), torch.ones(5)).tolist()
        [1.0, 0.5, 0.5, 0.5, 0.0]
    """
    column = torch.linspace(0, 1, maps.shape[-1], dtype=maps.dtype, device=maps.device)
    weight = 1 - (20 * (column - 0.05)).clamp(0, 1)
    opposite = weight.flip(-1)
    return opposite * maps + weight * mirrored + (1 - weight - opposite) * (maps + mirrored) / 2


def resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """A smaller image without aliasing, in the range of the larger one."""
    small = F.interpolate(image.float(), size, mode="bicubic", align_corners=False, antialias=True)
    return small.clamp(image.min(), image.max())
