"""How single images are prepared: a config's test pipeline without annotations, from files or pixels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from dense3d.apis.inputs import ImageInput
from dense3d.datasets.scan.images import check_image
from dense3d.errors import ConfigError, DataError
from dense3d.image_files import Reader, name_formats_of_mmcv


def inference_steps(cfg: Config) -> list[dict]:
    """The test pipeline without its annotation loading.

    Raises:
        ConfigError: the config has none.
    """
    for key in ("test_dataloader", "val_dataloader"):
        if cfg.get(key) is not None:
            dataset = cfg[key].dataset
            while "pipeline" not in dataset and "dataset" in dataset:
                dataset = dataset.dataset
            scope = dataset.get("_scope_")
            steps = _without_annotations(dataset.pipeline)
            for step in steps:
                if scope and "_scope_" not in step and "." not in step["type"]:
                    step["_scope_"] = scope
            return steps
    raise ConfigError(f"{cfg.filename} has no test_dataloader: its pipeline says how images are prepared")


def takes_pairs(steps: Sequence[dict]) -> bool:
    """Whether a pipeline prepares pairs of images: of stereo or flow, or views of which one is completed."""
    return bool({"LoadStereo", "LoadCrossViews"} & set(_names(steps)))


def completes_views(steps: Sequence[dict]) -> bool:
    """Whether a pipeline prepares two views of a scene, no rectified pair, which may differ in size."""
    return "LoadCrossViews" in _names(steps)


def _names(steps: Sequence[dict]) -> list[str]:
    return [str(step.get("type")).rpartition(".")[2] for step in steps]


class Preparation:
    """The steps from one image to what a model takes.

    Args:
        steps: as :func:`inference_steps` gives them; the first one loads the image.
        scope: in which names are looked up.
    """

    def __init__(self, steps: Sequence[dict], scope: str) -> None:
        with DefaultScope.overwrite_default_scope(scope):
            self.load, *others = Compose(steps).transforms
            self.others = Compose(others)
        name_formats_of_mmcv()

    def __call__(self, image: ImageInput, fields: dict[str, Any]) -> dict[str, Any]:
        """What the model takes for an image.

        Args:
            image: file or pixels.
            fields: what the pipeline starts from beside them.

        Raises:
            DataError: the image cannot be read, or is too thin or too large to be resized.
        """
        item = {"img_path": image.name, **fields}
        if image.fault is not None:
            raise DataError(image.fault)
        loaded = self._from_pixels(image, item) if image.path is None else self._from_file(image, item)
        height, width = loaded["ori_shape"]
        try:
            return self.others(loaded)
        except DataError:
            raise
        except (cv2.error, ZeroDivisionError, MemoryError) as error:
            # One side is so short that nothing is left of it, or all so large that memory is not enough.
            raise DataError(
                f"{image.name}, {width} x {height} pixels, cannot be brought to the size that the model "
                f"takes: cut it, or leave it out ({first_line(error)})"
            ) from error
        except Exception as error:
            if os.environ.get("DENSE3D_TRACEBACK"):
                raise
            raise DataError(
                f"{image.name}, {width} x {height} pixels, cannot be prepared for the model: "
                f"{type(error).__name__}: {first_line(error)} (DENSE3D_TRACEBACK=1 shows where)"
            ) from error

    def _from_file(self, image: ImageInput, item: dict) -> dict:
        reader = Reader(
            getattr(self.load, "imdecode_backend", "cv2"), getattr(self.load, "color_type", "color")
        )
        fault = check_image(
            image.path, reader=reader
        )  # from header and end: of bombs and cut files nothing is unpacked
        if fault is not None:
            raise _unreadable(image, fault.value)
        try:
            loaded = self.load(item)
        except DataError:
            raise
        except (
            OSError,
            AssertionError,
            AttributeError,
            TypeError,
            ValueError,
            MemoryError,
            cv2.error,
        ) as error:
            # OpenCV answers faulty files with None and mmcv's reader, which has the bytes, with any error.
            raise _unreadable(image, "") from error
        if loaded is None:
            raise _unreadable(image, "")
        return loaded

    def _from_pixels(self, image: ImageInput, item: dict) -> dict:
        """What the loader would have made of a file with these pixels."""
        pixels = image.pixels()
        if not isinstance(self.load, LoadImageFromFile):
            return self.load({**item, "img": pixels})  # our loaders leave an image alone that is there
        if self.load.color_type == "grayscale":
            pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        else:
            pixels = np.ascontiguousarray(pixels[..., ::-1])
        pixels = pixels.astype(np.float32) if self.load.to_float32 else pixels
        return {**item, "img": pixels, "img_shape": pixels.shape[:2], "ori_shape": pixels.shape[:2]}


def first_line(error: Exception) -> str:
    """What an error says, without what follows its first line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _unreadable(image: ImageInput, reason: str) -> DataError:
    if "decompression bomb" in reason:
        return DataError(
            f"{image.name} is too large an image to be read ({reason}): make it smaller or cut it"
        )
    because = f" ({reason})" if reason else ""
    return DataError(f"{image.name} is not a readable image{because}: replace or remove the file")


def _without_annotations(pipeline: Sequence[dict]) -> list[dict]:
    """A pipeline less the steps that load annotations, also where it augments."""
    steps = []
    for step in pipeline:
        if "Annotations" in str(step.get("type")):
            continue
        step = dict(step)
        if step["type"].rpartition(".")[2] == "TestTimeAug":
            branches = [_without_annotations(branch) for branch in step["transforms"]]
            step["transforms"] = [branch for branch in branches if branch]
        steps.append(step)
    return steps
