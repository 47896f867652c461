"""Trained networks that match two images as programs for other places: torch.export and ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn

from dense3d.apis.building import build_checked, checked_config
from dense3d.apis.exporting import exported_program, require_format, write_program
from dense3d.apis.pipelines import inference_steps, takes_pairs
from dense3d.errors import ConfigError


class PairGraph(nn.Module):
    """A stereo or flow network from pixels to maps, without data samples: what is exported.

    Args:
        model: a network with ``predict_images`` and a :class:`~dense3d.stereo.StereoDataPreprocessor`, such
            as ``CrocoStereo``, ``CrocoFlow`` or ``CCNeXt``.

    Raises:
        ConfigError: the model has no ``predict_images``.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        if not hasattr(model, "predict_images"):
            raise ConfigError(
                f"{type(model).__name__} cannot be exported: it has no predict_images(left, right) that "
                "gives maps; CrocoStereo, CrocoFlow and CCNeXt have"
            )
        self.model = model.eval()

    def forward(self, left: Tensor, right: Tensor) -> dict[str, Tensor]:
        """Match.

        Args:
            left, right: ``(B, 3, H, W)`` RGB, float32 from 0 to 255.

        Returns:
            maps ``(B, C, H, W)`` by name. CrocoStereo: ``disparity`` in pixels, ``deviation``,
            ``confidence``. CrocoFlow: ``flow`` and these. CCNeXt: ``inverse_depth``; ``disparity`` in pixels
            if the config has a ``normalised_focal``; ``depth`` in metres if it has a ``metric_scale``;
            ``right_disparity`` with ``predict_right``.
        """
        preprocessor = self.model.data_preprocessor
        maps = self.model.predict_images(preprocessor.normalise(left), preprocessor.normalise(right))
        return {name.removeprefix("pred_"): values for name, values in maps.items()}


def export_pair_network(
    config: str | Path | Config,
    checkpoint: str | Path,
    out: str | Path,
    size: tuple[int, int] | None = None,
    batch: int = 1,
    options: dict[str, Any] | None = None,
) -> tuple[Path, tuple[int, int], list[str]]:
    """Write a trained stereo or flow network for pairs of one size; see :class:`PairGraph`.

    The program predicts as the model does: of CroCo in tiles, which then all stand in the program, so that
    a size of many tiles makes a large one (``model.test_cfg.mode=whole`` makes one tile of the image).

    Args:
        config, checkpoint, batch, options: see :func:`~dense3d.apis.exporting.export_detector`.
        out: ``NAME.pt2`` or ``NAME.onnx``, with inputs ``left`` and ``right``.
        size: height and width of the images; by default what the config resizes to, or the crops that
            it trains on.

    Returns:
        the file, the size, and the names of the maps.

    Raises:
        ConfigError, CheckpointError: one sentence on what is wrong.
        MissingDependencyError: ONNX without the packages onnx and onnxscript.
    """
    out = require_format(out)
    cfg = checked_config(config, options)
    graph = PairGraph(build_checked(cfg, checkpoint))
    size = size or _usual_size(cfg, graph.model)
    images = tuple(torch.zeros(batch, 3, *size) for _ in range(2))
    program = exported_program(graph, *images)
    names = list(program.call_spec.out_spec.context)  # keys of the dict that comes out
    write_program(program, out, ("left", "right"), names)
    return out, size, names


def matches_pairs(config: str | Path | Config, options: dict[str, Any] | None = None) -> bool:
    """Whether a config describes a network that takes two images.

    Raises:
        ConfigError: the config is faulty.
    """
    cfg = checked_config(config, options)
    has_data = any(cfg.get(f"{part}_dataloader") is not None for part in ("test", "val"))
    return has_data and takes_pairs(inference_steps(cfg))


def _usual_size(cfg: Config, model: nn.Module) -> tuple[int, int]:
    size = _resized_to(inference_steps(cfg)) or getattr(model, "crop_size", None)
    if size is None:
        raise ConfigError(
            f"{cfg.filename} does not say which size images have: give --size HEIGHTxWIDTH, such as "
            "--size 384x1280"
        )
    return tuple(size)


def _resized_to(steps: Sequence[dict]) -> tuple[int, int] | None:
    sizes = [step.get("size") for step in steps if str(step["type"]).rpartition(".")[2] == "ResizeStereo"]
    return sizes[-1] if sizes else None
