"""Golden adapter of Swin: kits of the official dense code (system ``swin``) and of Relation-DETR.

The former run on Microsoft's layout; the latter (``arch`` ``swin_*``) on torchvision's, with its shift rule
and without output norms.
"""

from __future__ import annotations

import math
import re

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.backbones import Swin
from dense3d.errors import DataError
from tests.golden import UnknownCheckError
from tests.golden.checks import Arrays, Run, tensors_of_inputs, wanted
from tests.golden.kit import GoldenKit
from tests.golden.notes import stated_grid
from tests.golden.options import Options
from tests.golden.weights import Recorder, load_kit, tensors_of


def open_kit(kit: GoldenKit) -> Run:
    """Build the network of a kit of the dense code with its weights."""
    return _Dense(load_kit(_dense(kit.options, tensors_of(kit)), kit, "swin"), kit).run


def open_torchvision(kit: GoldenKit) -> Run:
    """Build the network of a kit of Relation-DETR with its weights."""
    model = Swin(**arguments(kit.options.take("arch"), kit.options, tensors_of(kit)))
    return _Features(load_kit(model, kit, "swin-torchvision")).run


def _dense(options: Options, official: dict[str, Tensor]) -> Swin:
    take, table = options.take, official.get("absolute_pos_embed")
    # of training; the table has the size of the images of pre-training
    options.neutral("drop_rate", "attn_drop_rate", "drop_path_rate", "use_checkpoint", "frozen_stages")
    options.neutral("pretrain_img_size")
    options.only("norm_layer", None)
    options.agree("ape", table is not None)
    sizes = {"embed_dim": 96, "depths": (2, 2, 6, 2), "num_heads": (3, 6, 12, 24)}
    return Swin(
        arch=options.take_all(sizes),
        window_size=take("window_size", 7),
        mlp_ratio=take("mlp_ratio", 4.0),
        qkv_bias=take("qkv_bias", True),
        qk_scale=take("qk_scale", None) or None,
        patch_norm=take("patch_norm", True),
        absolute_position_size=None if table is None else table.shape[-1],
        patch_size=take("patch_size", 4),
        in_channels=take("in_chans", 3),
        out_indices=sorted(take("out_indices", (0, 1, 2, 3))),
    )


def arguments(name: str, options: Options, official: dict[str, Tensor]) -> dict:
    """Arguments of the :class:`Swin` of Relation-DETR that fits the options and torchvision's parameters."""
    version = 2 if "v2" in name else 1
    options.neutral("weights", "freeze_indices", "stochastic_depth_prob", "dropout", "attention_dropout")
    options.only("patch_size", [4, 4], 4)
    state = {re.sub(r"^0\.", "", n): value for n, value in official.items()}
    stages = 1 + max(int(m[1]) for n in state if (m := re.match(r"features\.(\d+)\.0\.norm1\.", n))) // 2
    first = [f"features.{2 * stage + 1}." for stage in range(stages)]
    table = "attn.relative_position_index"
    heads = "attn.logit_scale" if version == 2 else "attn.relative_position_bias_table"
    window = math.isqrt(math.isqrt(state[f"{first[0]}0.{table}"].numel()))
    dim, hidden = state[f"{first[0]}0.norm1.weight"].numel(), len(state[f"{first[0]}0.mlp.0.weight"])
    axis = 0 if version == 2 else 1
    normed = sorted(int(m[1]) for n in official if (m := re.fullmatch(r"(?:1\.)?norm(\d)\.weight", n)))
    options.only("window_size", [window, window], window)
    returned = options.take("return_indices", normed or range(stages))
    sizes = dict(
        embed_dim=dim,
        depths=[len({n.split(".")[2] for n in state if n.startswith(prefix)}) for prefix in first],
        num_heads=[state[f"{prefix}0.{heads}"].shape[axis] for prefix in first],
    )
    return dict(
        arch={key: options.agree(key, value) for key, value in sizes.items()},
        version=version,
        window_size=window,
        mlp_ratio=options.ratio("mlp_ratio", dim, hidden),
        shift_small_maps=False,
        output_norm=bool(normed),
        out_indices=sorted(returned),
    )


