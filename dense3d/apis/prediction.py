"""A trained model that takes images of any kind and gives results of any task."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from itertools import groupby
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope

from dense3d.apis.building import build_checked, checked_config, require_no_weights, usable_device
from dense3d.apis.calibrations import Calibration, calibration_for, needs_calibration
from dense3d.apis.category_ids import category_ids_of
from dense3d.apis.cloud_pipelines import takes_clouds
from dense3d.apis.grid_pipelines import takes_grids
from dense3d.apis.inputs import ImageInput, as_inputs, is_single
from dense3d.apis.pipelines import Preparation, first_line, inference_steps, takes_pairs
from dense3d.apis.scene_pipelines import takes_scenes
from dense3d.apis.testing import augment
from dense3d.engine.bad_batches import naming_samples
from dense3d.engine.checkpoint import look_for
from dense3d.engine.data_classes import classes_of_config
from dense3d.errors import ConfigError, DataError
from dense3d.results import ModelInfo, Result

if TYPE_CHECKING:
    from dense3d.apis.cloud_prediction import CloudPredictor
    from dense3d.apis.grid_prediction import GridPredictor
    from dense3d.apis.pair_prediction import PairPredictor
    from dense3d.apis.scene_prediction import ScenePredictor


class Predictor:
    """A model with its weights, ready to be called; made by :func:`load`.

    Args:
        config: config file, name of a config, or loaded config; the one the checkpoint was trained with.
        checkpoint: checkpoint file.
        device: ``"cuda"``, ``"cpu"``, ...; the GPU if there is one.
        score_threshold: predictions with a lower score are left out.
        batch_size: images at a time.
        tta: augment each image and merge the predictions, see :func:`dense3d.apis.test`.
        options: settings that override the config's, by dotted key.

    Attributes:
        model: the network.
        info: its classes, colours and category ids, from the checkpoint.
        detects_3d: whether images need calibrations.

    Raises:
        ConfigError, CheckpointError: one sentence on what is wrong.
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path,
        device: str | torch.device | None = None,
        score_threshold: float = 0.3,
        batch_size: int = 1,
        tta: bool = False,
        options: dict[str, Any] | None = None,
    ) -> None:
        _check_numbers(score_threshold, batch_size)
        if checkpoint is not None:
            look_for(checkpoint)
        self.cfg = checked_config(config, options)
        if checkpoint is None:
            require_no_weights(self.cfg)
        self.detects_3d = needs_calibration(inference_steps(self.cfg))
        if tta:
            augment(self.cfg)
        self.batch_size = batch_size
        self.model = build_checked(self.cfg, checkpoint, usable_device(device))
        self.prepare = Preparation(inference_steps(self.cfg), self.cfg.default_scope)
        meta = dict(self.model.dataset_meta)
        meta.setdefault("classes", tuple(getattr(self.model, "class_names", ())) or self._names_of_data())
        self.info = ModelInfo(
            meta,
            self.model.data_preprocessor,
            score_threshold,
            lambda: category_ids_of(self.cfg, self.info.classes),
        )

    def _names_of_data(self) -> tuple[str, ...]:
        """Classes of the config's data, for a classifier of as many whose file, an official one, has none."""
        count = getattr(self.model, "num_classes", None)
        if not isinstance(count, int):
            return ()
        with DefaultScope.overwrite_default_scope(self.cfg.default_scope):
            loaders = {part: self.cfg.get(f"{part}_dataloader") for part in ("train", "test")}
            known = classes_of_config({part: loader for part, loader in loaders.items() if loader})
        return known.names if known is not None and len(known.names) == count else ()

    def __repr__(self) -> str:
        bare = getattr(self.model, "module", self.model)
        device = next(self.model.parameters()).device
        return f"<Predictor {type(bare).__name__} of {len(self.info.classes)} classes on {device}>"

    def __call__(
        self, inputs: Any, calibration: Calibration | Sequence[Calibration] = None, stream: bool = False
    ) -> Result | list[Result] | Iterator[Result]:
        """Predict.

        Args:
            inputs: a path, folder (searched recursively) or glob; an array ``(H, W, 3)`` uint8 in **RGB**, a
                PIL image, a tensor ``(3, H, W)``, see :func:`dense3d.apis.inputs.as_rgb`; or a list of them.
            calibration: for detectors of 3D boxes: a :class:`~dense3d.structures.KittiCalibration`, or a file
                of KITTI's format, for all images; a folder with a file of each image's name; or a list with
                one of these an image. By default the folder ``calib`` beside that of the image.
            stream: give the results one by one as they come, so that they need not all fit into memory.

        Returns:
            One image (a file's path, an array, a PIL image, a tensor) gives one result, everything else a
            list with a result an image in their order, or an iterator over them with ``stream``.

            Of several images, one that cannot be read or that the model refuses does not stop the rest: its
            result has an ``error``, and a warning names it. A single one raises.

        Raises:
            DataError: the inputs name no image; an image lacks a calibration; the one image is no good.
        """
        results = self.each(inputs, calibration)
        if is_single(inputs):
            (result,) = results
            if result.error is not None:
                raise DataError(result.error)
            return result
        return _warned(results) if stream else list(_warned(results))

    def each(self, inputs: Any, calibration: Calibration | Sequence[Calibration] = None) -> Iterator[Result]:
        """Results one by one; those of images without a prediction have an ``error``, and nobody is warned.

        Args:
            inputs, calibration: as for a call.

        Raises:
            DataError: the inputs name no image, or an image lacks a calibration.
        """
        images = as_inputs(inputs)
        return self._results(images, self._fields(images, calibration))

    def _fields(self, images: list[ImageInput], given: Any) -> list[dict]:
        """What the pipeline starts from beside each image; calibrations are read before the first image."""
        if given is not None and not self.detects_3d:
            raise no_calibration_wanted(self.cfg)
        numbers = [{"img_id": number} for number in range(len(images))]
        if not self.detects_3d:
            return numbers
        each = list(given) if isinstance(given, (list, tuple)) else [given] * len(images)
        if len(each) != len(images):
            raise DataError(f"there are {len(each)} calibrations for {len(images)} images: give one for each")
        return [
            fields
            | {
                "frame": image.path.stem if image.path else image.name,
                "calibration": calibration_for(image.name, image.path, calibration),
            }
            for fields, image, calibration in zip(numbers, images, each)
        ]

    def _results(self, images: list[ImageInput], fields: list[dict]) -> Iterator[Result]:
        for start in range(0, len(images), self.batch_size):
            batch = images[start : start + self.batch_size]
            prepared = [self._prepared(*pair) for pair in zip(batch, fields[start : start + self.batch_size])]
            sound = [item for item in prepared if not isinstance(item, DataError)]
            samples = (sample for group in self._groups(sound) for sample in self._predicted(group))
            for image, item in zip(batch, prepared):
                yield self._result(image, item if isinstance(item, DataError) else next(samples))

    def _prepared(self, image: ImageInput, fields: dict) -> dict | DataError:
        try:
            with DefaultScope.overwrite_default_scope(self.cfg.default_scope):
                return self.prepare(image, fields)
        except DataError as error:
            return error

    def _groups(self, items: list[dict]) -> list[list[dict]]:
        """What can be a batch: all; of mmseg's models, which do not pad in tests, those of equal sizes."""
        preprocessor = type(getattr(self.model, "module", self.model).data_preprocessor)
        if not any(base.__module__.startswith("mmseg.") for base in preprocessor.__mro__):
            return [items] if items else []
        return [list(group) for _, group in groupby(items, key=lambda item: _shapes(item["inputs"]))]

    def _predicted(self, items: list[dict]) -> list[Any]:
        """Data samples; in place of one on which the model fails, also when it is alone, a DataError."""
        batch = pseudo_collate(items)
        try:
            with (
                DefaultScope.overwrite_default_scope(self.cfg.default_scope),
                torch.no_grad(),
                naming_samples(batch),
            ):
                return self.model.test_step(batch)
        except Exception as error:  # whatever an odd image brings about, the others are not to pay for it
            if len(items) == 1:
                return [failure(items[0], error)]
        # Out of the block above: the error holds on to tensors, of which the next try may have need.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return [sample for item in items for sample in self._predicted([item])]

    def _result(self, image: ImageInput, sample: Any) -> Result:
        if isinstance(sample, DataError):
            return Result(image.name, path=image.path, error=str(sample))
        pixels = image.pixels() if image.path is None else None
        return Result.of(sample, self.info, image.name, image.path, pixels)


