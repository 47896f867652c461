"""HUNet as the official code describes it, on dense grids: what other sizes and styles are compared with."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.golden.kit import seeded_array

CURVES = {"xyz_z-order": (0, 1, 2), "yxz_z-order": (1, 0, 2), "zyx_z-order": (2, 1, 0)}


class DenseHUNet:
    """The network by the names of its state dict, scene by scene, each a grid ``(C, S, S, S)`` and a mask.

    Args:
        config: arguments of ``MSM3D_Encoder``.
    """

    def __init__(self, config: dict) -> None:
        self.config, self.gated = config, config["att_block_type"] == "transformer++"
        self.arrays: dict[str, np.ndarray] = {}

    def weight(self, name: str, *shape: int) -> Tensor:
        """The seeded value of a parameter."""
        name = f"encoder.{name}"
        if name not in self.arrays:
            self.arrays[name] = seeded_array(name, shape)
        return torch.from_numpy(self.arrays[name])

    def linear(self, x: Tensor, name: str, out: int, bias: bool = True) -> Tensor:
        bias = self.weight(f"{name}.bias", out) if bias else None
        return F.linear(x, self.weight(f"{name}.weight", out, x.shape[-1]), bias)

    def norm(self, x: Tensor, name: str) -> Tensor:
        dim = x.shape[-1]
        if self.gated:
            rms = x.pow(2).mean(dim=-1, keepdim=True).sqrt()
            return self.weight(f"{name}.norm.scale", dim) * x / (rms + 1e-4)
        scale, shift = self.weight(f"{name}.norm.weight", dim), self.weight(f"{name}.norm.bias", dim)
        return F.layer_norm(x, (dim,), scale, shift, 1e-4)

    def conv(self, x: Tensor, name: str, out: int, kernel: int, bias: bool, apply: Callable) -> Tensor:
        """``apply(grid, weight)`` of a grid ``(S, S, S, C)``, weight ``(out, in, k, k, k)``."""
        weight = self.weight(f"{name}.weight", out, *[kernel] * 3, x.shape[-1]).permute(0, 4, 1, 2, 3)
        found = apply(x.permute(3, 0, 1, 2)[None], weight)[0].permute(1, 2, 3, 0)
        return found + self.weight(f"{name}.bias", out) if bias else found

    def residual(self, x: Tensor, branch: Tensor, name: str) -> Tensor:
        return x + self.weight(f"{name}.gamma", 1, x.shape[-1]) * branch

    def stage(self, x: Tensor, mask: Tensor, side: str, place: int, level: int) -> Tensor:
        prefix = "dec_" if side == "dec" else ""
        sizes = {key: self.config[f"{prefix}{key}"][place] for key in ("resnet_layers", "att_layers")}
        heads, window = (self.config[f"{prefix}{key}"][place] for key in ("num_heads", "window_sizes"))
        hidden = mask[..., None]
        for i in range(sizes["resnet_layers"]):
            name, dim = f"resnet_{side}.{place}.{i}", x.shape[-1]
            same = partial(F.conv3d, padding=1)
            branch = self.norm(x, f"{name}.norm") * hidden
            branch = F.gelu(self.conv(branch, f"{name}.conv1", dim, 3, not self.gated, same)) * hidden
            branch = self.conv(branch, f"{name}.conv2", dim, 3, not self.gated, same)
            x = self.residual(x, self.norm(branch, f"{name}.norm_post_layer"), f"{name}.skip_path") * hidden
        for i in range(sizes["att_layers"]):
            curves = self.config["att_space_filling_curves"]
            places = self.along(mask.nonzero(), curves[i % len(curves)])
            rows = x[tuple(places.T)]
            rows = self.attention(rows, f"att_{side}.{place}.{i + 1}", heads, window)
            x = x.index_put(tuple(places.T), rows)
        return x

    def along(self, coords: Tensor, curve: str) -> Tensor:
        """Voxels ``(V, 3)`` in the order of a z-curve."""
        axes = coords[:, list(CURVES[curve])]
        code = sum(((axes[:, a] >> b) & 1) << (3 * b + 2 - a) for a in range(3) for b in range(16))
        return coords[code.argsort()]

    def attention(self, x: Tensor, name: str, heads: int, window: int) -> Tensor:
        count, dim = x.shape
        qkv = self.linear(self.norm(x, f"{name}.norm"), f"{name}.linear_in", 3 * dim, not self.gated)
        query, key, value = qkv.reshape(count, 3, heads, -1).permute(1, 2, 0, 3)
        logits = query @ key.transpose(1, 2) * (dim // heads) ** -0.5
        away = (torch.arange(count)[:, None] - torch.arange(count)).abs()
        if window >= 0:
            logits = logits.masked_fill(away > window // 2, -torch.inf)
        found = (logits.softmax(dim=-1) @ value).transpose(0, 1).reshape(count, dim)
        found = self.linear(found, f"{name}.linear_out", dim, not self.gated)
        x = self.residual(x, found, f"{name}.skip_path_1")
        if self.gated:
            branch = self.linear(self.norm(x, f"{name}.mlp_norm"), f"{name}.mlp_lin_1", 8 * dim, False)
            branch = F.gelu(branch[:, : 4 * dim]) * branch[:, 4 * dim :]
            branch = self.linear(branch, f"{name}.mlp_lin_2", dim, False)
        else:
            branch = F.gelu(self.linear(self.norm(x, f"{name}.mlp.0"), f"{name}.mlp.1", 4 * dim))
            branch = self.linear(branch, f"{name}.mlp.3", dim)
        return self.residual(x, branch, f"{name}.skip_path_2")

    def __call__(self, coords: Tensor, features: Tensor, size: int) -> tuple[list[Tensor], list[Tensor]]:
        """Grids ``(S_l, S_l, S_l, C)`` of one scene, as the list of outputs has them, and their masks.

        Args:
            coords: ``(V, 3)``.
            features: ``(V, C)``.
            size: S_0, a multiple of the coarsest level's stride.
        """
        config, depth = self.config, len(self.config["channels"])
        mask = torch.zeros(size, size, size).index_put(tuple(coords.T), torch.ones(()))
        x = self.linear(features, "init_transform.0", config["channels"][0])
        x = self.norm(x, "init_transform.1")
        x = torch.zeros(size, size, size, x.shape[1]).index_put(tuple(coords.T), x)
        maps, masks = [], []
        for level in range(depth):
            if level:
                halve = partial(F.conv3d, stride=2)
                x = self.conv(x, f"down.{level - 1}.0", config["channels"][level], 2, True, halve)
                mask = F.max_pool3d(mask[None], 2)[0]
                x = self.norm(x, f"down.{level - 1}.1") * mask[..., None]
            x = self.stage(x, mask, "enc", level, level)
            maps.append(x)
            masks.append(mask)
        x = self.norm(x, "decoder_init_norm") * mask[..., None]
        found = []
        for place in range(depth):
            level = depth - 1 - place
            if place:
                step, dim, hidden = place - 1, config["dec_channels"][place], masks[level][..., None]
                up = self.conv(self.norm(x, f"up.{step}.0"), f"up.{step}.1", dim, 2, True, _double)
                skip = self.norm(maps[level], f"linears_skip.{step}.0")
                skip = self.linear(skip, f"linears_skip.{step}.1", dim)
                x = (self.weight(f"skip.{step}.gamma", 1, dim) * up + skip) * hidden
            x = self.stage(x, masks[level], "dec", place, level)
            found.insert(0, x)
        if config["out_channels"]:
            found.insert(0, self.linear(found[0], "final_stem", config["out_channels"]))
            masks = [masks[0], *masks]
        return found, masks


def _double(grid: Tensor, weight: Tensor) -> Tensor:
    """A transposed convolution, weight ``(out, in, 2, 2, 2)``."""
    return F.conv_transpose3d(grid, weight.transpose(0, 1), stride=2)
