"""A trained model that takes point clouds: classes, parts or classes of points, boxes, reconstructions."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope

from dense3d.apis.building import build_trained, checked_config, usable_device
from dense3d.apis.cloud_inputs import CloudInput, as_clouds, is_single_cloud
from dense3d.apis.cloud_pipelines import after_loading, pipeline_input
from dense3d.apis.pipelines import first_line, inference_steps
from dense3d.apis.prediction import is_out_of_memory
from dense3d.datasets.pointcloud.packing import PackPointInputs
from dense3d.engine.checkpoint import look_for
from dense3d.errors import ConfigError, DataError, Dense3dError, did_you_mean
from dense3d.ops import knn
from dense3d.results.cloud import CloudReconstruction, CloudResult
from dense3d.structures import PointCloud

QUERIES = 100_000  # points whose nearest one is looked for at a time


class CloudPredictor:
    """A model of clouds with its weights, ready to be called; made by :func:`dense3d.load`.

    Clouds go one by one through the config's test pipeline, whose random choices, as of points, are the same
    every time. Predictions for points are brought from those that the network was given to all points of the
    cloud, each from its nearest.

    Args:
        config: config file, name of a config, or loaded config; the one the checkpoint was trained with.
        checkpoint: checkpoint file; None is refused, since all networks of clouds have weights.
        device: ``"cuda"``, ``"cpu"``, ...; the GPU if there is one.
        options: settings that override the config's, by dotted key.
        score_threshold: boxes that score less are left out.

    Attributes:
        model: the network.
        classes: names of its classes or parts.
        categories: names of the objects' categories, of part segmentors.

    Raises:
        ConfigError, CheckpointError: one sentence on what is wrong.
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path | None,
        device: str | torch.device | None = None,
        options: dict[str, Any] | None = None,
        score_threshold: float = 0.3,
    ) -> None:
        self.score_threshold = score_threshold
        if checkpoint is not None:
            look_for(checkpoint)
        self.cfg = checked_config(config, options)
        self.model = build_trained(self.cfg, checkpoint, usable_device(device))
        self.meta = dict(self.model.dataset_meta)
        self.categories = tuple(self.meta.get("parts") or ())
        names = "part_names" if self._has_parts else "classes"
        self.classes = tuple(self.meta.get(names) or ())
        with DefaultScope.overwrite_default_scope(self.cfg.default_scope):
            self.prepare = Compose(after_loading(inference_steps(self.cfg)))

    def __repr__(self) -> str:
        bare = getattr(self.model, "module", self.model)
        device = next(self.model.parameters()).device
        return f"<CloudPredictor {type(bare).__name__} of {len(self.classes)} classes on {device}>"

    def __call__(
        self, inputs: Any, category: str | None = None, stream: bool = False
    ) -> CloudResult | list[CloudResult] | Iterator[CloudResult]:
        """Predict.

        Args:
            inputs: see :func:`dense3d.apis.cloud_inputs.as_clouds`.
            category: of the objects, for part segmentation.
            stream: give the results one by one as they come.

        Returns:
            One cloud (a file's path, an array, a tensor, a ``PointCloud``) gives one result, everything else
            a list with a result a cloud in their order, or an iterator over them with ``stream``. Of several
            clouds, one that cannot be read or that the model refuses has a result with an ``error``.

        Raises:
            DataError: the inputs name no cloud; the one cloud is no good.
            ConfigError: the category is missing, unknown, or of no use.
        """
        results = self.each(inputs, category)
        if is_single_cloud(inputs):
            (result,) = results
            if result.error is not None:
                raise DataError(result.error)
            return result
        return _warned(results) if stream else list(_warned(results))

    def each(
        self, inputs: Any, category: str | None = None, reading: Mapping[str, Any] | None = None
    ) -> Iterator[CloudResult]:
        """Results one by one; those without a prediction have an ``error``, and nobody is warned."""
        clouds, number = as_clouds(inputs, reading), self._category(category)
        return (self._result(cloud, number) for cloud in clouds)

    @property
    def _has_parts(self) -> bool:
        return hasattr(getattr(self.model, "module", self.model), "num_categories")

    def _category(self, name: str | None) -> int | None:
        wanted = self._has_parts
        if not wanted and name is not None:
            raise ConfigError(f"{self.cfg.filename} asks for no category of the objects: leave it out")
        if wanted and name not in self.categories:
            given = "none is given" if name is None else f"{name!r} is none of them"
            hint = did_you_mean(name, self.categories) if name is not None else ""
            raise ConfigError(
                f"this network segments the parts of objects of a known category, and {given}{hint} (known: "
                f"{', '.join(self.categories) or 'none'})"
            )
        return self.categories.index(name) if wanted else None

    def _result(self, item: CloudInput, category: int | None) -> CloudResult:
        try:
            cloud, dropped = item.cloud().finite()
            if not len(cloud):
                raise DataError(f"{item.name} has no point with finite coordinates")
            sample, used = self._predicted(item, cloud, category)
        except Dense3dError as error:
            name = "" if item.name in str(error) else f"{item.name}: "
            return CloudResult(item.name, path=item.path, error=f"{name}{error}")
        notes = [f"{item.name}: {dropped} points without finite numbers are left out"] if dropped else []
        notes += self._filled_in(item.name, cloud)
        if repeated := len(used) - len(np.unique(used)):
            sizes = f"it has {len(cloud)} points, and the network takes {len(used)}"
            notes.append(f"{item.name}: {sizes}: {repeated} of them are repetitions")
        result = CloudResult(
            item.name,
            cloud,
            self.classes,
            path=item.path,
            notes=tuple(notes),
            up=str(self.meta.get("up_axis", "z")),
        )
        return self._filled(result, sample, used)

    def _predicted(self, item: CloudInput, cloud: PointCloud, category: int | None) -> tuple[Any, np.ndarray]:
        """The model's data sample, and which points of the cloud it was given."""
        numbered = replace(cloud, labels=np.arange(len(cloud)), name=item.name)
        try:
            with DefaultScope.overwrite_default_scope(self.cfg.default_scope), torch.no_grad():
                with _same_draws():
                    packed = self.prepare(pipeline_input(numbered, category))
                used = packed["data_samples"].gt_point_labels.cpu().numpy()
                (sample,) = self.model.test_step(pseudo_collate([packed]))
        except Dense3dError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise DataError(f"{item.name}: there is not enough memory for {len(cloud)} points") from error
            raise DataError(
                f"{item.name}: the model fails on it, {type(error).__name__}: {first_line(error)}"
            ) from error
        sample.given_points = packed["inputs"]["points"]
        return sample.cpu(), used

    def _filled_in(self, name: str, cloud: PointCloud) -> list[str]:
        """What of the features that the network reads is made up, since the cloud has not got it."""
        (pack,) = (step for step in self.prepare.transforms if isinstance(step, PackPointInputs))
        wanted = [] if pack.fill is None else [f for f in pack.features if f not in ("points", "height")]
        absent = [feature for feature in wanted if feature not in cloud.attributes]
        return [f"{name} has no {' and no '.join(absent)}: {pack.fill:g} stands for them"] if absent else []

    def _filled(self, result: CloudResult, sample: Any, used: np.ndarray) -> CloudResult:
        """The result with what the sample holds."""
        if "pred_scores" in sample:
            scores = sample.pred_scores.float().numpy()
            label = int(sample.pred_label)
            result = replace(result, label=label, score=float(scores[label]), scores=scores)
        if "pred_point_labels" in sample:
            labels = sample.pred_point_labels.numpy()[_nearest(result.cloud.points, used)]
            result = replace(result, point_labels=labels)
        if "pred_point_features" in sample:
            features = sample.pred_point_features.select(_nearest(result.cloud.points, used))
            result = replace(result, features=features)
        if "pred_boxes" in sample:
            result = self._with_boxes(result, sample, used)
        of_scene = result.features is not None or result.boxes is not None
        if of_scene or (result.point_labels is not None and not self._has_parts):  # networks of metres
            from dense3d.apis.room_checks import room_notes

            result = replace(result, notes=(*result.notes, *room_notes(result.cloud, result.name)))
        if "reconstructed_points" in sample:
            back = _to_cloud(sample, result.cloud.points[used])
            names = ("visible_points", "hidden_points", "reconstructed_points")
            parts = (back(sample.get(name).float().numpy()) for name in names)
            result = replace(result, reconstruction=CloudReconstruction(*parts, float(sample.error)))
        return result

    def _with_boxes(self, result: CloudResult, sample: Any, used: np.ndarray) -> CloudResult:
        """The result with the boxes that score enough."""
        from dense3d.results.cloud_boxes import CloudBoxes

        moved = sample.given_points.numpy() - result.cloud.points[used]
        if not np.allclose(moved, 0, atol=1e-4):
            raise ConfigError(
                f"{self.cfg.filename}: the test pipeline moves or scales clouds, so boxes cannot be brought "
                "back to the scan; leave such steps out of it"
            )
        found = (sample.pred_boxes, sample.pred_box_labels, sample.pred_box_scores.float())
        boxes = CloudBoxes.best(*(part.numpy() for part in found), threshold=self.score_threshold)
        return replace(result, boxes=boxes)