def load(
    config: str | Path | Config,
    checkpoint: str | Path | None,
    device: str | torch.device | None = None,
    score_threshold: float = 0.3,
    batch_size: int = 1,
    tta: bool = False,
    options: dict[str, Any] | None = None,
) -> Predictor | PairPredictor | CloudPredictor | GridPredictor | ScenePredictor:
    """A trained model that takes images: ``dense3d.load(config, checkpoint)("photo.jpg").plot()``.

    A stereo or flow network takes two: ``dense3d.load(config, checkpoint)("left.png", "right.png", rig)``;
    a network of point clouds takes those: ``dense3d.load(config, checkpoint)("cloud.ply")``, one of radiance
    grids ``"scene.npz"``, one of scenes with photographs a folder of those.

    Args:
        config: config file, name of a config, or loaded config; the one the checkpoint was trained with.
        checkpoint: checkpoint file; None for a model without weights, such as ``SemiGlobalMatching``.
        device, score_threshold, batch_size, tta, options: see :class:`Predictor`.

    Returns:
        A :class:`Predictor`, or a :class:`~dense3d.apis.pair_prediction.PairPredictor` of a network that
        matches two images; calling it gives :class:`dense3d.results.Result`. Of a network of clouds, a
        :class:`~dense3d.apis.cloud_prediction.CloudPredictor`, which gives
        :class:`dense3d.results.CloudResult`; of radiance grids, a
        :class:`~dense3d.apis.grid_prediction.GridPredictor` with :class:`dense3d.results.GridResult`; of
        scenes, a :class:`~dense3d.apis.scene_prediction.ScenePredictor` with lists of
        :class:`dense3d.results.SceneResult`.

    Raises:
        ConfigError, CheckpointError: one sentence on what is wrong.
    """
    cfg = checked_config(config, options)
    if takes_clouds(inference_steps(cfg)):
        if tta:
            raise ConfigError(f"{cfg.filename} takes point clouds: test-time augmentation is not for it")
        from dense3d.apis.cloud_prediction import CloudPredictor

        return CloudPredictor(cfg, checkpoint, device)
    if takes_grids(inference_steps(cfg)):
        if tta:
            raise ConfigError(f"{cfg.filename} takes radiance grids: test-time augmentation is not for it")
        from dense3d.apis.grid_prediction import GridPredictor

        return GridPredictor(cfg, checkpoint, device, None, score_threshold)
    if takes_scenes(inference_steps(cfg)):
        if tta:
            raise ConfigError(f"{cfg.filename} takes scenes: test-time augmentation is not for it")
        from dense3d.apis.scene_prediction import ScenePredictor

        return ScenePredictor(cfg, checkpoint, device)
    if takes_pairs(inference_steps(cfg)):
        if tta:
            raise ConfigError(f"{cfg.filename} matches two images: test-time augmentation is not for it")
        from dense3d.apis.pair_prediction import PairPredictor

        return PairPredictor(cfg, checkpoint, device, batch_size)
    return Predictor(cfg, checkpoint, device, score_threshold, batch_size, tta)


