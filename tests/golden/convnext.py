"""Golden adapter of ConvNeXt: the official dense code (system ``convnext``).

The kits floor odd sizes at every down-sampling, as the official code does; the adapter therefore runs the
stages without the padding that the backbone adds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from dense3d.backbones import ConvNeXt
from dense3d.checkpoints import convert
from dense3d.errors import DataError
from tests.golden import UnknownCheckError
from tests.golden.checks import Arrays, Run, tensors_of_inputs, wanted
from tests.golden.kit import GoldenKit
from tests.golden.notes import stated_numbers
from tests.golden.options import Options
from tests.golden.weights import Recorder, load_strictly, tensors_of


def open_kit(kit: GoldenKit) -> Run:
    """Build the kit's network with its weights."""
    official = tensors_of(kit)
    indices = sorted(kit.options.take("out_indices", range(4)))
    model = build(kit.options, official, output_norm="all", out_indices=indices)
    # the official code has norms of all stages, of which it runs those that are returned
    unused = {f"norm{i}.{name}" for i in range(4) if i not in indices for name in ("weight", "bias")}
    state = {name: value for name, value in convert("convnext", official).items() if name not in unused}
    return _Dense(load_strictly(model, state, kit), kit).run


def build(
    options: Options, official: dict[str, Tensor], output_norm: str, out_indices: Sequence[int]
) -> ConvNeXt:
    """The network of an official config; its weights tell the version and whether there is a layer scale."""
    options.neutral("drop_path_rate", "layer_scale_init_value")
    return ConvNeXt(
        options.take_all({"dims": (96, 192, 384, 768), "depths": (3, 3, 9, 3)}),
        version=2 if any(".grn." in name for name in official) else 1,
        layer_scale=1.0 if any(re.fullmatch(r"stages\.\d+\.\d+\.gamma", name) for name in official) else 0.0,
        output_norm=output_norm,
        in_channels=options.take("in_chans", 3),
        out_indices=out_indices,
    )


def unpadded_maps(model: ConvNeXt, images: Tensor) -> Iterator[Tensor]:
    """Maps of all stages, before the output norms, of images as they are."""
    x = model.stem(images)
    for index in range(len(model.channels)):
        x = model.stage(index, x)
        yield x


class _Dense:
    """Checks of the official dense code."""

    def __init__(self, model: ConvNeXt, kit: GoldenKit) -> None:
        self.model, self.kit = model, kit
        self.official_names = [name for name, _, _ in kit.meta["params"]]
        modules: dict[str, nn.Module] = {"stem": model.body.stem}
        for index, stage in enumerate(model.body.stages):
            modules |= {f"stage{index}_block{j}": block for j, block in enumerate(stage.blocks)}
            modules |= {f"stage{index}_last": stage.blocks[-1], f"down{index}": stage.downsample}
        self.recorder = Recorder(modules)

    def run(self, check: dict, inputs: Arrays) -> Arrays:
        """Outputs of one check.

        Raises:
            UnknownCheckError: no rule for its name and inputs.
        """
        if "decay_rate" in inputs:
            return wanted(check, self._layer_decay(inputs))
        tensors = tensors_of_inputs(inputs)
        with torch.no_grad():
            if set(inputs) == {"image"}:
                maps = list(unpadded_maps(self.model, tensors["image"]))
                found = {f"out{i}": self.model.output(i, maps[i]) for i in self.model.out_indices}
                found |= {name: self.recorder[name] for name in check["outputs"] if name in self.recorder}
                return wanted(check, found)
            if set(inputs) == {"x"}:
                return wanted(check, self._stage_parts(check, tensors["x"]))
        raise UnknownCheckError(f"ConvNeXt has no rule for the check {check['name']!r}")

    def _stage_parts(self, check: dict, x: Tensor) -> dict[str, Tensor]:
        """One block of a stage, and a down-sampling: those that the note names, else the first that fit."""
        channels, stages = self.model.channels, self.model.body.stages
        if x.shape[1] not in channels:
            raise DataError(f"no stage of this ConvNeXt has {x.shape[1]} channels")
        fitting = [i for i, width in enumerate(channels) if width == x.shape[1]]
        named = stated_numbers(self.kit, check, r"(?<![.\w])stages\.(\d+)")
        index = next((i for i in named if i in fitting), fitting[0])
        block = (stated_numbers(self.kit, check, rf"(?<![.\w])stages\.{index}\.(\d+)") or [0])[0]
        parts = {"block": stages[index].blocks[block](x)}
        if index + 1 < len(channels):
            parts["down"] = stages[index + 1].downsample(x)
        return parts

    def _layer_decay(self, inputs: Arrays) -> Arrays:
        """Rates of the backbone inside a detector, in the official order of parameters."""
        from mmengine.optim import build_optim_wrapper

        detector = nn.Module()
        detector.backbone = self.model
        wrapper = build_optim_wrapper(
            detector,
            dict(
                type="OptimWrapper",
                optimizer=dict(
                    type="AdamW", lr=float(inputs["lr"]), weight_decay=float(inputs["weight_decay"])
                ),
                constructor="dense3d.LayerDecayOptimWrapperConstructor",
                paramwise_cfg=dict(
                    decay_rate=float(inputs["decay_rate"]),
                    decay_type="stage_wise" if int(inputs.get("stage_wise", 0)) else "layer_wise",
                    num_layers=int(inputs["num_layers"]),
                ),
            ),
        )
        groups = {id(p): group for group in wrapper.optimizer.param_groups for p in group["params"]}
        numbered = {name: torch.tensor(float(i)) for i, name in enumerate(self.official_names)}
        order = sorted(convert("convnext", numbered).items(), key=lambda item: float(item[1]))
        parameters = dict(self.model.named_parameters())
        returned = parameters[f"norm{self.model.out_indices[-1]}.weight"]
        # norms that do not run stand in the list of the official parameters all the same
        of_official = [groups[id(parameters.get(name, returned))] for name, _ in order]
        return {key: np.array([group[key] for group in of_official]) for key in ("lr", "weight_decay")}