@contextmanager
def _same_draws() -> Iterator[None]:
    """NumPy's global generator as it is at every start, so that a cloud has the same result every time."""
    before = np.random.get_state()
    np.random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(before)


def _nearest(points: np.ndarray, used: np.ndarray) -> np.ndarray:
    """For each point the place in ``used`` of the nearest one of these."""
    if np.array_equal(used, np.arange(len(points))):
        return used
    reference = torch.from_numpy(points[used])[None]
    parts = torch.from_numpy(points).split(QUERIES)
    return torch.cat([knn(part[None], reference, 1)[1][0, :, 0] for part in parts]).numpy()


def _to_cloud(sample: Any, original: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The map from the network's frame to the cloud's, of which the points that it was given are known.

    It is what normalisation noted, if that is all that was done, else the affine map by least squares.
    """
    given = sample.given_points.numpy().astype(np.float64)
    scale, offset = sample.get("scale", 1.0), sample.get("offset", np.zeros(3))
    if np.allclose(given * scale + offset, original, atol=1e-4 * max(scale, 1e-9)):
        return lambda points: (points * scale + offset).astype(np.float32)
    centre, goal = given.mean(axis=0), original.mean(axis=0, dtype=np.float64)
    matrix = np.linalg.lstsq(given - centre, original - goal, rcond=1e-6)[0]
    return lambda points: ((points - centre) @ matrix + goal).astype(np.float32)


def _warned(results: Iterator[CloudResult]) -> Iterator[CloudResult]:
    for result in results:
        if result.error is not None:
            warnings.warn(f"left out: {result.error}", stacklevel=2)
        yield result
