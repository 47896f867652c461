"""What a camera sees of Gaussians."""

from __future__ import annotations

import torch
from torch import Tensor

from dense3d.radiance.splats.gaussians import Gaussians
from dense3d.radiance.views import PosedView


@torch.no_grad()
def render_view(
    gaussians: Gaussians, view: PosedView, background: Tensor, sh_degree: int | None = None
) -> Tensor:
    """(H, W, 3) float32 in 0..1, on the CPU, of what the camera of ``view`` sees."""
    image, _, _ = gaussians.render(
        view.viewmat()[None],
        view.intrinsics()[None],
        view.camera.width,
        view.camera.height,
        sh_degree,
        background,
    )
    return image[0].clamp(0, 1).cpu()