def failure(item: dict, error: Exception) -> DataError:
    """The sentence on an image, or a pair, on which the model fails.

    Raises:
        Exception: the error itself, if it is no DataError and ``DENSE3D_TRACEBACK`` asks where it came from.
    """
    if isinstance(error, DataError):
        return error
    if os.environ.get("DENSE3D_TRACEBACK"):
        raise error
    samples = item["data_samples"]
    meta = (samples[0] if isinstance(samples, list) else samples).metainfo
    height, width = meta["ori_shape"][:2]
    name = meta.get("img_path") or meta.get("left_path") or "an image"
    if is_out_of_memory(error):
        return DataError(
            f"{name}, {width} x {height} pixels: there is not enough memory for it; make it smaller "
            f"or cut it, lower --batch-size, or take another device ({first_line(error)})"
        )
    return DataError(
        f"{name}, {width} x {height} pixels: the model fails on it, {type(error).__name__}: "
        f"{first_line(error)} (DENSE3D_TRACEBACK=1 shows where)"
    )


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error, of NumPy, OpenCV, or torch on whatever device, says that memory is not enough.

    Example:
        >>> is_out_of_memory(MemoryError()), is_out_of_memory(RuntimeError("shapes differ"))
        (True, False)
    """
    text = str(error).lower()
    told = ("out of memory", "can't allocate memory", "not enough memory", "insufficient memory")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(words in text for words in told)


def _shapes(inputs: Any) -> list[tuple[int, ...]]:
    """Of an image, or of its augmented views."""
    return [tuple(view.shape) for view in (inputs if isinstance(inputs, list) else [inputs])]


def no_calibration_wanted(cfg: Config) -> ConfigError:
    """The error of a calibration for a model that takes none."""
    return ConfigError(f"{cfg.filename} describes no detector of 3D boxes: leave --calib out")


def _warned(results: Iterator[Result]) -> Iterator[Result]:
    for result in results:
        if result.error is not None:
            warnings.warn(f"left out: {result.error}", stacklevel=2)
        yield result


def _check_numbers(score_threshold: float, batch_size: int) -> None:
    if not isinstance(score_threshold, Real) or not 0 <= score_threshold <= 1:  # nan neither
        raise ConfigError(f"the score threshold is {score_threshold!r}: scores lie in 0 .. 1")
    if not isinstance(batch_size, Integral) or batch_size < 1:
        raise ConfigError(f"the batch size {batch_size!r} is no number of images: give 1 or more")
