"""PSNR and SSIM of photographs that were held out, beside baselines; as json and csv."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dense3d.files import atomic_write
from dense3d.json_files import write_json
from dense3d.ops import structural_similarity
from dense3d.radiance.baselines import mean_image, nearest_view, warped_by_depth
from dense3d.radiance.losses import psnr
from dense3d.radiance.views import PosedView

Renderer = Callable[[PosedView, Tensor], Tensor]  # camera, background (3,) -> (H, W, 3) in 0..1 on the CPU

SPLATS = "splats"
NAMES = {
    SPLATS: "Gaussian splats",
    "grid": "grid",
    "nerfacto": "nerfacto",
    "mean_image": "mean image",
    "nearest_view": "nearest view",
    "nearest_view_warped": "nearest view, warped by its depth",
}


@dataclass
class Scores:
    """PSNR in dB and SSIM of each held-out photograph, by method.

    Attributes:
        rows: photograph -> method -> (PSNR, SSIM).
    """

    rows: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)

    def means(self) -> dict[str, tuple[float, float]]:
        """Method -> means over photographs; a method that lacks one of them is left out."""
        rows = list(self.rows.values())
        methods = [m for m in (rows[0] if rows else ()) if all(m in row for row in rows)]
        return {m: tuple(np.mean([row[m] for row in self.rows.values()], axis=0).tolist()) for m in methods}

    def lines(self) -> list[str]:
        """A line for each method, for the terminal."""
        return [f"{NAMES[m]:34} PSNR {p:6.2f} dB  SSIM {s:.4f}" for m, (p, s) in self.means().items()]

    def write(self, folder: Path, **beside: object) -> None:
        """``metrics.json`` with means and ``beside``, and ``metrics.csv`` with a row a photograph."""
        means = {m: {"psnr": p, "ssim": s} for m, (p, s) in self.means().items()}
        write_json(folder / "metrics.json", {"held_out": len(self.rows), "mean": means, **beside})
        with atomic_write(folder / "metrics.csv", "w") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["photograph", "method", "psnr", "ssim"])
            for name, methods in self.rows.items():
                table.writerows([name, m, f"{p:.4f}", f"{s:.6f}"] for m, (p, s) in methods.items())


def score(image: Tensor, view: PosedView, background: Tensor) -> tuple[float, float]:
    """PSNR in dB and SSIM of an image, over the pixels of ``view`` that count."""
    target, usable = view.target(background), view.mask()
    if usable is None:
        similarity = structural_similarity(image, target)
    else:  # both are black where pixels do not count, as in the loss, since windows reach there
        hidden = (torch.where(usable[..., None], pixels, 0) for pixels in (image, target))
        similarity = structural_similarity(*hidden)[usable]
    return psnr(image, target, usable), float(similarity.mean())


def evaluate(
    render: Renderer,
    method: str,
    train: Sequence[PosedView],
    test: Sequence[PosedView],
    background: Tensor,
    extent: float,
) -> Scores:
    """Score a fitted scene and the baselines on photographs that were held out.

    Args:
        render: the fitted scene.
        method: what it is, of :data:`NAMES`.
        train: photographs that it was fitted to, which baselines are made of.
        test: those that were held out.
        background: (3,) behind the scene.
        extent: of the scene, to weigh distances against angles where the nearest view is looked for.
    """
    scores = Scores()
    train = [_over(view, background) for view in train]
    means: dict[tuple[int, ...], np.ndarray] = {}  # by size
    for view in test:
        nearest = nearest_view(train, view, extent)
        if view.image.shape not in means:
            means[view.image.shape] = mean_image(train, view)
        images = {"mean_image": means[view.image.shape]}
        if nearest.image.shape == view.image.shape:
            images["nearest_view"] = nearest.image
        if nearest.depth is not None:
            images["nearest_view_warped"] = warped_by_depth(nearest, view)
        scores.rows[view.name] = {method: score(render(view, background), view, background)}
        for name, image in images.items():
            scores.rows[view.name][name] = score(torch.from_numpy(image).float() / 255, view, background)
    return scores


def _over(view: PosedView, background: Tensor) -> PosedView:
    """A photograph of an object, over a background."""
    if view.alpha is None:
        return view
    image = (view.target(background) * 255).round().byte().numpy()
    return replace(view, image=image, alpha=None)
