"""In place of the package ``fpsample``, which nerfstudio imports and which has no wheel for Python 3.13.

:func:`dense3d.optional.require` puts this module there where the package is missing. It has the one function
that nerfstudio calls (to choose training cameras with ``train_cameras_sampling_strategy="fps"``).
"""

from __future__ import annotations

import numpy as np


def bucket_fps_kdline_sampling(
    pc: np.ndarray, n_samples: int, h: int, start_idx: int | None = None
) -> np.ndarray:
    """Farthest point sampling: each next point is the one farthest from all that are chosen.

    The package finds the points through a tree; this function looks at all of them. It starts at
    ``start_idx``, as the package's ``fps_sampling`` does; the package's function of this name does not.

    Args:
        pc: (N, D) points.
        n_samples: how many to choose, at most N.
        h: height of the package's tree; without effect.
        start_idx: the first choice; random (numpy's global generator) unless given.

    Returns:
        (n_samples,) uint64 distinct indices, in the order of choice.

    Raises:
        ValueError: ``n_samples`` is not in 1..N or ``start_idx`` not in 0..N-1.

    Example:
        >>> bucket_fps_kdline_sampling(np.array([[0.0], [1.0], [4.0], [9.0]]), 3, h=1, start_idx=0).tolist()
        [0, 3, 2]
    """
    if not 1 <= n_samples <= len(pc):
        raise ValueError(f"n_samples={n_samples} must be between 1 and the number of points, {len(pc)}")
    if start_idx is not None and not 0 <= start_idx < len(pc):
        raise ValueError(f"start_idx={start_idx} must be between 0 and {len(pc) - 1}")
    points = np.ascontiguousarray(pc, dtype=np.float32)
    chosen = np.empty(n_samples, dtype=np.uint64)
    chosen[0] = np.random.randint(len(points)) if start_idx is None else start_idx
    distance = np.full(len(points), np.inf, dtype=np.float32)
    for number in range(1, n_samples):
        latest = int(chosen[number - 1])
        np.minimum(distance, ((points - points[latest]) ** 2).sum(axis=1), out=distance)
        distance[latest] = -1  # not again, even among equal points
        chosen[number] = distance.argmax()
    return chosen


def __getattr__(name: str):
    raise AttributeError(
        f"fpsample.{name} is not there: the package has no wheel for this Python; dense3d stands in for it "
        "with the function that nerfstudio calls; install fpsample with a Rust compiler, or use Python 3.12"
    )
