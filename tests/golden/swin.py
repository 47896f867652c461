"""Golden adapter of Swin: kits of the official dense code (system ``swin``) and of Relation-DETR.

The former run on Microsoft's layout; the latter (``arch`` ``swin_*``) on torchvision's, with its shift rule
and without output norms.
"""

from __future__ import annotations

import math
import re

import torch
from torch import Tensor

from dense3d.backbones import Swin
from dense3d.backbones.swin import ARCHITECTURES
from dense3d.errors import DataError
from tests.golden import UnknownCheckError
from tests.golden.checks import Arrays, Run, tensors_of_inputs, wanted
from tests.golden.kit import GoldenKit
from tests.golden.weights import Recorder, load_kit, tensors_of

TORCHVISION_SIZES = {"t": "tiny", "s": "small", "b": "base", "l": "large"}


def open_kit(kit: GoldenKit) -> Run:
    """Build the network of a kit of the dense code with its weights."""
    return _Dense(load_kit(_dense(kit.meta["config"], tensors_of(kit)), kit, "swin")).run


def open_torchvision(kit: GoldenKit) -> Run:
    """Build the network of a kit of Relation-DETR with its weights."""
    model = Swin(**arguments(kit.meta["config"], tensors_of(kit)))
    return _Features(load_kit(model, kit, "swin-torchvision")).run


def _dense(config: dict, official: dict[str, Tensor]) -> Swin:
    table = official.get("absolute_pos_embed")
    return Swin(
        arch={key: config[key] for key in ("embed_dim", "depths", "num_heads")},
        window_size=config.get("window_size", 7),
        mlp_ratio=config.get("mlp_ratio", 4.0),
        qkv_bias=config.get("qkv_bias", True),
        patch_norm=config.get("patch_norm", True),
        absolute_position_size=None if table is None else table.shape[-1],
        drop_path_rate=config.get("drop_path_rate", 0.2),
        patch_size=config.get("patch_size", 4),
        in_channels=config.get("in_chans", 3),
        out_indices=config.get("out_indices", range(len(config["depths"]))),
        frozen_stages=config.get("frozen_stages", -1),
    )


def arguments(config: dict, official: dict[str, Tensor]) -> dict:
    """Arguments of the :class:`Swin` of Relation-DETR that fits ``config`` and torchvision's parameters."""
    version = 2 if "v2" in config["arch"] else 1
    released = ARCHITECTURES[TORCHVISION_SIZES.get(config["arch"][-1], "tiny")]
    tables = [v for n, v in official.items() if n.endswith("relative_position_index")]
    window = math.isqrt(math.isqrt(tables[0].numel()))
    normed = [int(m[1]) for name in official if (m := re.fullmatch(r"(?:1\.)?norm(\d)\.weight", name))]
    stages = len(config.get("depths", released["depths"]))
    return dict(
        arch={key: config.get(key, released[key]) for key in ("embed_dim", "depths", "num_heads")},
        version=version,
        window_size=window,
        shift_small_maps=False,
        output_norm=bool(normed),
        out_indices=sorted(normed) or range(stages),
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

    def __init__(self, model: Swin) -> None:
        self.model = model
        modules = {"patch_embed": model.patch_embed}
        for index, stage in enumerate(model.layers):
            modules |= {f"stage{index}_block{j}": block for j, block in enumerate(stage.blocks)}
            if stage.downsample is not None:
                modules[f"stage{index}_merge"] = stage.downsample
        self.recorder = Recorder(modules)

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
            recorded = [name for name in check["outputs"] if name in self.recorder]
            return wanted(check, found | {name: self._official_layout(name) for name in recorded})
        if set(tensors) == {"x"}:
            return wanted(check, self._stage(check, tensors["x"]))
        raise UnknownCheckError(f"Swin has no rule for the check {check['name']!r}")

    def _official_layout(self, name: str) -> Tensor:
        """``(B, h, w, C)`` to the map of the patch embedding or the token list of blocks and mergings."""
        tokens = self.recorder[name]
        return tokens.permute(0, 3, 1, 2) if name == "patch_embed" else tokens.flatten(1, 2)

    def _stage(self, check: dict, tokens: Tensor) -> dict[str, Tensor]:
        """One stage alone on tokens ``(B, h w, C)``: the width of the tokens tells which."""
        if tokens.shape[-1] not in self.model.channels:
            raise DataError(f"no stage of this Swin has {tokens.shape[-1]} channels")
        index = self.model.channels.index(tokens.shape[-1])
        x = tokens.unflatten(1, _grid(tokens.shape[1], check.get("note", "")))
        for block in self.model.layers[index].blocks:
            x = block(x)
        downsample = self.model.layers[index].downsample
        outputs = {"x": x, "down": x if downsample is None else downsample(x)}
        return {name: output.flatten(1, 2) for name, output in outputs.items()}


def _grid(tokens: int, note: str) -> tuple[int, int]:
    """Height and width of a token list: as the note says (``9x11 grid``), else as square as may be."""
    for height, width in re.findall(r"(\d+)\s*x\s*(\d+)", note):
        if int(height) * int(width) == tokens:
            return int(height), int(width)
    height = next(h for h in range(math.isqrt(tokens), 0, -1) if tokens % h == 0)
    return height, tokens // height
