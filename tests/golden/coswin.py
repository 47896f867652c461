"""Golden adapter of CoSwin (system ``coswin``): the authors' classifier."""

from __future__ import annotations

import math
import re

from torch import Tensor

from dense3d.backbones import CoSwin
from dense3d.checkpoints.coswin import convert_head
from tests.golden import UnknownCheckError
from tests.golden.checks import Run
from tests.golden.kit import GoldenKit
from tests.golden.notes import full_note
from tests.golden.options import Options
from tests.golden.staged_networks import StagedNetwork, Tensors
from tests.golden.weights import tensors_of


def open_kit(kit: GoldenKit) -> Run:
    """Build the kit's network and its classifier with its weights."""
    return _CoSwin(kit, build(kit.options, tensors_of(kit)), "coswin", convert_head).run


def build(options: Options, official: dict[str, Tensor]) -> CoSwin:
    """The network of an official config; stages smaller than the window have windows of their own size."""
    options.neutral("num_classes", "drop_rate", "attn_drop_rate", "drop_path_rate", "use_checkpoint")
    options.neutral("fused_window_process")
    options.only("norm_layer", None)
    sizes = {"embed_dim": 96, "depths": (2, 6, 4), "num_heads": (3, 6, 12)}
    arch, patch = options.take_all(sizes), options.take("patch_size", 2)
    image, window = options.take("img_size", 32), options.take("window_size", 4)
    ape = options.agree("ape", "absolute_pos_embed" in official)
    sides = [min(window, image // patch // 2**i) for i in range(len(arch["depths"]))]
    return CoSwin(
        arch,
        window_size=sides,
        mlp_ratio=options.take("mlp_ratio", 2.0),
        patch_size=patch,
        qkv_bias=options.take("qkv_bias", True),
        qk_scale=options.take("qk_scale", None) or None,
        patch_norm=options.take("patch_norm", True),
        absolute_position_size=image // patch if ape else None,
        in_channels=options.take("in_chans", 3),
        output_norm=False,
    )


class _CoSwin(StagedNetwork):
    def last_map(self, image: Tensor) -> Tensor:
        """The last map, channels first."""
        return self.classifier.embed(image)

    def part(self, kind: str, path: str, tensors: Tensors) -> Tensors:
        """A block, or its local branch, on tokens of a square map."""
        (x,) = tensors.values()
        module = self.submodule(re.sub(r"\.conv$", ".local", path))
        return {"out": module(x.unflatten(1, (math.isqrt(x.shape[1]),) * 2)).flatten(1, 2)}

    def path_of(self, check: dict) -> str:
        """The module that the check's note names.

        Raises:
            UnknownCheckError: it names none.
        """
        found = re.search(r"layers\.\d+\.blocks\.\d+(?:\.conv)?(?![.\w])", full_note(self.kit, check))
        if found is None:
            raise UnknownCheckError(f"the note of the check {check['name']!r} names no block")
        return found[0]
