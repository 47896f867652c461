"""Triton kernels of operators on clouds of points, and the calls of them; imported on the first CUDA call.

Sums of squares are taken in the order of the references, and without fused multiply-adds, so that equal
distances are equal and ties go to the lowest index.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

NONE = tl.constexpr(2**31 - 1)
LARGEST_TILE = 2048


@triton.jit
def _squared_distances(px, py, pz, x, y, z):
    dx, dy, dz = px - x, py - y, pz - z
    return dx * dx + dy * dy + dz * dz


@triton.jit
def _tile(points, base, index, inside):
    px = tl.load(points + base + index * 3, inside, 0.0)
    py = tl.load(points + base + index * 3 + 1, inside, 0.0)
    pz = tl.load(points + base + index * 3 + 2, inside, 0.0)
    return px, py, pz


@triton.jit
def _farthest(points, lengths, starts, nearest, chosen, number, samples, TILE: tl.constexpr):
    """One program a cloud. nearest (B, N): the minima, below 0 where a point may not be taken."""
    cloud = tl.program_id(0).to(tl.int64)
    count = tl.load(lengths + cloud)
    latest = tl.load(starts + cloud)
    base = cloud * number
    for sample in range(samples):
        tl.store(chosen + cloud * samples + sample, latest)
        tl.debug_barrier()
        x = tl.load(points + (base + latest) * 3)
        y = tl.load(points + (base + latest) * 3 + 1)
        z = tl.load(points + (base + latest) * 3 + 2)
        farthest = x - x - 2
        lowest = latest * 0
        for first in range(0, count, TILE):
            index = first + tl.arange(0, TILE)
            inside = index < count
            px, py, pz = _tile(points, base * 3, index, inside)
            before = tl.load(nearest + base + index, inside, -2.0)
            minima = tl.minimum(before, _squared_distances(px, py, pz, x, y, z))
            tl.store(nearest + base + index, minima, inside)
            largest = tl.max(minima, 0)
            place = tl.min(tl.where(minima == largest, index, NONE), 0)
            lowest = tl.where(largest > farthest, place.to(tl.int64), lowest)
            farthest = tl.maximum(largest, farthest)
        latest = tl.where(farthest < 0, 0, lowest)


def farthest_points(
    points: Tensor, num_samples: int, start: Tensor, skip_origin: bool, lengths: Tensor | None
) -> Tensor:
    """``farthest_point_sample``: a program a cloud."""
    from dense3d.ops.farthest_points import OFFICIAL_START, candidate_points
    from dense3d.ops.point_checks import working_dtype

    points = points.to(working_dtype(points)).contiguous()
    batch, number = points.shape[:2]
    nearest = points.new_full((batch, number), OFFICIAL_START if skip_origin else torch.inf)
    candidates = candidate_points(points, skip_origin, None)
    if candidates is not None:
        nearest.masked_fill_(~candidates, -1)
    chosen = torch.empty(batch, num_samples, dtype=torch.long, device=points.device)
    tile = min(triton.next_power_of_2(number), LARGEST_TILE)
    _farthest[(batch,)](
        points,
        _lengths(lengths, points),
        start,
        nearest,
        chosen,
        number,
        num_samples,
        TILE=tile,
        num_warps=8,
        enable_fp_fusion=False,
    )
    return chosen


@triton.jit
def _nearest(
    queries,
    points,
    lengths,
    found,
    squared,
    num_queries,
    number,
    k,
    QUERIES: tl.constexpr,
    TILE: tl.constexpr,
):
    """A program for some queries of a cloud: k times the least of what lies beyond the last one found."""
    cloud = tl.program_id(0).to(tl.int64)
    query = tl.program_id(1) * QUERIES + tl.arange(0, QUERIES)
    asked = query < num_queries
    count = tl.load(lengths + cloud)
    x, y, z = _tile(queries, cloud * num_queries * 3, query, asked)
    distance = x - x - 1
    index = (query * 0 - 1).to(tl.int32)
    for place in range(k):
        least = x - x + float("inf")
        lowest = (query * 0).to(tl.int32) + NONE
        for first in range(0, count, TILE):
            point = first + tl.arange(0, TILE)
            inside = point < count
            px, py, pz = _tile(points, cloud * number * 3, point, inside)
            d = _squared_distances(x[:, None], y[:, None], z[:, None], px[None], py[None], pz[None])
            beyond = (d > distance[:, None]) | ((d == distance[:, None]) & (point[None] > index[:, None]))
            open_ = beyond & inside[None]
            d = tl.where(open_, d, float("inf"))
            smallest = tl.min(d, 1)
            candidates = tl.where(open_ & (d == smallest[:, None]), point[None], NONE)
            at = tl.min(candidates, 1)
            better = (smallest < least) | ((smallest == least) & (at < lowest))
            lowest = tl.where(better, at, lowest)
            least = tl.minimum(smallest, least)
        distance, index = least, lowest
        to = (cloud * num_queries + query) * k + place
        tl.store(found + to, index.to(tl.int64), asked)
        tl.store(squared + to, distance, asked)


def nearest_k(queries: Tensor, points: Tensor, k: int, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    """``knn``: a program for 16 queries."""
    queries, points = queries.contiguous(), points.contiguous()
    batch, num_queries = queries.shape[:2]
    found = torch.empty(batch, num_queries, k, dtype=torch.long, device=points.device)
    squared = points.new_empty(found.shape)
    sizes = num_queries, points.shape[1], k
    tile = min(max(triton.next_power_of_2(points.shape[1]), 16), 128)
    _nearest[(batch, triton.cdiv(num_queries, 16))](
        queries,
        points,
        _lengths(lengths, points),
        found,
        squared,
        *sizes,
        QUERIES=16,
        TILE=tile,
        enable_fp_fusion=False,
    )
    return squared, found


def nearest_of_both(
    x: Tensor, y: Tensor, x_lengths: Tensor | None, y_lengths: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Index of the nearest point of the other cloud, for ``chamfer_distance``.

    Where nothing is nearest, because all is NaN, or a cloud is empty, the index is 0.
    """
    to_y, to_x = nearest_k(x, y, 1, y_lengths)[1], nearest_k(y, x, 1, x_lengths)[1]
    return tuple(torch.where(index == NONE.value, 0, index)[..., 0] for index in (to_y, to_x))


