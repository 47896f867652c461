"""Stereo networks of the suite ``models``, their batches, and CCNeXt's attention composed in plain ways."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest import mock

import torch
from torch import Tensor

from dense3d.structures import RectifiedRig, StereoSample


def stereo_batch(
    number: int, size: tuple[int, int], device: torch.device
) -> tuple[dict[str, Tensor], list[StereoSample]]:
    """Pairs of noise in [0, 1], ``(B, 3, H, W)`` each, with KITTI's rig; the same every time."""
    random = torch.Generator().manual_seed(0)
    height, width = size
    images = {side: torch.rand(number, 3, height, width, generator=random) for side in ("left", "right")}
    rig = RectifiedRig(0.58 * width, 0.54, width / 2, height / 2, width, height)
    samples = [StereoSample(metainfo=dict(img_shape=size, rig=rig)) for _ in range(number)]
    return {side: image.to(device) for side, image in images.items()}, samples


@contextlib.contextmanager
def whole_image_attention() -> Iterator[None]:
    """Every pixel against every pixel of the other image, all but the window of its row masked: (HW)^2."""
    from dense3d.stereo.ccnext.attention import EpipolarAttention, window_reach

    def attend(self: EpipolarAttention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        height, width = query.shape[-2:]
        index = torch.arange(height * width, device=query.device, dtype=torch.int32)
        row, column = index // width, index % width
        reach = window_reach(width, self.window_size)
        hidden = (row[:, None] != row).logical_or_((column[:, None] - column).abs_() >= reach)
        found = []
        for q, k, v in zip(query.flatten(2), key.flatten(2), value.flatten(2)):  # (C, HW) each
            logits = (q.t() @ k).masked_fill_(hidden, float("-inf"))
            found.append((logits.softmax(dim=-1) @ v.t()).t())
        return torch.stack(found).unflatten(2, (height, width))

    with mock.patch.object(EpipolarAttention, "_attend", attend):
        yield


@contextlib.contextmanager
def whole_row_attention() -> Iterator[None]:
    """Every column against every column of its row, masked afterwards, as officially: W^2 a row."""
    from dense3d.ops.banded import band_attention_reference
    from dense3d.stereo.ccnext import attention

    with mock.patch.object(attention, "band_attention", band_attention_reference):
        yield
