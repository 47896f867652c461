"""Golden adapter of operators on clouds of points (system ``point-ops``)."""

from __future__ import annotations

import torch
from torch import Tensor

from dense3d import ops
from tests.golden.checks import Run, by_name
from tests.golden.kit import GoldenKit

Inputs = dict[str, Tensor]


def open_kit(_kit: GoldenKit) -> Run:
    """There are no weights: every check stands alone."""
    return by_name(
        {
            "fps": lambda _, inputs: _farthest(inputs, skip_origin=True),
            "fps-small-norm": lambda _, inputs: _farthest(inputs, skip_origin=True),
            "fps-plain": lambda _, inputs: _farthest(inputs),
            "fps-start": lambda _, inputs: _farthest(inputs),
            "knn": lambda _, inputs: _nearest(inputs["query"], inputs["points"], int(inputs["k"])),
            "ball-query": lambda _, inputs: _ball(inputs),
            "ball-query-empty": lambda _, inputs: _ball(inputs),
            "three-nn": lambda _, inputs: _nearest(inputs["points"], inputs["centers"], 3),
            "three-interpolate": lambda _, inputs: _interpolated(inputs),
            "chamfer-l2": lambda _, inputs: _chamfer(inputs, norm=2),
            "chamfer-l1": lambda _, inputs: _chamfer(inputs, norm=1),
            "chamfer-ignore-zeros": lambda _, inputs: _without_zeros(inputs),
        }
    )


def _farthest(inputs: Inputs, skip_origin: bool = False) -> Inputs:
    points, start = inputs["points"], inputs.get("start", 0)
    index = ops.farthest_point_sample(points, int(inputs["num"]), start, skip_origin)
    return {"index": index, "points": ops.gather_points(points, index)}


def _nearest(queries: Tensor, points: Tensor, k: int) -> Inputs:
    squared, index = ops.knn(queries, points, k)
    return {"distance": squared.sqrt(), "index": index}


def _ball(inputs: Inputs) -> Inputs:
    radius, places = float(inputs["radius"]), int(inputs["num"])
    return {"index": ops.ball_query(inputs["query"], inputs["points"], radius, places)}


def _interpolated(inputs: Inputs) -> Inputs:
    arguments = inputs["points"], inputs["centers"], inputs["features"]
    return {
        "inverse_distance": ops.interpolate_nearest(*arguments, power=1),
        "inverse_squared_distance": ops.interpolate_nearest(*arguments, power=2),
    }


def _chamfer(inputs: Inputs, norm: int) -> Inputs:
    """The indices are those of the nearest neighbours, which the distances do not show."""
    a, b = inputs["a"].requires_grad_(), inputs["b"].requires_grad_()
    with torch.enable_grad():
        loss = ops.chamfer_loss(a, b, norm=norm)
        grad_a, grad_b = torch.autograd.grad(loss, (a, b))
        to_b, to_a = ops.chamfer_distance(a, b, norm=norm)
    return {
        "loss": loss,
        "grad_a": grad_a,
        "grad_b": grad_b,
        "dist_ab": to_b,
        "dist_ba": to_a,
        "index_ab": ops.knn(a, b, 1)[1][..., 0],
        "index_ba": ops.knn(b, a, 1)[1][..., 0],
        "split_a": to_b.mean(),
        "split_b": to_a.mean(),
    }


def _without_zeros(inputs: Inputs) -> Inputs:
    """Points whose coordinates sum to 0 are padding of the official loss."""
    clouds = inputs["a"], inputs["b"]
    kept = [cloud[:, cloud[0].sum(-1) != 0] for cloud in clouds]
    return {"kept": ops.chamfer_loss(*clouds), "ignored": ops.chamfer_loss(*kept)}
