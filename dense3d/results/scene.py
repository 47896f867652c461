"""What pre-training on scenes made of one: a painted photograph or renderings, and a reconstructed cloud."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dense3d.errors import DataError
from dense3d.files import atomic_write, require_writable_file
from dense3d.json_files import json_text
from dense3d.results.cloud import PAINTED, VISIBLE, CloudReconstruction

PANEL = 320  # pixels
HIDDEN = 128
SOLID = 0.05  # alpha below which a rendered pixel has no depth


@dataclass(frozen=True, eq=False)
class SceneResult:
    """One scene; fields that the model does not give are None.

    Attributes:
        name: of the scene.
        photographs: ``(V, h, w, 3)`` uint8, the ones that it was compared with; one of stage one.
        masked: ``(h, w, 3)`` uint8, what stage one saw of the first; None of stage two.
        painted: ``(V, h, w, 3)`` uint8, the painted photograph of stage one or renderings of stage two.
        cloud: visible, hidden and predicted points; its error is the model's loss.
        psnr: decibels of the renderings, where depth is known; None of stage one, and where it is nowhere.
        depths: ``(V, h, w)`` float32 metres of the renderings, NaN where nothing is rendered.
        sensor_depths: ``(V, h, w)`` float32 metres that the sensor, or the cloud, has; NaN where unknown.
        error: why there is no prediction.
    """

    name: str
    photographs: np.ndarray | None = None
    masked: np.ndarray | None = None
    painted: np.ndarray | None = None
    cloud: CloudReconstruction | None = None
    psnr: float | None = None
    depths: np.ndarray | None = None
    sensor_depths: np.ndarray | None = None
    error: str | None = None

    @classmethod
    def read(cls, sample: Any, preprocessor: Any) -> SceneResult:
        """The result of a sample of stage one or two, on the CPU.

        Args:
            sample: what ``mode="predict"`` gave.
            preprocessor: the model's, which knows how photographs were normalised.
        """
        names = ("visible_points", "hidden_points", "reconstructed_points")
        clouds = (sample.get(name).detach().float().numpy() for name in names)
        cloud = CloudReconstruction(*clouds, _number(sample, "error"))
        name = str(sample.get("sample_id") or "scene")
        if "rendered" in sample:
            photographs, painted = (_bytes(sample.get(key)) for key in ("photographs", "rendered"))
            alphas, depths = (
                sample.get(key).detach().float().numpy() for key in ("alphas", "rendered_depths")
            )
            known = sample.get("sensor_depths")
            sensor = None if known is None else known.detach().float().numpy()
            return cls(
                name,
                photographs,
                painted=painted,
                cloud=cloud,
                psnr=_number(sample, "psnr", None),
                depths=np.where(alphas > SOLID, depths, np.nan),
                sensor_depths=None if sensor is None else np.where(sensor > 0, sensor, np.nan),
            )
        place = preprocessor.mean.device  # it stays there, and the model goes on with it
        photograph, masked, painted = (
            _bytes(preprocessor.pictures(sample.get(key).to(place))[None])
            for key in ("image", "masked", "reconstruction")
        )
        masked[0][(sample.masked == 0).all(dim=0).numpy()] = HIDDEN
        return cls(name, photograph, masked[0], painted, cloud)

    def __str__(self) -> str:
        """A few words on how well it was done."""
        if self.error is not None:
            return f"{self.name}: no prediction, {self.error}"
        if self.depths is None:
            return f"{self.name}: painted, error {self.cloud.error:.3g}"
        words = "nowhere known depth to compare at" if self.psnr is None else f"{self.psnr:.2f} dB"
        return f"{self.name}: {len(self.painted)} renderings, {words}"

    @property
    def depth_error(self) -> float | None:
        """Mean difference of rendered and known depths in metres, where there are both; None if nowhere."""
        if self.depths is None or self.sensor_depths is None:
            return None
        difference = np.abs(self.depths - self.sensor_depths)
        return float(np.nanmean(difference)) if np.isfinite(difference).any() else None

    def plot(self) -> np.ndarray:
        """RGB uint8: each photograph beside what was made of it, and under them the cloud seen and made.

        Of stage two a row has the photograph, the rendering, the known and the rendered depth in colours of
        one scale, grey where there is none.

        Raises:
            DataError: there is no prediction.
        """
        from dense3d.visualization.clouds import draw_cloud
        from dense3d.visualization.panels import side_by_side

        self._require_prediction()
        rows = [side_by_side(panels, PANEL) for panels in self._panels()]
        found = self.cloud
        truth = np.concatenate([found.visible, found.hidden])
        view = dict(size=PANEL, bounds=(truth.min(axis=0), truth.max(axis=0)))
        made = np.concatenate([found.visible, found.predicted])
        colours = self._kinds()
        truth_colours = np.repeat([VISIBLE, (150, 150, 150)], [len(found.visible), len(found.hidden)], axis=0)
        clouds = [
            draw_cloud(truth, truth_colours, **view),
            draw_cloud(found.visible, colours[: len(found.visible)], **view),
            draw_cloud(made, colours, **view),
        ]
        rows.append(np.concatenate(clouds, axis=1))
        width = max(row.shape[1] for row in rows)
        padded = [
            np.pad(row, ((0, 4), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows
        ]
        return np.concatenate(padded)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: the name, how many photographs, and how well it was done.

        Raises:
            DataError: there is no prediction.
        """
        self._require_prediction()
        found = {"scene": self.name, "photographs": len(self.photographs), "error": self.cloud.error}
        if self.depths is not None:
            found |= {"psnr": self.psnr, "depth_error": self.depth_error}
        return found

    def save(self, path: str | Path) -> Path:
        """Write a file, whole or not at all, in the format that its suffix names.

        Args:
            path: a picture (``.png``, ``.jpg``), ``.json`` for :meth:`to_dict`, ``.npz`` for renderings and
                their depths, or a cloud (``.ply``, ...), visible points in blue and predicted ones in orange.

        Raises:
            DataError: there is no prediction, or the result has not this format.
            ConfigError: nothing can be written there.
        """
        path = Path(path)
        self._require_prediction()
        require_writable_file(path)
        if path.suffix == ".npz":
            if self.depths is None:
                raise DataError(f"the result of {self.name} is {self}: there are no renderings to be written")
            with atomic_write(path) as file:
                np.savez_compressed(file, renderings=self.painted, depths=self.depths)
            return path
        if path.suffix == ".json":
            content = json_text(self.to_dict()).encode()
        elif path.suffix in (".png", ".jpg", ".jpeg"):
            content = cv2.imencode(path.suffix, self.plot()[..., ::-1])[1].tobytes()
        else:
            from dense3d.structures import PointCloud, write_cloud

            points = np.concatenate([self.cloud.visible, self.cloud.predicted]).astype(np.float32)
            write_cloud(PointCloud(points, colors=(self._kinds() / 255).astype(np.float32)), path)
            return path
        with atomic_write(path) as file:
            file.write(content)
        return path

    def _panels(self) -> list[list[np.ndarray]]:
        from dense3d.visualization.maps import draw_scalar_map

        rows = [[photograph, made] for photograph, made in zip(self.photographs, self.painted)]
        if self.masked is not None:
            rows[0].insert(1, self.masked)
        for index, row in enumerate(rows if self.depths is not None else []):
            maps = [self.depths[index]]
            if self.sensor_depths is not None:
                maps.insert(0, self.sensor_depths[index])
            known = maps[0][np.isfinite(maps[0])]
            ends = np.percentile(known, (1, 99)) if len(known) else (None, None)
            row += [draw_scalar_map(depth, *ends) for depth in maps]
        return rows

    def _kinds(self) -> np.ndarray:
        """Colours of visible, then of predicted points."""
        return np.repeat([VISIBLE, PAINTED], [len(self.cloud.visible), len(self.cloud.predicted)], axis=0)

    def _require_prediction(self) -> None:
        if self.error is not None:
            raise DataError(str(self))


def _number(sample: Any, name: str, otherwise: float | None = float("nan")) -> float | None:
    value = sample.get(name)
    return otherwise if value is None else float(value.detach())


def _bytes(pictures: Any) -> np.ndarray:
    """``(V, 3, h, w)`` in 0..1 as ``(V, h, w, 3)`` uint8."""
    return (pictures.detach().float().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
