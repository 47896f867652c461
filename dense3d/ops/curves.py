"""Space-filling curves: one number a voxel, such that near numbers are near places.

Morton, "A computer oriented geodetic data base", 1966 (z-order); Hilbert's curve by the algorithm of
Skilling, "Programming the Hilbert curve", AIP Conference Proceedings 707, 2004. Point Transformer v3 and
masked scene modelling serialise clouds along both and their transposed forms, whose axes are exchanged
("yxz").
"""

from __future__ import annotations

import torch
from torch import Tensor

from dense3d.errors import DataError
from dense3d.ops import point_cpu
from dense3d.ops.dispatch import register_backend, select_backend
from dense3d.ops.voxels import check_voxels

CURVES = ("z-order", "hilbert")
MOST_BITS = 21
_AXES = {letter: axis for axis, letter in enumerate("xyz")}
# for each step of spreading bits to every third place: by how much to shift, and which bits stay
_SPREAD = (
    (32, 0x1F00000000FFFF),
    (16, 0x1F0000FF0000FF),
    (8, 0x100F00F00F00F00F),
    (4, 0x10C30C30C30C30C3),
    (2, 0x1249249249249249),
)


def morton_code(coordinates: Tensor, bits: int = 16, axes: str = "xyz") -> Tensor:
    """Place of each voxel along the z-order curve: the bits of its coordinates, interleaved.

    Args:
        coordinates: ``(N, 3)`` integers in 0 .. 2^bits - 1.
        bits: of each coordinate, at most 21.
        axes: the axis whose bit is the most significant of each three comes first; "yxz" is the transposed
            curve.

    Returns:
        ``(N,)`` int64 below 2^(3 bits).

    Raises:
        DataError: other shapes or types, or a coordinate out of range.

    Example:
        >>> corners = torch.tensor([[0, 0, 1], [0, 1, 0], [1, 0, 0], [3, 3, 3]])
        >>> morton_code(corners).tolist(), morton_code(corners, axes="yxz").tolist()
        ([1, 2, 4, 63], [1, 4, 2, 63])
    """
    coordinates = _checked(coordinates, bits, axes)
    return select_backend("morton_code", coordinates.device.type).implementation(coordinates, bits)


def morton_code_reference(coordinates: Tensor, bits: int = 16, axes: str = "xyz") -> Tensor:
    """The definition of :func:`morton_code`, bit by bit.

    Example:
        >>> morton_code_reference(torch.tensor([[2, 0, 1]])).tolist()
        [33]
    """
    return _interleaved(_checked(coordinates, bits, axes), bits)


def hilbert_code(coordinates: Tensor, bits: int = 16, axes: str = "xyz") -> Tensor:
    """Place of each voxel along Hilbert's curve, on which neighbours in number are neighbours in space.

    Args:
        coordinates: ``(N, 3)`` integers in 0 .. 2^bits - 1.
        bits: of each coordinate, at most 21; another number gives another curve.
        axes: the order in which axes enter; "yxz" is the transposed curve.

    Returns:
        ``(N,)`` int64 below 2^(3 bits).

    Raises:
        DataError: other shapes or types, or a coordinate out of range.

    Example:
        >>> corners = torch.cartesian_prod(*[torch.arange(2)] * 3)
        >>> corners[hilbert_code(corners, bits=1).argsort()].tolist()
        [[0, 0, 0], [0, 0, 1], [0, 1, 1], [0, 1, 0], [1, 1, 0], [1, 1, 1], [1, 0, 1], [1, 0, 0]]
    """
    coordinates = _checked(coordinates, bits, axes)
    return select_backend("hilbert_code", coordinates.device.type).implementation(coordinates, bits)


def hilbert_code_reference(coordinates: Tensor, bits: int = 16, axes: str = "xyz") -> Tensor:
    """The definition of :func:`hilbert_code`, by Skilling's exchanges and inversions of low bits.

    Example:
        >>> hilbert_code_reference(torch.tensor([[0, 0, 0], [1, 0, 0]]), bits=1).tolist()
        [0, 7]
    """
    place = list(_checked(coordinates, bits, axes).unbind(1))
    for bit in range(bits - 1, -1, -1):
        below = (1 << bit) - 1
        for axis in range(3):
            is_set = (place[axis] >> bit & 1).bool()
            differing = torch.where(is_set, 0, (place[0] ^ place[axis]) & below)
            place[axis] = place[axis] ^ differing
            place[0] = place[0] ^ torch.where(is_set, below, differing)
    code = _interleaved(torch.stack(place, 1), bits)
    for shift in (1, 2, 4, 8, 16, 32):  # from Gray code: each bit becomes the parity of those above it
        code = code ^ (code >> shift)
    return code


