"""What a model found in one image, whatever its task: fields by name, a picture, files, other formats."""

from __future__ import annotations

import base64
import importlib
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from dense3d.errors import DataError, did_you_mean
from dense3d.files import atomic_write, require_writable_file
from dense3d.results.labelme import VERSION
from dense3d.results.part import Entries, ModelInfo, Part

if TYPE_CHECKING:
    from dense3d.structures.coloured_cloud import ColouredCloud

# The parts that are looked for in a model's data sample, ``module.Class`` below dense3d.results. Of several
# that have a field, a picture or a format, the first one's counts. Another task is another line.
PARTS = (
    "reconstruction.Reconstruction",
    "disparity.Disparity",
    "flow.Flow",
    "objects3d.Objects3D",
    "panoptic.Panoptic",
    "instances.Instances",
    "semantic.Semantic",
    "classification.Classification",
)


class Result:
    """Predictions for one image.

    The fields depend on the model: ``boxes``, ``scores``, ``labels``, ``names`` and ``masks`` of detectors
    (:class:`~dense3d.results.instances.Instances`), ``panoptic`` and ``segments``
    (:class:`~dense3d.results.panoptic.Panoptic`), ``semantic`` (:class:`~dense3d.results.semantic.Semantic`),
    ``boxes3d`` and ``calibration`` (:class:`~dense3d.results.objects3d.Objects3D`), ``disparity``,
    ``occluded``, ``depth`` ... (:class:`~dense3d.results.disparity.Disparity`), ``flow``
    (:class:`~dense3d.results.flow.Flow`), ``label``, ``category``, ``score`` and ``probabilities`` of
    classifiers (:class:`~dense3d.results.classification.Classification`). ``"masks" in result`` asks for one,
    ``result.fields`` lists them. Arrays are NumPy's; coordinates are pixels of the image as it was given,
    metres and radians.

    A result may stand for an image that could not be read or that the model refused: then ``error`` is the
    sentence that says so, there are no fields, and whoever asks for one gets a DataError with that sentence.

    Args:
        name: of the image, for people: its path, or its place in a list.
        parts: one a task.
        size: height and width of the image in pixels.
        info: of the model.
        path: the image's file.
        image: ``(H, W, 3)`` RGB uint8, where there is no file.
        error: why there is no prediction.

    Raises:
        AttributeError: the result has no field of that name; those that it has are named.
    """

    def __init__(
        self,
        name: str,
        parts: tuple[Part, ...] = (),
        size: tuple[int, int] | None = None,
        info: ModelInfo | None = None,
        path: Path | None = None,
        image: np.ndarray | None = None,
        error: str | None = None,
    ) -> None:
        self.name, self.parts, self.size, self.path, self.error = name, tuple(parts), size, path, error
        self.classes = info.classes if info is not None else ()
        self._image = image

    @classmethod
    def of(
        cls,
        sample: Any,
        info: ModelInfo,
        name: str | None = None,
        path: Path | None = None,
        image: np.ndarray | None = None,
    ) -> Result:
        """The result that a model's data sample holds.

        Args:
            sample: prediction for one image, of mmdet's, mmseg's or our models.
            info: of the model.
            name, path, image: of the image; ``path`` and ``name`` are the sample's by default.
        """
        path = Path(sample.img_path) if path is None and image is None else path
        parts = (part.read(sample, info) for part in _known_parts())
        size = sample.get("ori_shape") or (image.shape if image is not None else None)
        found = tuple(part for part in parts if part is not None)
        return cls(name or str(path), found, tuple(size[:2]) if size else None, info, path, image)

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields that this result has."""
        names = (name for part in self.parts for name in part.fields if getattr(part, name) is not None)
        return tuple(dict.fromkeys(names))

    @property
    def image(self) -> np.ndarray:
        """The image ``(H, W, 3)``, RGB uint8, upright as its EXIF data ask for.

        Raises:
            DataError: the file is gone.
        """
        if self._image is not None:
            return self._image
        try:  # as mmcv's loader does it: imread reads some files otherwise, such as turned TIFFs not at all
            pixels = cv2.imdecode(np.fromfile(self.path, np.uint8), cv2.IMREAD_COLOR)
        except (OSError, cv2.error):
            pixels = None
        if pixels is None:
            raise DataError(f"{self.path} is not a readable image any more: restore it to draw on it")
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "parts" not in vars(self):
            raise AttributeError(name)
        for part in self.parts:
            if name in part.fields and getattr(part, name) is not None:
                return getattr(part, name)
        if name.startswith("_"):
            raise AttributeError(name)
        self._require_prediction()
        known = self.fields
        hint = did_you_mean(name, known) or f"; there are {', '.join(known) or 'none'}"
        raise AttributeError(f"the result of {self.name} has no {name!r}{hint}")

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.fields})

    def __repr__(self) -> str:
        if self.error is not None:
            return f"<Result {self.name}: no prediction, {self.error}>"
        size = f", {self.size[0]} x {self.size[1]}" if self.size else ""
        found = "; ".join(str(part) for part in self.parts) or "nothing"
        return f"<Result {Path(self.name).name}{size}: {found}; fields: {', '.join(self.fields)}>"

    def _repr_png_(self) -> bytes | None:
        """The picture, for notebooks."""
        return None if self.error is not None else _encoded(self.plot(), ".png")

    def plot(self) -> np.ndarray:
        """The picture ``(H', W', 3)``, RGB uint8: the predictions over, or beside, the image.

        Raises:
            DataError: there is no prediction, or nothing that can be drawn.
        """
        self._require_prediction()
        if not self.parts:
            raise DataError(f"the model found nothing in {self.name} that can be drawn")
        return self.parts[0].draw(self.image)

    def save(self, path: str | Path) -> Path:
        """Write a file, whole or not at all, in the format that its suffix names.

        Args:
            path: a picture (``.jpg``, ``.png``, ...), ``.json`` for :meth:`to_coco` or, of classes, all
                probabilities, ``.csv`` for these as a table, ``.txt`` for :meth:`to_kitti`, or ``.ply`` for
                :meth:`to_cloud`.

        Raises:
            DataError: another suffix, the result has not this format, or the file is the image itself.
            ConfigError: nothing can be written there.
        """
        path = Path(path)
        if self.path is not None and os.path.realpath(path) == os.path.realpath(self.path):
            raise DataError(f"{path} is the image itself, which would be lost: name another file")
        if path.suffix == ".ply":
            cloud = self.to_cloud()
            require_writable_file(path)
            return cloud.save(path)
        if path.suffix == ".json":
            content = json.dumps(self._document()).encode()
        elif path.suffix == ".csv":
            content = self._part("to_csv", "a table").to_csv().encode()
        elif path.suffix == ".txt":
            content = self.to_kitti().encode()
        elif path.suffix.isascii() and cv2.haveImageWriter(
            f"x{path.suffix}"
        ):  # names that are no text kill it
            content = _encoded(self.plot(), path.suffix)
        else:
            raise DataError(
                f"{path}: the suffix names the format: .jpg or .png for the picture, .json for COCO's, "
                ".csv for classes, .txt for KITTI's, .ply for a cloud"
            )
        require_writable_file(path)
        with atomic_write(path) as file:
            file.write(content)
        return path

    def to_coco(self, image_id: int = 1) -> list[dict[str, Any]]:
        """Entries in COCO's result format: boxes and masks, or of panoptic results the annotation.

        Args:
            image_id: the image's number in the data set.

        Raises:
            DataError: there is no prediction, or it has no such form.
        """
        return self._part("to_coco", "COCO's format").to_coco(image_id, self.name)

    def _document(self) -> Any:
        """What a JSON file holds."""
        self._require_prediction()
        part = next((part for part in self.parts if hasattr(part, "to_dict")), None)
        return self.to_coco() if part is None else {"file_name": self.name, **part.to_dict()}

    def to_kitti(self) -> str:
        """Lines of KITTI's result files.

        Raises:
            DataError: there is no prediction, or it has no such form.
        """
        return self._part("to_kitti", "KITTI's lines").to_kitti()

    def to_labelme(self) -> dict[str, Any]:
        """Content of a JSON file of LabelMe, to be corrected by hand: rectangles, or polygons of masks.

        LabelMe finds the image if the JSON file is written beside it; images without a file are put into it.

        Raises:
            DataError: there is no prediction, or it has no such form.
        """
        shapes = self._part("to_labelme", "LabelMe's format").to_labelme()
        image = None if self._image is None else base64.b64encode(_encoded(self._image, ".png")).decode()
        height, width = self.size
        return {
            "version": VERSION,
            "flags": {},
            "shapes": shapes,
            "imagePath": self.path.name if self.path else f"{self.name}.png",
            "imageData": image,
            "imageHeight": height,
            "imageWidth": width,
        }

    def to_cloud(self, **options: Any) -> ColouredCloud:
        """The coloured point cloud of a pair with a calibration.

        Args:
            **options: ``zfar``, ``remove_invisible``, ``remove_isolated``, see
                :meth:`dense3d.results.disparity.Disparity.to_cloud`.

        Raises:
            DataError: there is no prediction, or it has no such form.
        """
        return self._part("to_cloud", "points").to_cloud(self.image, **options)

    def write(self, folder: Path, stem: str, image_id: int) -> Entries:
        """All files of this result but its picture, as ``dense3d infer`` writes them; see :meth:`Part.write`.

        Args:
            folder: of the whole run.
            stem: name of the files, without suffix.
            image_id: number of the image in the run.
        """
        self._require_prediction()
        entries: Entries = {}
        for part in self.parts:
            for name, rows in part.write(folder, stem, image_id, self.name).items():
                entries.setdefault(name, []).extend(rows)
        return entries

    def _require_prediction(self) -> None:
        if self.error is not None:
            raise DataError(self.error)

    def _part(self, method: str, title: str) -> Any:
        """The first part that has a format."""
        self._require_prediction()
        part = next((part for part in self.parts if hasattr(part, method)), None)
        if part is None:
            what = "; ".join(str(part) for part in self.parts) or "nothing"
            raise DataError(f"the result of {self.name} is {what}, which has no form in {title}")
        return part


@lru_cache(maxsize=1)
def _known_parts() -> tuple[type[Part], ...]:
    places = (place.rpartition(".") for place in PARTS)
    return tuple(getattr(importlib.import_module(f"dense3d.results.{m}"), name) for m, _, name in places)


def _encoded(picture: np.ndarray, suffix: str) -> bytes:
    """RGB ``(H, W, 3)`` as a file's content."""
    ok, content = cv2.imencode(suffix, np.ascontiguousarray(picture[..., ::-1]))
    if not ok:
        raise DataError(f"a picture of {picture.shape} could not be encoded as {suffix}")
    return content.tobytes()
