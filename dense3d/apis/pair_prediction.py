"""A trained network of two images: disparity, depth and clouds of pairs, flow, or a completed view."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope

from dense3d.apis.building import build_trained, checked_config, usable_device
from dense3d.apis.pair_inputs import PairInput, as_pairs, is_one_pair
from dense3d.apis.pipelines import completes_views, first_line, inference_steps, takes_pairs
from dense3d.apis.prediction import failure
from dense3d.datasets.stereo.rigs import read_rig
from dense3d.engine.bad_batches import naming_samples
from dense3d.engine.checkpoint import look_for
from dense3d.errors import ConfigError, DataError
from dense3d.results import ModelInfo, Result
from dense3d.stereo.both_views import mirrored_pair
from dense3d.structures import RectifiedRig, StereoSample


class PairPredictor:
    """A network of two images with its weights, ready to be called; made by :func:`dense3d.load`.

    That is a stereo or flow network, or one of cross-view completion (CroCo), which paints the hidden part of
    the first image from the rest and from the second; what is hidden is drawn anew in each call.

    Args:
        config: config file, name of a config, or loaded config; the one the checkpoint was trained with.
        checkpoint: checkpoint file; None for a model without weights, such as ``SemiGlobalMatching``.
        device: ``"cuda"``, ``"cpu"``, ...; the GPU if there is one.
        batch_size: pairs at a time.
        options: settings that override the config's, by dotted key.
        scale: factor up to 1 by which images are made smaller for the network; results have their size.
        both_views: of stereo networks, also predict the right image's disparity, which occlusion, and the
            deviation of networks that do not predict one, are made of; takes twice the time.

    Attributes:
        model: the network.

    Raises:
        ConfigError, CheckpointError: one sentence on what is wrong.

    Example::

        predictor = dense3d.load("croco-stereo_tiny_synthetic-stereo", "epoch_10.pth")
        result = predictor("left.png", "right.png", "rig.json")
        result.disparity, result.occluded, result.depth, result.depth_deviation
        result.save("cloud.ply")
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path | None,
        device: str | torch.device | None = None,
        batch_size: int = 1,
        options: dict[str, Any] | None = None,
        scale: float = 1.0,
        both_views: bool = True,
    ) -> None:
        if not 0 < scale <= 1:
            raise ConfigError(f"scale={scale}: images are made smaller by a factor in (0, 1]")
        if batch_size < 1:
            raise ConfigError(f"the batch size {batch_size!r} is no number of pairs: give 1 or more")
        if checkpoint is not None:
            look_for(checkpoint)
        self.cfg = checked_config(config, options)
        steps = inference_steps(self.cfg)
        if not takes_pairs(steps):
            raise ConfigError(f"{self.cfg.filename} describes no network of two images")
        for step in steps:
            if str(step["type"]).rpartition(".")[2] == "LoadStereo":
                step.update(with_truth=False, with_depth=False, with_disparity=False)
        self.batch_size, self.scale, self.both_views = batch_size, scale, both_views
        self.completes_views = completes_views(steps)
        self.model = build_trained(self.cfg, checkpoint, usable_device(device))
        with DefaultScope.overwrite_default_scope(self.cfg.default_scope):
            self.prepare = Compose(steps)
        self.info = ModelInfo(dict(self.model.dataset_meta), self.model.data_preprocessor)

    def __repr__(self) -> str:
        bare = getattr(self.model, "module", self.model)
        return f"<PairPredictor {type(bare).__name__} on {bare.data_preprocessor.device}>"

    def __call__(
        self, left: Any, right: Any, rig: str | Path | RectifiedRig | None = None, stream: bool = False
    ) -> Result | list[Result] | Iterator[Result]:
        """Predict.

        Args:
            left, right: of a rectified pair (else: the first and the second image): paths, arrays
                ``(H, W, 3)`` uint8 RGB, PIL images or tensors; or folders, globs or lists of them; or videos.
            rig: calibration of the rectified images, or a file of it, see
                :func:`~dense3d.datasets.stereo.rigs.read_rig`; without one there is no depth in metres.
            stream: give the results one by one as they come, so that they need not all fit into memory.

        Returns:
            Two single images give one :class:`~dense3d.results.Result`, everything else a list with a result
            a pair, or an iterator with ``stream``. Of several pairs, one that cannot be read or that the
            network refuses has an ``error``, and a warning names it; a single one raises.

        Raises:
            DataError: no image, sides of different length, a calibration of other images, or the one pair is
                no good.
        """
        results = self.each(left, right, rig)
        if is_one_pair(left, right):
            (result,) = results
            if result.error is not None:
                raise DataError(result.error)
            return result
        return _warned(results) if stream else list(_warned(results))

    def each(self, left: Any, right: Any, rig: str | Path | RectifiedRig | None = None) -> Iterator[Result]:
        """Results one by one; those of pairs without a prediction have an ``error``, and nobody is warned.

        Args:
            left, right, rig: as for a call.
        """
        if self.completes_views and rig is not None:
            raise ConfigError("a network that completes views takes no calibration: leave it out")
        return self._results(as_pairs(left, right, self.rectified), rig)

    @property
    def rectified(self) -> bool:
        """Whether pairs are of two cameras at one moment, as of stereo, and not of flow or of two views."""
        bare = getattr(self.model, "module", self.model)
        return not self.completes_views and getattr(bare, "field", "disparity") == "disparity"

    def _results(self, pairs: Iterator[PairInput], rig: Any) -> Iterator[Result]:
        while batch := list(islice(pairs, self.batch_size)):
            prepared = [self._prepared(pair, rig) for pair in batch]
            sound = [item for item in prepared if not isinstance(item, DataError)]
            samples = iter(self._predicted(sound) if sound else [])
            for pair, item in zip(batch, prepared):
                found = item if isinstance(item, DataError) else next(samples)
                if isinstance(found, DataError):
                    yield Result(pair.name, path=pair.left.path, error=str(found))
                else:
                    yield self._result(pair, item["images"], found)

    def _prepared(self, pair: PairInput, rig: Any) -> dict | DataError:
        """``inputs`` and ``data_samples`` for the network, and the left image beside them."""
        try:
            left, right = pair.pixels(of_one_size=not self.completes_views)
            height, width = left.shape[:2]
            if rig is not None and not isinstance(rig, RectifiedRig):
                rig = read_rig(rig, (width, height))
            seen = [_shrunk(image, self.scale) for image in (left, right)]
            item = {
                "left": seen[0],
                "right": seen[1],
                "left_path": pair.left.name,
                "right_path": pair.right.name,
                "sample_id": pair.name,
                "rig": None if rig is None else rig.resized(*seen[0].shape[1::-1]) if self.scale < 1 else rig,
            }
            with DefaultScope.overwrite_default_scope(self.cfg.default_scope):
                packed = self.prepare(item)
        except DataError as error:
            return error
        except (cv2.error, ZeroDivisionError, MemoryError) as error:
            return DataError(
                f"{pair.name}: this pair cannot be prepared for the network ({first_line(error)})"
            )
        packed["data_samples"].set_metainfo({"full_rig": rig})
        return {**packed, "images": left}

    def _predicted(self, items: list[dict]) -> list[Any]:
        """Data samples; in place of one on which the network fails, also when it is alone, a DataError."""
        batch = pseudo_collate([{key: item[key] for key in ("inputs", "data_samples")} for item in items])
        try:
            with naming_samples(batch):
                samples = self._test_step(batch)
                if self.both_views and all("pred_disparity" in sample for sample in samples):
                    self._add_right(items, samples)
            return samples
        except Exception as error:  # whatever an odd pair brings about, the others are not to pay for it
            if len(items) == 1:
                return [failure(items[0], error)]
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return [sample for item in items for sample in self._predicted([item])]

    def _test_step(self, batch: dict) -> list[StereoSample]:
        with DefaultScope.overwrite_default_scope(self.cfg.default_scope), torch.no_grad():
            return self.model.test_step(batch)

    def _add_right(self, items: list[dict], samples: list[StereoSample]) -> None:
        """``pred_right_disparity`` of each sample, where the network has not given it."""
        missing = [i for i, sample in enumerate(samples) if "pred_right_disparity" not in sample]
        if not missing:
            return
        mirrored = []
        for i in missing:
            inputs = items[i]["inputs"]
            left, right = mirrored_pair(inputs["left"], inputs["right"])
            sample = StereoSample(metainfo=items[i]["data_samples"].metainfo)
            mirrored.append({"inputs": {"left": left, "right": right}, "data_samples": sample})
        for i, other in zip(missing, self._test_step(pseudo_collate(mirrored))):
            samples[i].pred_right_disparity = other.pred_disparity.flip(-1)

    def _result(self, pair: PairInput, image: np.ndarray, sample: StereoSample) -> Result:
        sample = sample.cpu()
        sample.set_metainfo({"ori_shape": image.shape[:2]})
        content = None if pair.left.path is not None else image
        return Result.of(sample, self.info, pair.name, pair.left.path, content)


def _shrunk(image: np.ndarray, scale: float) -> np.ndarray:
    height, width = image.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if (width, height) == size:
        return image
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _warned(results: Iterable[Result]) -> Iterator[Result]:
    for result in results:
        if result.error is not None:
            warnings.warn(f"left out: {result.error}", stacklevel=2)
        yield result
