"""Trained detectors as programs for other places: torch.export and ONNX."""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import Config
from torch import Tensor, nn

from dense3d.apis.building import build_checked, checked_config
from dense3d.detection2d.relation_detr import top_detections
from dense3d.errors import ConfigError
from dense3d.files import atomic_write, require_writable_file
from dense3d.optional import require

OPSET = 18
NAMES = ("boxes", "scores", "labels")
SUFFIXES = (".pt2", ".onnx")


class InferenceGraph(nn.Module):
    """A detector from pixels to detections, without data samples: what is exported.

    Args:
        model: a detector with ``predict_layers`` and a preprocessor, such as ``RelationDETR``. Its
            ``score_thr`` and ``nms_iou``, which would give each image another number of detections, are
            left to the caller.

    Raises:
        ConfigError: the model has no ``predict_layers`` of that form.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        layers = getattr(model, "predict_layers", None)
        if layers is None or "data_samples" not in inspect.signature(layers).parameters:
            raise ConfigError(
                f"{type(model).__name__} cannot be exported: it has no predict_layers(images, data_samples) "
                "that gives logits and boxes; RelationDETR has"
            )
        self.model = model.eval()
        preprocessor = model.data_preprocessor
        # mmdet loads BGR; a preprocessor that does not turn it round has a model that wants it.
        self.takes_bgr = not preprocessor._channel_conversion
        self.divisor = preprocessor.pad_size_divisor
        self.padding = preprocessor.pad_value
        self.normalises = preprocessor._enable_normalize
        if self.normalises:
            self.register_buffer("pixel_mean", preprocessor.mean.clone())
            self.register_buffer("pixel_std", preprocessor.std.clone())

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Detect.

        Args:
            images: ``(B, 3, H, W)`` RGB, float32 from 0 to 255.

        Returns:
            boxes ``(B, K, 4)`` xyxy in pixels of ``images``, which may reach beyond them, scores ``(B, K)``
            in falling order and labels ``(B, K)``.
        """
        height, width = images.shape[-2:]
        images = images.flip(1) if self.takes_bgr else images
        images = (images - self.pixel_mean) / self.pixel_std if self.normalises else images
        padding = (0, -width % self.divisor, 0, -height % self.divisor)
        images = F.pad(images, padding, value=self.padding)
        samples = [SimpleNamespace(img_shape=(height, width))] * len(images)
        logits, boxes = self.model.predict_layers(images, samples)
        scores, labels, corners = top_detections(logits[-1], boxes[-1], self.model.test_cfg["max_per_img"])
        unit = corners.new_tensor([width, height, width, height])
        return corners * unit, scores, labels


def export_detector(
    config: str | Path | Config,
    checkpoint: str | Path,
    out: str | Path,
    size: tuple[int, int] = (800, 1333),
    batch: int = 1,
    options: dict[str, Any] | None = None,
) -> Path:
    """Write a trained detector for images of one size; see :class:`InferenceGraph` for what goes in and out.

    Args:
        config: config file, name of a shipped one, or loaded config, the one the checkpoint was trained with.
        checkpoint: checkpoint file.
        out: ``NAME.pt2`` for torch.export (read with ``torch.export.load``), ``NAME.onnx`` for ONNX.
        size: height and width of the images in pixels.
        batch: number of images.
        options: settings that override the config's.

    Raises:
        ConfigError, CheckpointError: one sentence on what is wrong.
        MissingDependencyError: ONNX without the packages onnx and onnxscript.
    """
    out = require_format(out)
    graph = InferenceGraph(build_checked(checked_config(config, options), checkpoint))
    program = exported_program(graph, torch.zeros(batch, 3, *size))
    write_program(program, out)
    return out


def require_format(out: str | Path) -> Path:
    """The file to write, which can be written.

    Raises:
        ConfigError: another suffix than .pt2 and .onnx, or no file can be written there.
        MissingDependencyError: ONNX without the packages onnx and onnxscript.
    """
    out = Path(out)
    if out.suffix not in SUFFIXES:
        raise ConfigError(f"{out}: the suffix chooses the format and must be {' or '.join(SUFFIXES)}")
    if out.suffix == ".onnx":
        require_onnx()
    require_writable_file(out)
    return out


def write_program(
    program: torch.export.ExportedProgram,
    out: Path,
    inputs: Sequence[str] = ("images",),
    outputs: Sequence[str] = NAMES,
) -> None:
    """Write a program in the format of the suffix; names are those that ONNX gives inputs and outputs."""
    with atomic_write(out) as file:
        if out.suffix == ".onnx":
            file.write(onnx_bytes(program, inputs, outputs))
        else:
            torch.export.save(program, file)


def exported_program(graph: nn.Module, *images: Tensor) -> torch.export.ExportedProgram:
    """``graph`` for images of the shape of ``images``, in operators of torch alone."""
    with torch.no_grad():
        return torch.export.export(graph.eval(), images, strict=False)


def require_onnx() -> None:
    """Raise MissingDependencyError unless the packages that write ONNX are there."""
    for package in ("onnx", "onnxscript"):
        require(package, "export to ONNX")


def onnx_bytes(
    program: torch.export.ExportedProgram,
    inputs: Sequence[str] = ("images",),
    outputs: Sequence[str] = NAMES,
) -> bytes:
    """The program in ONNX, opset 18, by default from ``images`` to ``boxes``, ``scores`` and ``labels``."""
    require_onnx()
    # onnxscript's optimizer (0.7.2) loses a node where one clamp follows another; ONNX Runtime has its own.
    with _quiet(), torch.no_grad():
        converted = torch.onnx.export(
            program,
            dynamo=True,
            optimize=False,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
        )
    return converted.model_proto.SerializeToString()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress that torch prints."""
    with Path(os.devnull).open("w") as nothing, contextlib.redirect_stdout(nothing):
        yield
