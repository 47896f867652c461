"""Golden adapter of UniFormer (system ``uniformer``): the official dense class and the classifier.

One list of parameters serves both. The kits floor odd sizes at every embedding, as the official code does;
the adapter therefore runs the stages without the padding that the backbone adds.
"""

from __future__ import annotations

from torch import Tensor

from dense3d.backbones import UniFormer
from dense3d.checkpoints.uniformer import convert_head, ours
from tests.golden.checks import Run
from tests.golden.kit import GoldenKit
from tests.golden.options import Options
from tests.golden.staged_networks import StagedNetwork, Tensors
from tests.golden.weights import tensors_of


def open_kit(kit: GoldenKit) -> Run:
    """Build the kit's network and its classifier with its weights."""
    dense, classifier = build(kit.options, tensors_of(kit))
    return _UniFormer(kit, dense, "uniformer", convert_head, classifier).run


def build(options: Options, official: dict[str, Tensor]) -> tuple[UniFormer, UniFormer]:
    """The dense network, and the classifier's, which attends globally."""
    options.neutral("img_size", "num_classes", "drop_rate", "attn_drop_rate", "drop_path_rate")
    options.neutral("use_checkpoint", "checkpoint_num", "pretrained_path", "init_value")
    options.only("representation_size", None)
    options.only("norm_layer", None)
    depths = options.take("layers" if "layers" in options else "depth", (3, 4, 8, 3))
    scaled = any(name.endswith("gamma_1") for name in official)
    if bool(options.take("layer_scale", scaled)) != scaled:
        raise options.refusal("layer_scale", not scaled, f"its parameters are those of {scaled}")
    arch = dict(
        dims=options.take("embed_dim", (64, 128, 320, 512)),
        depths=depths,
        head_dim=options.take("head_dim", 64),
        conv_stem=options.agree("conv_stem", "patch_embed1.proj.0.weight" in official),
        layer_scale=1.0 if scaled else None,
    )
    arguments = dict(
        mlp_ratio=options.take("mlp_ratio", 4.0),
        qkv_bias=options.take("qkv_bias", True),
        qk_scale=options.take("qk_scale", None) or None,
        in_channels=options.take("in_chans", 3),
    )
    windows, hybrid = options.take("windows", False), options.take("hybrid", False)
    dense = UniFormer(
        arch,
        attention="windows" if windows else "hybrid" if hybrid else "global",
        window_size=options.take("window_size", 14),
        output_norm="norm1.weight" in official,
        **arguments,
    )
    return dense, UniFormer(arch, output_norm=False, **arguments)


class _UniFormer(StagedNetwork):
    def part(self, kind: str, path: str, tensors: Tensors) -> Tensors:
        """Modules on maps; the attention of a block, on tokens."""
        (x,) = tensors.values()
        return {"y": self.submodule(ours(path))(x)}
