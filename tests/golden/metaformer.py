"""Golden adapters of PoolFormer (system ``poolformer``) and the MetaFormer baselines (others).

The kits do not pad odd sizes; the adapters therefore run the stages without the padding of the backbone.
"""

from __future__ import annotations

import math
import re

from torch import Tensor

from dense3d.backbones import MetaFormer, PoolFormer
from dense3d.checkpoints.metaformer import convert_head, ours
from tests.golden.checks import Run
from tests.golden.kit import GoldenKit
from tests.golden.options import Options
from tests.golden.staged_networks import StagedNetwork, Tensors
from tests.golden.weights import tensors_of

_MIXERS = {
    "pool": "pool",
    "pooling": "pool",
    "conv": "conv",
    "sepconv": "conv",
    "attn": "attention",
    "attention": "attention",
    "identity": "identity",
    "rand": "random",
    "random": "random",
}
_NORMS = {
    "LayerNorm over C without bias": "channel",
    "LayerNorm over (H,W,C) without bias": "group",
}
_WITHOUT_EFFECT = ("num_classes", "drop_rate", "drop_path_rate", "head_dropout", "img_size", "pretrained")


def open_poolformer(kit: GoldenKit) -> Run:
    """Build PoolFormer and its classifier with the kit's weights."""
    official, take, only = tensors_of(kit), kit.options.take, kit.options.only
    kit.options.neutral(*_WITHOUT_EFFECT, "fork_feat", "init_cfg", "layer_scale_init_value")
    fixed = {"in_patch_size": 7, "in_stride": 4, "in_pad": 2}
    fixed |= {"down_patch_size": 3, "down_stride": 2, "down_pad": 1}
    for name, value in fixed.items():
        only(name, value)
    only("downsamples", [True] * 4)
    only("act_layer", "gelu")
    scaled = kit.options.agree("use_layer_scale", any("layer_scale" in name for name in official))
    arch = dict(
        dims=take("embed_dims", (64, 128, 320, 512)),
        depths=take("layers", (2, 2, 6, 2)),
        mlp_ratios=take("mlp_ratios", (4, 4, 4, 4)),
        layer_scale=1.0 if scaled else None,
    )
    model = PoolFormer(
        arch,
        pool_size=take("pool_size", 3),
        norm=kit.options.choose("norm", {"group": "group", "channel": "channel"}, "group"),
        output_norm="norm6.weight" in official,
        in_channels=official["patch_embed.proj.weight"].shape[1],
    )
    if "norm6.weight" in official and "norm0.weight" not in official:  # of RetinaNet
        del model.norm0
    return _PoolFormer(kit, model, "poolformer", convert_head).run


def open_kit(kit: GoldenKit) -> Run:
    """Build a MetaFormer baseline and its classifier with the kit's weights."""
    model = build(kit.options, tensors_of(kit))
    return _Baseline(kit, model, "metaformer", convert_head).run


def build(options: Options, official: dict[str, Tensor]) -> MetaFormer:
    """The network of an official config."""
    options.neutral(*_WITHOUT_EFFECT)
    mixers = options.take("token_mixers")
    for name in mixers:
        if name not in _MIXERS:
            raise options.refusal("token_mixers", mixers, f"supported are {', '.join(_MIXERS)}")
    hidden = "head.fc2.weight" in official
    options.agree("head", "mlp" if hidden else "linear")
    grids = [(56, 56), (28, 28), (14, 14), (7, 7)]
    for name, value in official.items():
        match = re.fullmatch(r"stages\.(\d)\.0\.token_mixer\.random_matrix", name)
        if match:
            grids[int(match[1])] = (math.isqrt(len(value)),) * 2
    arch = dict(
        dims=options.take("dims", (64, 128, 320, 512)),
        depths=options.take("depths", (2, 2, 6, 2)),
        mixers=[_MIXERS[name] for name in mixers],
        norm=options.choose("norm", _NORMS),
        norm_eps=options.take("norm_eps", 1e-6),
        mlp_head=hidden,
        layer_scale=options.take("layer_scale_init_values", None),
        res_scale=options.take("res_scale_init_values", (None, None, 1.0, 1.0)),
    )
    in_channels = official["downsample_layers.0.conv.weight"].shape[1]
    return MetaFormer(arch, options.take("pool_size", 3), grids, in_channels=in_channels)


class _PoolFormer(StagedNetwork):
    def part(self, kind: str, path: str, tensors: Tensors) -> Tensors:
        """Modules on maps, channels first."""
        (x,) = tensors.values()
        return {"y": self.submodule(ours(path))(x)}


class _Baseline(StagedNetwork):
    def part(self, kind: str, path: str, tensors: Tensors) -> Tensors:
        """Modules on maps, channels last."""
        (x,) = tensors.values()
        return {"y": self.submodule(ours(path))(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)}
