"""What NeRF-MAE minimises and measures: colour where something is, opacity where it was hidden."""

from __future__ import annotations

from torch import Tensor

from dense3d.layers.assignment import mean_number
from dense3d.structures.radiance_grid import OCCUPIED

RGB_ON = ("occupied", "removed")


def reconstruction_losses(
    predicted: Tensor, target: Tensor, valid: Tensor, removed: Tensor, rgb_on: str = "occupied"
) -> dict[str, Tensor]:
    """The two losses, not yet weighted.

    Args:
        predicted: ``(B, 4, X, Y, Z)`` colours as they are, and the logit of opacity.
        target: ``(B, 4, X, Y, Z)``.
        valid: ``(B, X, Y, Z)`` bool, true within the grids.
        removed: ``(B or 1, X, Y, Z)`` bool, true where a block is hidden.
        rgb_on: voxels of the colour loss: ``"occupied"`` as released, whether they are hidden or not; or
            ``"removed"``, the occupied ones among the hidden, the paper's equation.

    Returns:
        ``loss_rgb``, squared errors summed over the three colours and averaged over occupied voxels, three
        times a mean; ``loss_alpha``, mean squared error over hidden voxels of the grids. 0 where there are
        no such voxels. Voxels are counted over all processes.
    """
    predicted, target = predicted.float(), target.float()
    hidden = valid & removed
    seen = target[:, 3] > OCCUPIED
    seen = seen & hidden if rgb_on == "removed" else seen
    rgb = ((predicted[:, :3] - target[:, :3]).square().sum(1) * seen).sum()
    alpha = ((predicted[:, 3].sigmoid() - target[:, 3]).square() * hidden).sum()
    counts = mean_number([float(seen.sum()), float(hidden.sum())], rgb.device)
    return {"loss_rgb": rgb / counts[0], "loss_alpha": alpha / counts[1]}


def alpha_error(predicted: Tensor, target: Tensor, removed: Tensor) -> Tensor:
    """Mean squared error of opacity ``(4, X, Y, Z)`` on hidden voxels ``(X, Y, Z)``; NaN where none is."""
    return (predicted[3].float() - target[3].float()).square()[removed].mean()
