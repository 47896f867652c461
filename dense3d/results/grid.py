"""What a model found in a radiance grid: a reconstruction, a finer grid, classes of voxels, boxes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from dense3d.errors import DataError
from dense3d.files import atomic_write, require_writable_file
from dense3d.json_files import json_text

if TYPE_CHECKING:
    from dense3d.structures import RadianceGrid

PANEL = 240  # pixels


@dataclass(frozen=True, eq=False)
class GridResult:
    """Predictions for one grid; fields that the model does not give are None.

    Attributes:
        name: of the grid, for people: its path, or its place in a list.
        grid: as it was given, with opacity.
        predicted: ``(4, W, L, H)`` float32 colour and opacity: a reconstruction, or a finer grid.
        removed: ``(W, L, H)`` bool, voxels that were hidden from the network.
        mse, psnr: of predicted colours on occupied voxels.
        voxel_labels: ``(W, L, H)``, a class of each voxel.
        boxes: ``(N, 7)`` or ``(N, 6)`` in voxels, best first.
        scores: ``(N,)``, of the boxes.
        classes: names of the classes of voxels, void first.
        path: the grid's file.
        error: why there is no prediction.
    """

    name: str
    grid: RadianceGrid | None = None
    predicted: np.ndarray | None = None
    removed: np.ndarray | None = None
    mse: float | None = None
    psnr: float | None = None
    voxel_labels: np.ndarray | None = None
    boxes: np.ndarray | None = None
    scores: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    path: Path | None = None
    error: str | None = None

    def __str__(self) -> str:
        """A few words on what was found."""
        if self.error is not None:
            return f"{self.name}: no prediction, {self.error}"
        if self.boxes is not None:
            return f"{len(self.boxes)} boxes"
        if self.voxel_labels is not None:
            return ", ".join(list(self.label_counts())[:6]) or "no class"
        if self.removed is not None:
            return f"a reconstruction of {self.removed.mean():.0%} of the grid, {self.psnr:.1f} dB"
        if self.predicted is not None:
            return f"a grid of {'x'.join(map(str, self.predicted.shape[1:]))} voxels"
        return "nothing"

    def __repr__(self) -> str:
        shape = "" if self.grid is None else f", {'x'.join(map(str, self.grid.resolution))} voxels"
        return f"<GridResult {Path(self.name).name}{shape}: {self}>"

    def label_counts(self) -> dict[str, int]:
        """Occupied voxels of each class that was found, the most frequent first."""
        labels, counts = np.unique(self.voxel_labels[self.grid.occupied], return_counts=True)
        return {
            self._name(int(labels[i])): int(counts[i])
            for i in np.argsort(-counts, kind="stable")
            if labels[i] > 0
        }

    def world_boxes(self) -> np.ndarray:
        """:attr:`boxes` in the world of the grid.

        Raises:
            DataError: there are none.
        """
        self._require_prediction()
        if self.boxes is None:
            raise DataError(f"the result of {self.name} is {self}: there are no boxes")
        return self.grid.boxes_to_world(self.boxes)

    def plot(self) -> np.ndarray:
        """The picture ``(H, W, 3)``, RGB uint8: projections of the input beside those of what was found.

        Raises:
            DataError: there is no prediction.
        """
        from dense3d.visualization.panels import captioned

        self._require_prediction()
        return captioned(self._panels())

    def to_dict(self) -> dict[str, Any]:
        """Plain values: figures, voxels of each class, boxes in voxels and in the world."""
        self._require_prediction()
        found: dict[str, Any] = {"grid": self.name, "voxels": list(self.grid.resolution)}
        for name in ("mse", "psnr"):
            if getattr(self, name) is not None:
                found[name] = float(getattr(self, name))
        if self.voxel_labels is not None:
            found["voxel_classes"] = self.label_counts()
        if self.boxes is not None:
            found["boxes"] = self.boxes.tolist()
            found["world_boxes"] = self.world_boxes().tolist()
            found["scores"] = [] if self.scores is None else self.scores.tolist()
        return found

    def save(self, path: str | Path) -> Path:
        """Write a file, whole or not at all, in the format that its suffix names.

        Args:
            path: a picture (``.png``, ``.jpg``), ``.json`` for :meth:`to_dict`, ``.npz`` for the predicted
                grid, ``.npy`` for classes of voxels or, of a detector, boxes in voxels.

        Raises:
            DataError: the result has not this format, or the file is the grid itself.
            ConfigError: nothing can be written there.
        """
        path = Path(path)
        if self.path is not None and path.resolve() == Path(self.path).resolve():
            raise DataError(f"{path} is the grid itself, which would be lost: name another file")
        self._require_prediction()
        require_writable_file(path)
        if path.suffix == ".npz":
            self._predicted_grid().save(path)
            return path
        if path.suffix == ".npy":
            array = self.boxes if self.boxes is not None else self.voxel_labels
            if array is None:
                raise DataError(f"the result of {self.name} is {self}: there is no array to be written")
            with atomic_write(path) as file:
                np.save(file, array)
            return path
        if path.suffix == ".json":
            content = json_text(self.to_dict()).encode()
        elif path.suffix in (".png", ".jpg", ".jpeg"):
            content = cv2.imencode(path.suffix, self.plot()[..., ::-1])[1].tobytes()
        else:
            raise DataError(f"{path}: a result of a grid is written as .png, .jpg, .json, .npz or .npy")
        with atomic_write(path) as file:
            file.write(content)
        return path

    def _panels(self) -> dict[str, np.ndarray]:
        from dense3d.visualization.colours import class_colours
        from dense3d.visualization.grids import draw_grid, label_grid

        values = self.grid.to_tensor().numpy()
        given = draw_grid(values, PANEL)
        if self.boxes is not None:
            return {"input": given, str(self): draw_grid(values, PANEL, self.boxes)}
        if self.voxel_labels is not None:
            count = max(len(self.classes), int(self.voxel_labels.max()) + 1)
            colours = np.array(class_colours(None, count))
            shown = np.where(self.grid.occupied, self.voxel_labels, 0)
            return {"input": given, str(self): draw_grid(label_grid(shown, colours), PANEL)}
        shown = self._shown_prediction()
        if self.removed is None:
            return {"input": given, str(self): draw_grid(shown, PANEL)}
        # the opacity of voxels that were seen is not learnt: these are shown as they are
        masked, made = values * ~self.removed, np.where(self.removed, shown, values)
        return {
            "input": given,
            "masked": draw_grid(masked, PANEL),
            f"made, {self.psnr:.1f} dB": draw_grid(made, PANEL),
        }

    def _shown_prediction(self) -> np.ndarray:
        """The predicted grid; opacity that super-resolution does not learn is the input's, repeated."""
        if self.predicted is None:
            raise DataError(f"the result of {self.name} is {self}: there is no grid to be shown")
        if self.removed is not None:
            return self.predicted
        sides = self.predicted.shape[1:]
        place = np.ix_(*((np.arange(n) * m) // n for n, m in zip(sides, self.grid.resolution)))
        alpha = self.grid.density[place]
        return np.concatenate([self.predicted[:3], alpha[None]])

    def _predicted_grid(self) -> RadianceGrid:
        from dense3d.structures import RadianceGrid

        values = np.clip(np.moveaxis(self._shown_prediction(), 0, 3), 0, 1).astype(np.float32)
        box = (self.grid.bbox_min, self.grid.bbox_max)
        return RadianceGrid(values, *box, "alpha", self.grid.delta, source=self.name)

    def _name(self, label: int) -> str:
        return self.classes[label] if label < len(self.classes) else f"class {label}"

    def _require_prediction(self) -> None:
        if self.error is not None:
            raise DataError(str(self))
