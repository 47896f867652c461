"""What pre-training on scenes made of one: a painted photograph or renderings, and a reconstructed cloud."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dense3d.results.cloud import PAINTED, VISIBLE, CloudReconstruction

PANEL = 320  # pixels
HIDDEN = 128


@dataclass(frozen=True, eq=False)
class SceneResult:
    """One scene.

    Attributes:
        name: of the scene.
        photographs: ``(V, h, w, 3)`` uint8, the ones that it was compared with; one of stage one.
        masked: ``(h, w, 3)`` uint8, what stage one saw of the first; None of stage two.
        painted: ``(V, h, w, 3)`` uint8, the painted photograph of stage one or renderings of stage two.
        cloud: visible, hidden and predicted points; its error is the model's loss.
        psnr: decibels of the renderings; None of stage one.
    """

    name: str
    photographs: np.ndarray
    masked: np.ndarray | None
    painted: np.ndarray
    cloud: CloudReconstruction
    psnr: float | None = None

    @classmethod
    def read(cls, sample: Any, preprocessor: Any) -> SceneResult:
        """The result of a sample of stage one or two, on the CPU.

        Args:
            sample: what ``mode="predict"`` gave.
            preprocessor: the model's, which knows how photographs were normalised.
        """
        names = ("visible_points", "hidden_points", "reconstructed_points")
        clouds = (sample.get(name).detach().float().numpy() for name in names)
        cloud = CloudReconstruction(*clouds, float(sample.error.detach()))
        name = str(sample.get("sample_id") or "scene")
        if "rendered" in sample:
            photographs, painted = (_bytes(sample.get(key)) for key in ("photographs", "rendered"))
            return cls(name, photographs, None, painted, cloud, float(sample.psnr))
        place = preprocessor.mean.device  # it stays there, and the model goes on with it
        photograph, masked, painted = (
            _bytes(preprocessor.pictures(sample.get(key).to(place))[None])
            for key in ("image", "masked", "reconstruction")
        )
        masked[0][(sample.masked == 0).all(dim=0).numpy()] = HIDDEN
        return cls(name, photograph, masked[0], painted, cloud)

    def __str__(self) -> str:
        """A few words on how well it was done."""
        if self.psnr is not None:
            return f"{self.name}: {len(self.painted)} renderings, {self.psnr:.2f} dB"
        return f"{self.name}: painted, error {self.cloud.error:.3g}"

    def plot(self) -> np.ndarray:
        """RGB uint8: each photograph beside what was made of it, and under them the cloud seen and made."""
        from dense3d.visualization.clouds import draw_cloud
        from dense3d.visualization.panels import side_by_side

        rows = []
        for photograph, painted in zip(self.photographs, self.painted):
            seen = [photograph, painted] if self.masked is None else [photograph, self.masked, painted]
            rows.append(side_by_side(seen, PANEL))
        found = self.cloud
        truth = np.concatenate([found.visible, found.hidden])
        view = dict(size=PANEL, bounds=(truth.min(axis=0), truth.max(axis=0)))
        made = np.concatenate([found.visible, found.predicted])
        colours = np.repeat([VISIBLE, PAINTED], [len(found.visible), len(found.predicted)], axis=0)
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


def _bytes(pictures: Any) -> np.ndarray:
    """``(V, 3, h, w)`` in 0..1 as ``(V, h, w, 3)`` uint8."""
    return (pictures.detach().float().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