@triton.jit
def _balls(
    queries,
    points,
    lengths,
    found,
    num_queries,
    number,
    squared_radius,
    k,
    QUERIES: tl.constexpr,
    TILE: tl.constexpr,
    PLACES: tl.constexpr,
):
    """A program for some queries of a cloud: hits are counted tile by tile, until all have k of them."""
    cloud = tl.program_id(0).to(tl.int64)
    query = tl.program_id(1) * QUERIES + tl.arange(0, QUERIES)
    asked = query < num_queries
    count = tl.load(lengths + cloud)
    limit = tl.load(squared_radius)
    x, y, z = _tile(queries, cloud * num_queries * 3, query, asked)
    row = (cloud * num_queries + query) * k
    hits = query * 0
    lowest = query * 0 + NONE
    first = 0
    fewest = 0
    while (first < count) & (fewest < k):
        point = first + tl.arange(0, TILE)
        inside = point < count
        px, py, pz = _tile(points, cloud * number * 3, point, inside)
        d = _squared_distances(x[:, None], y[:, None], z[:, None], px[None], py[None], pz[None])
        hit = (d < limit) & inside[None] & asked[:, None]
        place = hits[:, None] + tl.cumsum(hit.to(tl.int32), 1) - 1
        index = tl.broadcast_to(point[None], (QUERIES, TILE))
        tl.store(found + row[:, None] + place, index.to(tl.int64), hit & (place < k))
        lowest = tl.minimum(lowest, tl.min(tl.where(hit, index, NONE), 1))
        hits += tl.sum(hit.to(tl.int32), 1)
        fewest = tl.min(tl.where(asked, hits, k), 0)
        first += TILE
    padding = tl.where(hits > 0, lowest, 0).to(tl.int64)
    for start in range(0, k, PLACES):
        place = start + tl.arange(0, PLACES)
        empty = (place[None] >= hits[:, None]) & (place[None] < k) & asked[:, None]
        value = tl.broadcast_to(padding[:, None], (QUERIES, PLACES))
        tl.store(found + row[:, None] + place[None], value, empty)


def balls(queries: Tensor, points: Tensor, radius: float, k: int, lengths: Tensor | None) -> Tensor:
    """``ball_query``: a program for 16 queries."""
    queries, points = queries.contiguous(), points.contiguous()
    batch, num_queries = queries.shape[:2]
    found = torch.empty(batch, num_queries, k, dtype=torch.long, device=points.device)
    tile = min(max(triton.next_power_of_2(points.shape[1]), 16), 128)
    _balls[(batch, triton.cdiv(num_queries, 16))](
        queries,
        points,
        _lengths(lengths, points),
        found,
        num_queries,
        points.shape[1],
        torch.tensor([radius], dtype=points.dtype, device=points.device).square(),
        k,
        QUERIES=16,
        TILE=tile,
        PLACES=32,
        enable_fp_fusion=False,
    )
    return found


def _lengths(lengths: Tensor | None, points: Tensor) -> Tensor:
    if lengths is not None:
        return lengths.contiguous()
    return torch.full((len(points),), points.shape[1], dtype=torch.long, device=points.device)
