"""CroCo's encoder alone with a DPT head: dense regression from one image, such as depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor

from dense3d.backbones.croco import CrocoNetwork
from dense3d.errors import ConfigError, DataError
from dense3d.layers.laplacian import DenseLoss
from dense3d.registry import MODELS
from dense3d.stereo.croco_stereo.features import DenseTokens, encoder_hooks
from dense3d.structures.stereo_sample import StereoSample

_DIVISOR = 32
_DECODER = ("decoder_embed", "dec_blocks", "dec_norm")


def encoder_only(network: CrocoNetwork) -> CrocoNetwork:
    """The network without its decoder, which then only encodes."""
    for name in _DECODER:
        delattr(network, name)
    network.dec_rope = network.dec_pos_embed = None
    return network


@MODELS.register_module()
class CrocoMonocular(BaseModel):
    """Dense regression from one image by CroCo's encoder: the official ``CroCoDownstreamMonocularEncoder``.

    As the official class, it gives maps of any meaning with ``mode="tensor"``. As a detector of depth, with
    one channel, it is trained on and predicts inverse depth in 1/metres.

    Args:
        network: arguments of :class:`dense3d.backbones.CrocoNetwork`; those of the decoder do not matter.
        out_channels: of the maps, without the confidence.
        hooks: blocks that the head reads, see :func:`encoder_hooks`, which gives them unless given.
        head: arguments of :class:`dense3d.layers.DPTHead` instead of CroCo's.
        loss: config of one of :mod:`dense3d.layers.laplacian`; the last channel is a raw confidence for those
            that need it.
        data_preprocessor, init_cfg: see mmengine's ``BaseModel``.

    Raises:
        ConfigError: hooks do not fit.

    Example:
        >>> small = dict(pos_embed="RoPE100", enc_embed_dim=24, enc_depth=4, enc_num_heads=2)
        >>> model = CrocoMonocular(small, out_channels=3, head=dict(channels=8))
        >>> model({"left": torch.zeros(1, 3, 40, 70)})[0].shape
        torch.Size([1, 3, 40, 70])
    """

    def __init__(
        self,
        network: dict,
        out_channels: int = 1,
        hooks: Sequence[int] | None = None,
        head: dict | None = None,
        loss: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        settings = {key: value for key, value in network.items() if key != "type"}
        self.network = encoder_only(CrocoNetwork(**settings))
        depth = len(self.network.enc_blocks)
        self.loss_function: DenseLoss = MODELS.build(loss or dict(type="DenseL1Loss"))
        self.out_channels = out_channels
        channels = out_channels + self.loss_function.with_confidence
        hooks = encoder_hooks(depth) if hooks is None else hooks
        self.head = DenseTokens([self.network.enc_embed_dim] * depth, hooks, channels, head)

    def forward(
        self,
        inputs: Mapping[str, Tensor] | Tensor,
        data_samples: list[StereoSample] | None = None,
        mode: str = "tensor",
    ) -> Any:
        """Losses, predictions or plain outputs.

        Args:
            inputs: images ``(B, 3, H, W)``, normalised, or a dict that holds them as ``left``.
            data_samples: with ``gt_depth`` for losses.
            mode: ``"loss"``; ``"predict"``, data samples with ``pred_inverse_depth``; or ``"tensor"``, maps
                ``(B, out_channels, H, W)`` and raw confidences ``(B, 1, H, W)`` or None.
        """
        images = inputs if isinstance(inputs, Tensor) else inputs["left"]
        values, raw = self.regress(images)
        if mode == "tensor":
            return values, raw
        if self.out_channels != 1:
            raise ConfigError(f"depth has one channel, not out_channels={self.out_channels}")
        if mode == "loss":
            return {"loss": self.loss_function(values, inverse_depth(data_samples), raw)}
        samples = data_samples or [StereoSample() for _ in images]
        for sample, value in zip(samples, values.float()):
            height, width = tuple(sample.get("img_shape", images.shape[-2:]))[:2]
            sample.set_data({"pred_inverse_depth": value[:, :height, :width]})
        return samples

    def regress(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Maps and raw confidences of images, which are padded to multiples of 32 right and below."""
        height, width = images.shape[-2:]
        padding = (0, -width % _DIVISOR, 0, -height % _DIVISOR)
        padded = F.pad(images, padding, mode="replicate") if any(padding) else images
        blocks, normed, grid = self.network.encode(padded)
        outputs = self.head([*blocks[:-1], normed], grid, tuple(padded.shape[-2:]))[..., :height, :width]
        values = outputs[:, : self.out_channels]
        return values, outputs[:, self.out_channels :] if self.loss_function.with_confidence else None


def inverse_depth(samples: Sequence[StereoSample] | None) -> Tensor:
    """Ground truth ``(B, 1, H, W)`` in 1/metres, infinite where it is not known.

    Raises:
        DataError: a sample has none.
    """
    if not samples or any("gt_depth" not in sample for sample in samples):
        raise DataError("CrocoMonocular is trained with gt_depth, which a sample lacks")
    depth = torch.stack([sample.gt_depth for sample in samples])
    return torch.where(depth > 0, 1 / depth, float("inf"))