class _Features:
    """Checks of whole networks with torchvision's names: ``features.<2 stage + 1>``."""

    def __init__(self, model: Swin) -> None:
        self.model = model

    @torch.no_grad()
    def run(self, check: dict, inputs: Arrays) -> Arrays:
        """Maps by torchvision's name.

        Raises:
            UnknownCheckError: the check is no pass through the network.
        """
        if len(inputs) != 1:
            raise UnknownCheckError(f"Swin has no rule for the check {check['name']!r}")
        (images,) = tensors_of_inputs(inputs).values()
        # torchvision's patch embedding does not pad: what is left of a patch at the border is dropped.
        patch = self.model.patch_size
        images = images[..., : images.shape[-2] // patch * patch, : images.shape[-1] // patch * patch]
        names = (f"features.{2 * stage + 1}" for stage in self.model.out_indices)
        return wanted(check, dict(zip(names, self.model(images))))


class _Dense:
    """Checks of the official dense code."""

    def __init__(self, model: Swin, kit: GoldenKit) -> None:
        self.model, self.kit = model, kit
        self.modules = {"patch_embed": model.patch_embed}
        for index, stage in enumerate(model.layers):
            self.modules |= {f"stage{index}_block{j}": block for j, block in enumerate(stage.blocks)}
            self.modules[f"stage{index}_last"] = stage.blocks[-1]
            if stage.downsample is not None:
                self.modules[f"stage{index}_merge"] = stage.downsample
        self.recorder = Recorder(self.modules)

    @torch.no_grad()
    def run(self, check: dict, inputs: Arrays) -> Arrays:
        """Outputs of one check.

        Raises:
            UnknownCheckError: no rule for its name and inputs.
        """
        tensors = tensors_of_inputs(inputs)
        if set(tensors) == {"image"}:
            maps = self.model(tensors["image"])
            found = {f"out{i}": m for i, m in zip(self.model.out_indices, maps)}
            recorded = [name for name in check["outputs"] if name in self.modules]
            if recorded:
                self._run_all_stages(tensors["image"])
            return wanted(check, found | {name: self._official_layout(name) for name in recorded})
        if set(tensors) == {"x"}:
            return wanted(check, self._stage(check, tensors["x"]))
        raise UnknownCheckError(f"Swin has no rule for the check {check['name']!r}")

    def _run_all_stages(self, image: Tensor) -> None:
        """The stages behind the last map that is returned too, as the official code runs them."""
        patch = self.model.patch_size
        x = self.model.stem(F.pad(image, (0, -image.shape[-1] % patch, 0, -image.shape[-2] % patch)))
        for index in range(len(self.model.channels)):
            x = self.model.stage(index, x)

    def _official_layout(self, name: str) -> Tensor:
        """``(B, h, w, C)`` to the map of the patch embedding or the token list of blocks and mergings."""
        tokens = self.recorder[name]
        return tokens.permute(0, 3, 1, 2) if name == "patch_embed" else tokens.flatten(1, 2)

    def _stage(self, check: dict, tokens: Tensor) -> dict[str, Tensor]:
        """One stage alone on tokens ``(B, h w, C)``: the width of the tokens tells which."""
        if tokens.shape[-1] not in self.model.channels:
            raise DataError(f"no stage of this Swin has {tokens.shape[-1]} channels")
        index = self.model.channels.index(tokens.shape[-1])
        x = tokens.unflatten(1, stated_grid(self.kit, check, tokens.shape[1]))
        for block in self.model.layers[index].blocks:
            x = block(x)
        downsample = self.model.layers[index].downsample
        outputs = {"x": x, "down": x if downsample is None else downsample(x)}
        return {name: output.flatten(1, 2) for name, output in outputs.items()}