def curve_order(
    coordinates: Tensor,
    curve: str = "hilbert",
    axes: str = "xyz",
    batch: Tensor | None = None,
    bits: int = 16,
) -> Tensor:
    """Permutation that sorts voxels along a curve, cloud after cloud.

    Args:
        coordinates: ``(N, 3)`` integers in 0 .. 2^bits - 1.
        curve: ``"z-order"`` or ``"hilbert"``.
        axes: as :func:`morton_code` and :func:`hilbert_code` have them.
        batch: ``(N,)`` integers, at least 0: which cloud; 0 unless given.
        bits: of each coordinate.

    Returns:
        ``(N,)`` int64, such that ``coordinates[order]`` follows the curve; of equal voxels the first comes
        first. ``order.argsort()`` leads back.

    Raises:
        DataError: another curve, other shapes, or more clouds than 63 bits can tell apart.

    Example:
        >>> voxels = torch.tensor([[0, 1, 0], [0, 0, 1], [0, 0, 0]])
        >>> curve_order(voxels, "z-order").tolist()
        [2, 1, 0]
        >>> curve_order(voxels, "z-order", batch=torch.tensor([0, 1, 1])).tolist()
        [0, 2, 1]
    """
    if curve not in CURVES:
        raise DataError(f"there are the curves {' and '.join(CURVES)}, not {curve!r}")
    coordinates, batch = check_voxels(coordinates, batch)
    code = (morton_code if curve == "z-order" else hilbert_code)(coordinates, bits, axes)
    if batch.numel() and int(batch.max()) >> (63 - 3 * bits):
        raise DataError(
            f"{int(batch.max()) + 1} clouds of {bits} bits an axis exceed 63 bits: sort fewer at once"
        )
    return (batch << (3 * bits) | code).sort(stable=True).indices


def _checked(coordinates: Tensor, bits: int, axes: str) -> Tensor:
    """``(N, 3)`` int64 with its axes in the order asked for."""
    coordinates, _ = check_voxels(coordinates, None)
    if not 1 <= bits <= MOST_BITS:
        raise DataError(f"curves have 1 to {MOST_BITS} bits an axis, not {bits}")
    if sorted(axes) != sorted(_AXES):
        raise DataError(f"axes are an order of the letters xyz, not {axes!r}")
    if coordinates.numel():
        low, high = (int(value) for value in coordinates.aminmax())
        if low < 0 or high >> bits:
            raise DataError(
                f"curves of {bits} bits take coordinates 0 .. {(1 << bits) - 1}, but these reach from {low} "
                f"to {high}: subtract the least ones, or take larger voxels"
            )
    return coordinates[:, [_AXES[letter] for letter in axes]]


def _interleaved(coordinates: Tensor, bits: int) -> Tensor:
    code = coordinates.new_zeros(len(coordinates))
    for bit in range(bits - 1, -1, -1):
        for axis in range(3):
            code = code << 1 | (coordinates[:, axis] >> bit & 1)
    return code


def _morton_spread(coordinates: Tensor, _bits: int) -> Tensor:
    """All three axes at once, by spreading halves of their bits ever finer."""
    spread = coordinates
    for shift, kept in _SPREAD:
        spread = (spread | spread << shift) & kept
    return spread[:, 0] << 2 | spread[:, 1] << 1 | spread[:, 2]


register_backend("morton_code", "spread", implementation=_morton_spread)
register_backend("morton_code", "reference", implementation=morton_code_reference)
register_backend(
    "hilbert_code",
    "numba",
    device="cpu",
    implementation=point_cpu.hilbert_codes,
    available=point_cpu.numba_unavailable,
)
register_backend("hilbert_code", "reference", implementation=hilbert_code_reference)
