"""Scores of the working grid brought to the full grid along the edges that only the full grid shows.

Joint bilateral upsampling (Kopf et al., SIGGRAPH 2007, equation 3): close to a border each full voxel has the
mean score of the working voxels around it, weighted by distance and by how close their intensity is to its
own. Elsewhere scores are interpolated.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dense3d.structures.volume_blocks import memory_map_of, release
from dense3d.transfer_function.graph.intensity import IntensityScale
from dense3d.transfer_function.upsampling import repeated, upsampled

RADIUS = 2  # working voxels that a full one sees along an axis
REACH = 2  # working voxels on either side of a border
SPREAD = 0.75  # of the Gaussian of distances, in working voxels
CONTRAST = 0.4  # of the Gaussian of differences of intensity, which is in 0 .. 1
LEVELS = 1024  # of its table
FAINTEST = 1e-4  # weight of the most different intensity: where nothing is alike, distance decides


def slowest_first(values: np.ndarray) -> tuple[int, int, int]:
    """The axes of an array in the order in which slabs of it are read fastest.

    Example:
        >>> slowest_first(np.zeros((2, 3, 4), order="F"))
        (2, 0, 1)
    """
    slowest = int(np.argmax(np.abs(values.strides)))
    return (slowest, *(axis for axis in range(3) if axis != slowest))


def upsampled_along_edges(
    scores: np.ndarray,
    labels: np.ndarray,
    values: np.ndarray,
    working: np.ndarray,
    factors: tuple[int, int, int],
    held: np.ndarray,
) -> Iterator[tuple[int, np.ndarray]]:
    """Scores of the full grid, slab by slab; a memory map is read once and its pages are let go.

    Args:
        scores: (C, X, Y, Z) uint8 on the working grid.
        labels: (X, Y, Z) of the working grid, whose borders are refined.
        values: (X', Y', Z') intensities of the full grid.
        working: (X, Y, Z) those of the working grid, means of blocks.
        factors: full voxels in a working one along each axis.
        held: (X, Y, Z) bool; voxels of the working grid whose score holds in the whole of their block.

    Yields:
        First index along x and the scores (C, n, Y', Z') uint8 from there.
    """
    if factors == (1, 1, 1) or not len(scores):
        yield from upsampled(scores, values.shape, factors)
        return
    from dense3d.ops.cpu_execution import parallel_for
    from dense3d.transfer_function.graph import voxel_kernels

    scores = np.ascontiguousarray(scores)
    scale = IntensityScale.of(working)
    intensity = scale(working)
    band = np.zeros(working.shape, bool)
    parallel_for(voxel_kernels.mark_borders, len(band), np.ascontiguousarray(labels), REACH, band)
    band &= ~held
    near = [_near(factor) for factor in factors]
    alike = np.exp(-0.5 * (np.linspace(0, 1, LEVELS) / CONTRAST) ** 2).astype(np.float32) + np.float32(
        FAINTEST
    )
    mapping = memory_map_of(values)
    for low, slab in upsampled(scores, values.shape, factors):
        for x, plane in enumerate(np.moveaxis(slab, 1, 0), low):
            row = x // factors[0]
            if held[row].any():
                exact = _repeated(held[row], values.shape, factors)
                for of_class, known in zip(plane, scores[:, row]):
                    np.copyto(of_class, _repeated(known, values.shape, factors), where=exact)
            if band[row].any():
                places = np.argwhere(_repeated(band[row], values.shape, factors))
                found = np.empty((len(places), len(scores)), np.uint8)
                own = scale(values[x][tuple(places.T)])
                arrays = scores, intensity, x, places, own, np.array(factors), *near, alike, found
                parallel_for(voxel_kernels.upsample_plane, len(places), *arrays)
                plane[(slice(None), *places.T)] = found.T
        release(mapping)
        yield low, slab


def _repeated(plane: np.ndarray, shape: tuple[int, int, int], factors: tuple[int, int, int]) -> np.ndarray:
    """(Y', Z') of a slice (Y, Z) of the working grid."""
    return repeated(plane[None], (1, *shape[1:]), (1, *factors[1:]))[0]


def _near(factor: int) -> np.ndarray:
    """(factor, W) weights of the working voxels around each full voxel of a block along one axis.

    Along an axis that is not reduced there is nothing to find between voxels: only the own one counts.
    """
    if factor == 1:
        return np.ones((1, 1), np.float32)
    place = (np.arange(factor) - (factor - 1) / 2) / factor
    distance = np.arange(-RADIUS, RADIUS + 1) - place[:, None]
    return np.exp(-0.5 * (distance / SPREAD) ** 2).astype(np.float32)
