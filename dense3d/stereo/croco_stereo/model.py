"""Stereo matching and optical flow as dense regression from two images: no cost volume, no warping.

Weinzaepfel et al., "CroCo v2: Improved Cross-view Completion Pre-training for Stereo Matching and Optical
Flow", ICCV 2023 (arXiv 2211.10408). The encoder sees both images, the decoder the first one with the second;
a DPT head gives disparity or flow and a raw confidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor

from dense3d.backbones.croco import CrocoNetwork
from dense3d.errors import ConfigError, DataError
from dense3d.layers.laplacian import DenseLoss
from dense3d.registry import MODELS
from dense3d.stereo.croco_stereo.features import DenseTokens, decoder_hooks
from dense3d.stereo.croco_stereo.matching import TokenMatching
from dense3d.stereo.croco_stereo.tiling import (
    Size,
    Tiles,
    TileWeight,
    covering_size,
    resize_displacements,
    resize_images,
    tile_starts,
)
from dense3d.stereo.row_matching import Match
from dense3d.structures.stereo_sample import StereoSample

_DIVISOR = 32  # of the sides of what the network sees: the DPT head halves the grid of patches
_TEST_CFG = dict(
    mode="tiles", tile_size=None, overlap=0.7, tile_conf_mode=None, tile_batch_size=4, small_images="cover"
)


class CrocoBinocular(BaseModel):
    """What stereo and flow share.

    Args:
        network: arguments of :class:`dense3d.backbones.CrocoNetwork`.
        hooks: blocks that the head reads, see :func:`decoder_hooks`, which gives them unless given.
        head: arguments of :class:`dense3d.layers.DPTHead` instead of CroCo's (hidden channels 96, 192, 384
            and 768, then 256, then 32).
        loss: config of one of :mod:`dense3d.layers.laplacian`; the network has a channel of confidence for
            those that need it.
        crop_size: height and width of training crops, and of tiles; multiples of 32.
        target_scale: the network's outputs and the loss are in units of so many pixels. 1 is the official
            value; a small network trained from scratch for minutes learns faster with the typical size of
            a displacement. Published weights have 1.
        matching: of stereo; arguments of :class:`TokenMatching`, for a small network. The official ones have
            none.
        test_cfg: how to predict. ``mode="tiles"`` cuts into tiles of ``tile_size`` (``crop_size`` unless
            given) with ``overlap`` (published: 0.7; 0.9 for benchmarks), runs ``tile_batch_size`` at once
            and merges them by ``tile_conf_mode`` (see :class:`TileWeight`); images that hold no tile are
            scaled up by the rule ``small_images`` (see :func:`covering_size`). ``mode="whole"`` runs the
            image at once, padded to multiples of 32.
        data_preprocessor, init_cfg: see mmengine's ``BaseModel``.

    Raises:
        ConfigError: an argument does not fit; the message says which.
    """

    channels: int
    field: str
    default_loss: str
    default_weight: str

    def __init__(
        self,
        network: dict,
        hooks: Sequence[int] | None = None,
        head: dict | None = None,
        loss: dict | None = None,
        crop_size: Size = (352, 704),
        target_scale: float = 1.0,
        matching: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.network = CrocoNetwork(**{key: value for key, value in network.items() if key != "type"})
        enc_depth, dec_depth = len(self.network.enc_blocks), len(self.network.dec_blocks)
        widths = [self.network.enc_embed_dim] * enc_depth + [self.network.dec_embed_dim] * dec_depth
        self.loss_function: DenseLoss = MODELS.build(loss or dict(type=self.default_loss))
        self.with_confidence = self.loss_function.with_confidence
        hooks = decoder_hooks(enc_depth, dec_depth) if hooks is None else hooks
        self.head = DenseTokens(widths, hooks, self.channels + self.with_confidence, head)
        if not target_scale > 0:
            raise ConfigError(f"target_scale={target_scale}: give a positive number of pixels")
        self.target_scale = float(target_scale)
        self.matching = None
        if matching is not None:
            if self.field != "disparity":
                raise ConfigError("matching looks along rows, which is for stereo and not for optical flow")
            network = self.network
            self.matching = TokenMatching(network.enc_embed_dim, network.patch_size, **matching)
        self.crop_size = self._size("crop_size", crop_size)
        self.test_cfg = self._settings(test_cfg or {})

    def _settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        unknown = sorted(set(given) - set(_TEST_CFG))
        if unknown:
            raise ConfigError(f"test_cfg has no {unknown[0]!r}; known are {', '.join(_TEST_CFG)}")
        cfg = {**_TEST_CFG, **given}
        cfg["tile_size"] = self._size("tile_size", cfg["tile_size"] or self.crop_size)
        weight = TileWeight(cfg["tile_conf_mode"] or self.default_weight)
        if cfg["mode"] not in ("tiles", "whole"):
            raise ConfigError(f"test_cfg has mode={cfg['mode']!r}: use 'tiles' or 'whole'")
        if cfg["mode"] == "tiles" and not self.with_confidence:
            raise ConfigError(
                f"tiles are merged by their confidence, which {type(self.loss_function).__name__} does not "
                "teach: use test_cfg=dict(mode='whole') or a Laplacian loss"
            )
        number = cfg["tile_batch_size"]
        if not isinstance(number, int) or number < 1:
            raise ConfigError(f"test_cfg has tile_batch_size={number!r}: give a whole number of at least 1")
        tile_starts(1, 1, cfg["overlap"])  # complains about other overlaps
        self.tiles = Tiles(cfg["tile_size"], cfg["overlap"], weight, number)
        covering_size((1, 1), (1, 1), cfg["small_images"])
        return cfg

    def _size(self, name: str, size: Any) -> Size:
        sides = tuple(size) if isinstance(size, (list, tuple)) else ()
        if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
            raise ConfigError(f"{name}={size!r}: give a height and a width in pixels")
        if any(side % _DIVISOR or side % self.network.patch_size for side in sides):
            raise ConfigError(f"{name}={sides}: both sides have to be multiples of {_DIVISOR}")
        return sides

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        data_samples: list[StereoSample] | None = None,
        mode: str = "tensor",
    ) -> Any:
        """Losses, predictions or plain outputs.

        Args:
            inputs: ``left`` and ``right``, the first and the second image ``(B, 3, H, W)``, normalised.
            data_samples: ground truth; for ``"predict"``, ``img_shape`` too, where images were padded.
            mode: ``"loss"``; ``"predict"``, the data samples with ``pred_disparity`` or ``pred_flow``,
                ``pred_deviation`` and ``pred_confidence``; or ``"tensor"``, :meth:`regress` on the whole
                images.
        """
        left, right = inputs["left"], inputs["right"]
        if left.shape != right.shape:
            raise DataError(
                f"the images of a pair are {tuple(left.shape[-2:])} and {tuple(right.shape[-2:])} pixels: "
                "both have to have one size"
            )
        if mode == "loss":
            return self.loss(left, right, data_samples)
        if mode == "predict":
            return self.predict(left, right, data_samples)
        return self.regress(left, right)

    def regress(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor | None]:
        """The network on images ``(B, 3, H, W)``, which are padded to multiples of 32 right and below.

        Returns:
            displacements ``(B, C, H, W)`` in pixels, and raw confidences ``(B, 1, H, W)`` or None.
        """
        return self._regress(left, right)[:2]

    def _regress(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor | None, Match | None]:
        """:meth:`regress`, and what matching found, of the padded images."""
        height, width = left.shape[-2:]
        padding = (0, -width % _DIVISOR, 0, -height % _DIVISOR)
        if any(padding):
            left, right = (F.pad(image, padding, mode="replicate") for image in (left, right))
        size = tuple(left.shape[-2:])
        tokens, grid, match = self._see(left, right)
        outputs = self.head(tokens, grid, size)
        values = outputs[:, : self.channels]
        values = values if self.target_scale == 1 else values * self.target_scale
        if match is not None:
            found = match.disparity * match.stride
            values = values + F.interpolate(found, size, mode="bilinear", align_corners=False)
        raw = outputs[:, self.channels :, :height, :width] if self.with_confidence else None
        return values[..., :height, :width], raw, match

    def tokens(self, left: Tensor, right: Tensor) -> tuple[list[Tensor], tuple[int, int]]:
        """Tokens ``(B, N, D)`` of all blocks for the first image, encoder first, and their grid.

        Of the encoder and of the decoder, the last are normed.
        """
        return self._see(left, right)[:2]

    def _see(self, left: Tensor, right: Tensor) -> tuple[list[Tensor], tuple[int, int], Match | None]:
        """:meth:`tokens`, and what matching found."""
        blocks, encoded, grid = self.network.encode(torch.cat([left, right]))
        first, second = encoded.chunk(2)
        match = None
        if self.matching is not None:
            *found, match = self.matching(left, right)
            first, second = first + found[0], second + found[1]
        seen = [block[: len(left)] for block in blocks[:-1]]
        return [*seen, first, *self.network.decode(first, grid, second, grid)], grid, match

    def loss(self, left: Tensor, right: Tensor, samples: list[StereoSample] | None) -> dict[str, Tensor]:
        """The loss of a batch of crops, and beside it the end-point error in pixels, which is not trained.

        Raises:
            DataError: a sample has no ground truth.
        """
        name = f"gt_{self.field}"
        missing = next((s for s in samples or [None] if s is None or name not in s), False)
        if missing is not False:
            place = missing.get("left_path", "a sample") if missing is not None else "the batch"
            raise DataError(f"{place} has no {name}, which {type(self).__name__} is trained with")
        turned = [self._is_mirrored(sample) for sample in samples]
        target = torch.stack([sample.get(name) for sample in samples])
        left, right, target = (_mirror(maps, turned) for maps in (left, right, target))
        values, raw, match = self._regress(left, right)
        scale = self.target_scale
        losses = {"loss": self.loss_function(values / scale, target / scale, raw)}
        valid = self.loss_function.valid(target / scale)
        if match is not None:
            losses["loss_matching"] = self.matching.loss(match, target, valid)
        with torch.no_grad():
            error = torch.linalg.vector_norm(values.float() - torch.where(valid[:, None], target, 0), dim=1)
            error = torch.where(valid, error, 0).sum() / valid.sum().clamp(min=1)
        return {**losses, "epe": error}

    @torch.no_grad()
    def predict(
        self, left: Tensor, right: Tensor, samples: list[StereoSample] | None = None
    ) -> list[StereoSample]:
        """Predictions at the unpadded size of each pair (``img_shape``), in its pixels."""
        samples = [StereoSample() for _ in left] if samples is None else samples
        sizes = [tuple(sample.get("img_shape", left.shape[-2:]))[:2] for sample in samples]
        turned = [self._is_mirrored(sample) for sample in samples]
        order = sorted(range(len(sizes)), key=sizes.__getitem__)
        for (height, width), group in groupby(order, key=sizes.__getitem__):
            chosen = list(group)
            mirrored = [turned[i] for i in chosen]
            cut = (_mirror(image[chosen, :, :height, :width], mirrored) for image in (left, right))
            maps = {name: _mirror(values, mirrored) for name, values in self.predict_images(*cut).items()}
            for place, index in enumerate(chosen):
                samples[index].set_data({name: values[place].clone() for name, values in maps.items()})
        return samples

    def _is_mirrored(self, sample: StereoSample) -> bool:
        """Whether ``left`` is the right camera's image (``baseline_sign`` -1), as in half of Spring's pairs.

        Mirrored, such a pair is an ordinary one; its disparity stays positive.
        """
        return self.field == "disparity" and sample.get("baseline_sign", 1) == -1

    def predict_images(self, left: Tensor, right: Tensor) -> dict[str, Tensor]:
        """Maps ``(B, C, H, W)`` of predictions for images of one size, named as in ``StereoSample``."""
        size = tuple(left.shape[-2:])
        if self.test_cfg["mode"] == "whole":
            values, raw = self.regress(left, right)
            values, factor = values.float(), 1.0
        else:
            values, raw = self.predict_tiles(left, right)
            factor = size[1] / values.shape[-1]
            values = resize_displacements(values, size)
        maps = {f"pred_{self.field}": values}
        if raw is not None:
            raw = raw.float()
            if tuple(raw.shape[-2:]) != size:
                raw = F.interpolate(raw, size, mode="bilinear", align_corners=False)
            maps["pred_deviation"] = self.loss_function.deviation(raw) * (self.target_scale * factor)
            maps["pred_confidence"] = self.loss_function.confidence(raw)
        return maps

    def predict_tiles(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """Displacements and raw confidences, merged from tiles, at the size that tiles were cut from."""
        size = covering_size(tuple(left.shape[-2:]), self.tiles.size, self.test_cfg["small_images"])
        return self.tiles(self.regress, resize_images(left, size), resize_images(right, size))


def _mirror(maps: Tensor, chosen: Sequence[bool]) -> Tensor:
    """Maps ``(B, C, H, W)``, the chosen ones mirrored left to right."""
    if not any(chosen):
        return maps
    return torch.stack([one.flip(-1) if flag else one for one, flag in zip(maps, chosen)])


@MODELS.register_module()
class CrocoStereo(CrocoBinocular):
    """Disparity of a rectified pair.

    See :class:`CrocoBinocular` for the arguments; the loss is ``LaplacianLossBounded2`` and
    ``tile_conf_mode`` is ``"conf_expsigmoid_15_3"`` unless given. Disparity may come out negative.

    Example:
        >>> small = dict(pos_embed="RoPE100", enc_embed_dim=24, enc_depth=2, enc_num_heads=2)
        >>> small |= dict(dec_embed_dim=16, dec_depth=2, dec_num_heads=2)
        >>> head = dict(hidden_channels=(4, 4, 8, 8), channels=8)
        >>> model = CrocoStereo(small, hooks=(0, 1, 2, 3), head=head, crop_size=(32, 64))
        >>> images = torch.zeros(1, 3, 40, 90)
        >>> sample = model({"left": images, "right": images}, mode="predict")[0]
        >>> sample.pred_disparity.shape, sample.pred_deviation.shape, bool(sample.pred_confidence.max() < 1)
        (torch.Size([1, 40, 90]), torch.Size([1, 40, 90]), True)
    """

    channels, field = 1, "disparity"
    default_loss, default_weight = "LaplacianLossBounded2", "conf_expsigmoid_15_3"


@MODELS.register_module()
class CrocoFlow(CrocoBinocular):
    """Optical flow from the first image of a pair, ``left``, to the second, ``right``.

    See :class:`CrocoBinocular` for the arguments; the loss is ``LaplacianLossBounded`` and ``tile_conf_mode``
    is ``"conf_expsigmoid_10_5"`` unless given. The deviation is that of u and of v alike.

    Example:
        >>> small = dict(pos_embed="RoPE100", enc_embed_dim=24, enc_depth=2, enc_num_heads=2)
        >>> small |= dict(dec_embed_dim=16, dec_depth=2, dec_num_heads=2)
        >>> model = CrocoFlow(small, hooks=(0, 1, 2, 3), loss=dict(type="DenseL1Loss"),
        ...                   crop_size=(32, 32), test_cfg=dict(mode="whole"))
        >>> images = torch.zeros(1, 3, 40, 50)
        >>> model({"left": images, "right": images}, mode="predict")[0].pred_flow.shape
        torch.Size([2, 40, 50])
    """

    channels, field = 2, "flow"
    default_loss, default_weight = "LaplacianLossBounded", "conf_expsigmoid_10_5"
