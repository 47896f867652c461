"""How many cells the feature volume of a volume has, and how large its slices become for the network.

Engel, Sick and Ropinski, "Leveraging Self-Supervised Vision Transformers for Segmentation-based Transfer
Function Design", TVCG 2024: the median axis gets S cells and the others as many as keep the aspect ratio.
"""

from __future__ import annotations

from collections.abc import Sequence

from dense3d.errors import ConfigError

Triple = tuple[int, int, int]


def feature_cells(
    shape: Sequence[int], size: int, official: bool = False, spacing: Sequence[float] | None = None
) -> Triple:
    """Cells of the feature volume along the three axes.

    Args:
        shape: (W, H, D), voxels along the array axes.
        size: S, cells along the axis of median length.
        official: the official code's floor division of floating-point numbers, which for some sizes gives
            the median axis one cell less, and a short axis of a flat volume none; feature volumes that it
            cached have these sizes.
        spacing: millimetres between voxels: cells are then cubes of millimetres instead of voxels, with S
            along the axis of median extent (ours).

    Raises:
        ConfigError: S is less than 1.

    Example:
        >>> feature_cells((512, 512, 320), 96)
        (96, 96, 60)
        >>> feature_cells((97, 97, 97), 96), feature_cells((97, 97, 97), 96, official=True)
        ((96, 96, 96), (95, 95, 95))
        >>> feature_cells((256, 256, 40), 32, spacing=(1, 1, 4))
        (32, 32, 20)
    """
    shape = tuple(int(d) for d in shape)
    if size < 1:
        raise ConfigError(f"a feature volume of {size} cells has nothing in it: choose 32, 64 or 96")
    if official:
        ratio = sorted(shape)[1] / size
        return tuple(int(d // ratio) for d in shape)
    if spacing is not None:
        extents = [d * s for d, s in zip(shape, spacing)]
        ratio = sorted(extents)[1] / size
        return tuple(max(1, round(extent / ratio)) for extent in extents)
    median = sorted(shape)[1]
    return tuple(max(1, d * size // median) for d in shape)


def image_sizes(cells: Sequence[int], patch_size: int) -> Triple:
    """Pixels along the three axes of the images that give one patch a cell.

    Example:
        >>> image_sizes((96, 96, 60), 8)
        (768, 768, 480)
    """
    return tuple(int(patch_size * n) for n in cells)


def slice_axes(axis: int) -> tuple[int, int]:
    """The array axes that are rows and columns of slices across ``axis``.

    Example:
        >>> slice_axes(2), slice_axes(1), slice_axes(0)
        ((0, 1), (0, 2), (1, 2))
    """
    return tuple(a for a in range(3) if a != axis)
