"""Golden adapter of CrossFormer and CrossFormer++ (system ``crossformer``): dense class and classifier."""

from __future__ import annotations

from torch import Tensor, nn

from dense3d.backbones import CrossFormer
from dense3d.checkpoints.crossformer import convert_head
from dense3d.errors import DataError
from tests.golden import UnknownCheckError
from tests.golden.checks import Run
from tests.golden.kit import GoldenKit
from tests.golden.options import Options
from tests.golden.staged_networks import StagedNetwork, Tensors
from tests.golden.weights import tensors_of


def open_kit(kit: GoldenKit) -> Run:
    """Build the kit's network and its classifier with its weights."""
    model = build(kit.options, tensors_of(kit))
    return _CrossFormer(kit, model, "crossformer", convert_head).run


def build(options: Options, official: dict[str, Tensor]) -> CrossFormer:
    """The network of an official config, of either class."""
    options.neutral("img_size", "num_classes", "drop_rate", "attn_drop_rate", "drop_path_rate")
    options.neutral("use_checkpoint", "init_cfg", "pretrained")
    for name, value in (("ape", False), ("use_cpe", False), ("pad_type", 0), ("no_mask", False)):
        options.only(name, value)
    options.only("group_type", "constant")
    options.only("norm_layer", None)
    cooling = options.agree("use_acl", any(".ex_conv." in name for name in official))
    sizes = {"embed_dim": 96, "depths": (2, 2, 6, 2), "num_heads": (3, 6, 12, 24)}
    interval = options.take("crs_interval", (8, 4, 2, 1))
    return CrossFormer(
        options.take_all(sizes) | {"cooling": cooling},
        group_size=options.take("group_size", 7),
        interval="adaptive" if options.take("adaptive_interval", False) else interval,
        patch_sizes=options.take("patch_size", (4,)),
        merge_sizes=options.take("merge_size", ((2,), (2,), (2,))),
        patch_norm=options.take("patch_norm", True),
        mlp_ratio=options.take("mlp_ratio", 4.0),
        qkv_bias=options.take("qkv_bias", True),
        qk_scale=options.take("qk_scale", None) or None,
        in_channels=options.take("in_chans", 3),
    )


class _CrossFormer(StagedNetwork):
    def last_map(self, image: Tensor) -> Tensor:
        """The last map, channels first."""
        return self.classifier.to_map(super().last_map(image))

    def part(self, kind: str, path: str, tensors: Tensors) -> Tensors:
        """Single modules; tokens come as ``(B, h w, C)`` with ``size = (h, w)``."""
        if kind == "patch":
            return {"tokens": self.model.patch_embed(tensors["image"]).flatten(1, 2)}
        height, width = (int(n) for n in tensors["size"])
        if kind == "position":
            position = self.submodule(path.replace(".pos", ".position"))
            return {"table": position.table((height, width))}
        module, x = self.submodule(path), tensors["x"]
        if kind == "mixer":
            if height != width:
                raise DataError(f"{self.kit.folder}: groups of {height} x {width} tokens are no squares")
            return {"y": module(x[:, None], height)[:, 0]}
        if kind not in ("block", "merge"):
            raise UnknownCheckError(f"there is no rule for the check of {path}")
        return {"y": _on_map(module, x, (height, width))}


def _on_map(module: nn.Module, tokens: Tensor, size: tuple[int, int]) -> Tensor:
    return module(tokens.unflatten(1, size)).flatten(1, 2)
