"""What a model found in a point cloud: classes or features of it or its points, boxes, a reconstruction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from dense3d.errors import DataError
from dense3d.files import atomic_write, require_writable_file

if TYPE_CHECKING:
    from dense3d.pointcloud.scene_features import PointFeatures
    from dense3d.results.cloud_boxes import CloudBoxes
    from dense3d.structures import PointCloud

PANEL = 480  # pixels
VISIBLE, PAINTED = (70, 110, 190), (214, 92, 50)


@dataclass(frozen=True, eq=False)
class CloudReconstruction:
    """Parts of a cloud ``(n, 3)`` in its own frame: what a masked autoencoder saw, and what it made.

    Attributes:
        visible: points of the patches that it saw.
        hidden: points of those that it did not see.
        predicted: what it put there.
        error: its loss on the cloud, in the units of its normalised input.
    """

    visible: np.ndarray
    hidden: np.ndarray
    predicted: np.ndarray
    error: float


@dataclass(frozen=True, eq=False)
class CloudResult:
    """Predictions for one cloud; fields that the model does not give are None.

    Attributes:
        name: of the cloud, for people: its path, or its place in a list.
        cloud: as it was given, in its own frame and units, less points that are not finite.
        classes: names by label; of parts, or of the points' classes, for these.
        label, score: the best class of the whole cloud and its probability.
        scores: ``(C,)``, probabilities of all classes, which sum to 1.
        point_labels: ``(N,)``, a class or part of each point of ``cloud``.
        point_scores: ``(N,)``, probability of that class or part.
        reconstruction: of a masked autoencoder.
        features: of each point of ``cloud``, computed when they are asked for.
        boxes: of a detector, in the cloud's frame.
        path: the cloud's file.
        error: why there is no prediction.
        notes: sentences on what was done to the cloud before.
        up: axis that points upwards, for pictures.
    """

    name: str
    cloud: PointCloud | None = None
    classes: tuple[str, ...] = ()
    label: int | None = None
    score: float | None = None
    scores: np.ndarray | None = None
    point_labels: np.ndarray | None = None
    point_scores: np.ndarray | None = None
    reconstruction: CloudReconstruction | None = None
    features: PointFeatures | None = None
    boxes: CloudBoxes | None = None
    path: Path | None = None
    error: str | None = None
    notes: tuple[str, ...] = ()
    up: str = "z"

    @property
    def class_name(self) -> str | None:
        """The class of the whole cloud, or None."""
        return None if self.label is None else self._name(self.label)

    @property
    def point_names(self) -> list[str]:
        """Names of the classes or parts that points have, the most frequent first."""
        self._require_prediction()
        if self.point_labels is None:
            return []
        labels, counts = np.unique(self.point_labels, return_counts=True)
        return [self._name(int(labels[i])) for i in np.argsort(-counts, kind="stable")]

    @property
    def box_names(self) -> list[str]:
        """The class of each box."""
        return [] if self.boxes is None else [self._name(label) for label in self.boxes.labels.tolist()]

    def __str__(self) -> str:
        """A few words on what was found."""
        if self.error is not None:
            return f"{self.name}: no prediction, {self.error}"
        if self.label is not None:
            return f"{self.class_name} ({self.score:.0%})"
        if self.point_labels is not None:
            return ", ".join(self.point_names)
        if self.boxes is not None:
            names, counts = np.unique(self.box_names, return_counts=True)
            return ", ".join(f"{count} {name}" for name, count in zip(names, counts)) or "no box"
        if self.reconstruction is not None:
            seen, hidden = len(self.reconstruction.visible), len(self.reconstruction.hidden)
            return f"a reconstruction of {hidden / max(seen + hidden, 1):.0%} of the patches"
        if self.features is not None:
            return f"{self.features.channels} features a point"
        return "nothing"

    def __repr__(self) -> str:
        points = "" if self.cloud is None else f", {len(self.cloud)} points"
        return f"<CloudResult {Path(self.name).name}{points}: {self}>"

    def _repr_png_(self) -> bytes | None:
        """The picture, for notebooks."""
        return None if self.error is not None else _encoded(self.plot(), ".png")

    def plot(self) -> np.ndarray:
        """The picture ``(H, W, 3)``, RGB uint8: the cloud, or the cloud beside what was found in it.

        Raises:
            DataError: there is no prediction.
        """
        from dense3d.visualization.panels import captioned

        self._require_prediction()
        return captioned(self._panels())

    def coloured(self) -> PointCloud:
        """The cloud with the colours and labels of its points' classes or parts, or with wires of boxes.

        Raises:
            DataError: there is no prediction, or none of points.
        """
        from dataclasses import replace

        self._require_prediction()
        if self.reconstruction is not None:
            return self._reconstructed()
        if self.features is not None:
            return replace(self.cloud, colors=self._feature_colours)
        if self.boxes is not None:
            return self._boxed()
        if self.point_labels is None:
            raise DataError(f"the result of {self.name} is {self}, which colours no points")
        return replace(self.cloud, colors=self._point_colours() / 255, labels=self.point_labels)

    def views(self) -> dict[str, PointCloud]:
        """What can be looked at, by title: the cloud, and after it what was found in its points.

        Raises:
            DataError: there is no prediction.
        """
        self._require_prediction()
        found = {"input": self.cloud}
        if any(p is not None for p in (self.point_labels, self.reconstruction, self.features, self.boxes)):
            found["prediction"] = self.coloured()
        return found

    def legend(self) -> dict[str, tuple[int, int, int]]:
        """What the colours of the last of :meth:`views` stand for; the three best classes of a whole cloud.

        Raises:
            DataError: there is no prediction.
        """
        self._require_prediction()
        if self.reconstruction is not None:
            return {"visible": VISIBLE, "reconstructed": PAINTED}
        if self.features is not None:
            return {}
        if self.boxes is not None:
            palette = self._palette()
            return {self._name(i): palette[i] for i in np.unique(self.boxes.labels).tolist()}
        if self.point_labels is not None:
            palette = self._palette()
            return {self._name(i): palette[i] for i in np.unique(self.point_labels).tolist() if i >= 0}
        return dict.fromkeys(self._best(), (90, 90, 90))

    def to_dict(self) -> dict[str, Any]:
        """Plain values: the name, the class and the scores of all classes, or the points of each part."""
        self._require_prediction()
        found: dict[str, Any] = {"cloud": self.name, "points": len(self.cloud)}
        if self.label is not None:
            scores = {self._name(i): float(score) for i, score in enumerate(self.scores)}
            found |= {"class": self.class_name, "score": float(self.score), "scores": scores}
        if self.point_labels is not None:
            labels, counts = np.unique(self.point_labels, return_counts=True)
            found["point_classes"] = {self._name(int(i)): int(n) for i, n in zip(labels, counts)}
        if self.reconstruction is not None:
            found["error"] = self.reconstruction.error
        if self.features is not None:
            found["features"] = self.features.channels
        if self.boxes is not None:
            found["boxes"] = self.boxes.rows(self.box_names, self.cloud.origin)
        return found

    def save(self, path: str | Path) -> Path:
        """Write a file, whole or not at all, in the format that its suffix names.

        Args:
            path: a picture (``.png``, ``.jpg``), ``.json`` for :meth:`to_dict`, ``.npy`` for features
                ``(N, C)``, or a cloud (``.ply``, ...) for :meth:`coloured`.

        Raises:
            DataError: the result has not this format, or the file is the cloud itself.
            ConfigError: nothing can be written there.
        """
        path = Path(path)
        if self.path is not None and path.resolve() == Path(self.path).resolve():
            raise DataError(f"{path} is the cloud itself, which would be lost: name another file")
        self._require_prediction()
        if path.suffix == ".npy":
            if self.features is None:
                raise DataError(f"the result of {self.name} is {self}: there are no features to be written")
            require_writable_file(path)
            return self.features.save(path)
        if path.suffix not in (".png", ".jpg", ".jpeg", ".json"):
            from dense3d.structures.cloud_files import write_cloud

            cloud = self.coloured()
            require_writable_file(path)
            write_cloud(cloud, path)
            return path
        if path.suffix == ".json":
            content = json.dumps(self.to_dict(), indent=1).encode()
        else:
            content = _encoded(self.plot(), path.suffix)
        require_writable_file(path)
        with atomic_write(path) as file:
            file.write(content)
        return path

    def _panels(self) -> dict[str, np.ndarray]:
        from dense3d.visualization.clouds import draw_cloud

        bounds = self.cloud.bounds
        view = dict(size=PANEL, up=self.up, bounds=bounds)
        colours = None if self.cloud.colors is None else 255 * self.cloud.colors
        given = draw_cloud(self.cloud.points, colours, **view)
        if self.reconstruction is not None:
            found = self.reconstruction
            joined = np.concatenate([found.visible, found.predicted])
            kinds = _kinds(found.visible, VISIBLE, found.predicted, PAINTED)
            error = f"reconstructed, error {found.error:.3g}"
            masked = draw_cloud(found.visible, _kinds(found.visible, VISIBLE), **view)
            return {"input": given, "masked": masked, error: draw_cloud(joined, kinds, **view)}
        if self.point_labels is not None:
            names = ", ".join(self.point_names[:6])
            return {"input": given, names: draw_cloud(self.cloud.points, self._point_colours(), **view)}
        if self.features is not None:
            drawn = draw_cloud(self.cloud.points, 255 * self._feature_colours, **view)
            return {"input": given, f"{self}, three components": drawn}
        if self.boxes is not None:
            return {"input": given, str(self): self._drawn_boxes(given.shape[0])}
        return {", ".join(self._best()): given}

    def _drawn_boxes(self, size: int) -> np.ndarray:
        """The cloud from higher above, and the wires of boxes over it."""
        from dense3d.visualization.clouds import draw_cloud

        wires, owner = self.boxes.wires()
        low, high = self.cloud.bounds
        view = dict(size=size, up=self.up, elevation=50.0, bounds=np.stack([low, high]))
        colours = None if self.cloud.colors is None else 255 * self.cloud.colors
        picture = draw_cloud(self.cloud.points, colours, **view)
        colours = np.array(self._palette(), np.uint8)[self.boxes.labels[owner]]
        over = draw_cloud(wires, colours, radius=1, **view)
        drawn = (over != 255).any(axis=2)
        picture[drawn] = over[drawn]
        return picture

    def _boxed(self) -> PointCloud:
        """The cloud, grey where it has no colours, and points along the edges of boxes."""
        from dense3d.structures import PointCloud

        wires, owner = self.boxes.wires()
        own = self.cloud.colors
        if own is None:
            own = np.full((len(self.cloud), 3), 0.6, np.float32)
        palette = np.array(self._palette()) / 255
        colours = np.concatenate([own, palette[self.boxes.labels[owner]]])
        return PointCloud(
            np.concatenate([self.cloud.points, wires]),
            colors=colours,
            name=self.name,
            origin=self.cloud.origin,
        )

    def _best(self) -> list[str]:
        """The three best classes of the cloud, with their scores."""
        best = np.argsort(-self.scores, kind="stable")[:3]
        return [f"{self._name(int(i))} {self.scores[i]:.0%}" for i in best]

    @cached_property
    def _feature_colours(self) -> np.ndarray:
        return self.features.colours()

    def _reconstructed(self) -> PointCloud:
        """Visible points and predicted ones, each in its colour."""
        from dense3d.structures import PointCloud

        found = self.reconstruction
        kinds = _kinds(found.visible, VISIBLE, found.predicted, PAINTED)
        return PointCloud(
            np.concatenate([found.visible, found.predicted]),
            colors=kinds / 255,
            name=self.name,
            origin=self.cloud.origin,
        )

    def _point_colours(self) -> np.ndarray:
        from dense3d.visualization.clouds import labelled_colours

        return labelled_colours(self.point_labels, np.array(self._palette()))

    def _palette(self) -> list[tuple[int, int, int]]:
        from dense3d.visualization.colours import distinct_colours

        labels = self.point_labels if self.boxes is None else self.boxes.labels
        return distinct_colours(max(len(self.classes), int(labels.max(initial=0)) + 1))

    def _name(self, label: int) -> str:
        return self.classes[label] if 0 <= label < len(self.classes) else str(label)

    def _require_prediction(self) -> None:
        if self.error is not None:
            raise DataError(self.error)


def _kinds(*points_and_colours: Any) -> np.ndarray:
    """Colours ``(n, 3)`` for clouds that are joined, each followed by its colour."""
    pairs: Sequence = list(zip(points_and_colours[::2], points_and_colours[1::2]))
    return np.concatenate([np.tile(np.array(colour, np.uint8), (len(points), 1)) for points, colour in pairs])


def _encoded(picture: np.ndarray, suffix: str) -> bytes:
    """RGB ``(H, W, 3)`` as a file's content."""
    ok, content = cv2.imencode(suffix, np.ascontiguousarray(picture[..., ::-1]))
    if not ok:
        raise DataError(f"a picture of {picture.shape} could not be encoded as {suffix}")
    return content.tobytes()
