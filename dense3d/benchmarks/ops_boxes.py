"""Operators on boxes and lines, against torchvision, shapely and Open3D."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import torch
import torchvision
from torch import Tensor

from dense3d import ops
from dense3d.benchmarks.timing import OURS, Case, Workload
from dense3d.optional import require


def make_boxes(number: int, image: float = 800.0) -> tuple[Tensor, Tensor]:
    """Boxes (N, 4) that overlap in heaps, as a detector's do, and scores (N,)."""
    random = torch.Generator().manual_seed(0)
    heaps = torch.rand(max(1, number // 10), 2, generator=random) * image
    centre = heaps[torch.randint(len(heaps), (number,), generator=random)]
    centre = centre + torch.randn(number, 2, generator=random) * 8
    size = 20 + torch.rand(number, 2, generator=random) * 60
    return torch.cat([centre - size / 2, centre + size / 2], 1), torch.rand(number, generator=random)


def make_rotated(number: int) -> tuple[Tensor, Tensor]:
    """Boxes (N, 5) as (cx, cy, w, h, angle) and scores (N,)."""
    boxes, scores = make_boxes(number)
    angle = torch.rand(number, 1, generator=torch.Generator().manual_seed(1)) * math.pi
    return torch.cat([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2], angle], 1), scores


def nms(device: torch.device, number: int) -> Workload:
    contenders = {
        OURS: lambda boxes, scores: ops.nms(boxes, scores, 0.5)[1],
        "torchvision": lambda boxes, scores: torchvision.ops.nms(boxes, scores, 0.5),
    }
    return Workload(_to(device, *make_boxes(number)), contenders)


def batched_nms(device: torch.device, number: int) -> Workload:
    boxes, scores = make_boxes(number)
    classes = torch.randint(80, (number,), generator=torch.Generator().manual_seed(1))
    config = {"type": "nms", "iou_threshold": 0.5}
    contenders = {
        OURS: lambda *inputs: ops.batched_nms(*inputs, config)[1],
        "torchvision": lambda *inputs: torchvision.ops.batched_nms(*inputs, 0.5),
    }
    return Workload(_to(device, boxes, scores, classes), contenders)


def soft_nms(device: torch.device, number: int) -> Workload:
    return Workload(_to(device, *make_boxes(number)), {OURS: lambda *inputs: ops.soft_nms(*inputs)[1]})


def nms_match(device: torch.device, number: int) -> Workload:
    boxes, scores = make_boxes(number)
    return Workload(
        _to(device, torch.cat([boxes, scores[:, None]], 1)), {OURS: lambda dets: ops.nms_match(dets, 0.5)[0]}
    )


def bbox_overlaps(device: torch.device, number: int) -> Workload:
    boxes, _ = make_boxes(number)
    contenders = {OURS: ops.bbox_overlaps, "torchvision": torchvision.ops.box_iou}
    return Workload(_to(device, boxes, boxes.flip(0)), contenders)


def box_iou_rotated(device: torch.device, number: int) -> Workload:
    boxes, _ = make_rotated(number)
    contenders = {
        OURS: ops.box_iou_rotated,
        "shapely": shapely_iou,
        "reference": ops.box_iou_rotated_reference,
    }
    return Workload(_to(device, boxes, boxes.flip(0)), contenders)


def nms_rotated(device: torch.device, number: int) -> Workload:
    contenders = {OURS: lambda *inputs: ops.nms_rotated(*inputs, 0.5)[1], "shapely, loop": shapely_nms}
    return Workload(_to(device, *make_rotated(number)), contenders)


def make_boxes_3d(number: int) -> tuple[Tensor, Tensor]:
    """Boxes (N, 7) as (x, y, z, x_size, y_size, z_size, yaw) in heaps, and scores (N,)."""
    rotated, scores = make_rotated(number)
    random = torch.Generator().manual_seed(2)
    z, height = (
        torch.rand(number, 1, generator=random) * 20,
        10 + torch.rand(number, 1, generator=random) * 20,
    )
    return torch.cat([rotated[:, :2], z, rotated[:, 2:4], height, rotated[:, 4:]], 1), scores


def box_iou_3d(device: torch.device, number: int) -> Workload:
    boxes, _ = make_boxes_3d(number)
    contenders = {
        OURS: ops.box_iou_3d,
        "shapely": shapely_iou_3d,
        "reference": ops.box_iou_3d_reference,
    }
    return Workload(_to(device, boxes, boxes.flip(0)), contenders)


def box_iou_3d_loss(device: torch.device, number: int) -> Workload:
    boxes, _ = make_boxes_3d(number)
    moved = boxes + 0.3 * torch.randn(boxes.shape, generator=torch.Generator().manual_seed(3))
    contenders = {OURS: lambda a, b: ops.box_iou_3d_loss(a, b, "giou")}
    return Workload(_to(device, boxes, moved), contenders, leaves=(0,))


def nms_3d(device: torch.device, number: int) -> Workload:
    contenders = {
        OURS: lambda *inputs: ops.nms_3d(*inputs, 0.5),
        "shapely, loop": lambda *inputs: shapely_nms(*inputs, overlaps=shapely_iou_3d),
    }
    return Workload(_to(device, *make_boxes_3d(number)), contenders)


def shapely_iou_3d(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """All pairs by shapely's intersection of the footprints."""
    import shapely

    footprint = [0, 1, 3, 4, 6]
    polygons1, polygons2 = _polygons(boxes1[:, footprint])[:, None], _polygons(boxes2[:, footprint])[None]
    area = torch.from_numpy(shapely.area(shapely.intersection(polygons1, polygons2)))
    (low1, high1), (low2, high2) = (
        (b[:, 2].double().cpu() - b[:, 5].cpu() / 2, b[:, 2].double().cpu() + b[:, 5].cpu() / 2)
        for b in (boxes1, boxes2)
    )
    height = torch.minimum(high1[:, None], high2) - torch.maximum(low1[:, None], low2)
    common = area * height.clamp(min=0)
    volume1, volume2 = (b[:, 3:6].double().cpu().prod(1) for b in (boxes1, boxes2))
    return (common / (volume1[:, None] + volume2 - common)).to(boxes1)


def shapely_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """All pairs by shapely's vectorised polygon intersection."""
    import shapely

    polygons1, polygons2 = _polygons(boxes1)[:, None], _polygons(boxes2)[None]
    intersection = shapely.area(shapely.intersection(polygons1, polygons2))
    union = shapely.area(polygons1) + shapely.area(polygons2) - intersection
    return torch.from_numpy(intersection / union).to(boxes1)


def shapely_nms(boxes: Tensor, scores: Tensor, overlaps: Callable = shapely_iou) -> Tensor:
    """Greedy suppression over all overlaps."""
    order = scores.argsort(descending=True)
    overlap = overlaps(boxes[order], boxes[order]).cpu().numpy() >= 0.5
    alive = np.ones(len(overlap), dtype=bool)
    for index in range(len(overlap)):
        if alive[index]:
            alive[index + 1 :] &= ~overlap[index, index + 1 :]
    return order[torch.from_numpy(alive)]


def _polygons(boxes: Tensor) -> np.ndarray:
    import shapely

    centre, size, angle = boxes[:, None, :2], boxes[:, None, 2:4], boxes[:, 4]
    corners = torch.tensor([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]) * size.cpu()  # (N, 4, 2)
    cos, sin = angle.cpu().cos()[:, None], angle.cpu().sin()[:, None]
    x, y = corners.unbind(-1)
    turned = torch.stack([x * cos - y * sin, x * sin + y * cos], -1) + centre.cpu()
    return shapely.polygons(turned.double().numpy())


def make_points(points: int, boxes: int) -> tuple[Tensor, Tensor]:
    """A scene of 70 x 80 x 4 m: points (1, M, 3) and boxes (1, T, 7) that stand apart in a grid."""
    random = torch.Generator().manual_seed(0)
    cloud = torch.rand(1, points, 3, generator=random) * torch.tensor([70.0, 80.0, 4.0])
    side = math.ceil(math.sqrt(boxes))
    cell = torch.arange(boxes)
    centre = torch.stack([(cell % side + 0.5) * 70 / side, (cell // side + 0.5) * 80 / side, cell * 0.0], 1)
    size = 1.5 + torch.rand(boxes, 3, generator=random) * 2
    yaw = torch.rand(boxes, 1, generator=random) * math.pi
    return cloud, torch.cat([centre, size, yaw], 1)[None]


def points_in_boxes_all(device: torch.device, points: int, boxes: int) -> Workload:
    contenders = {OURS: ops.points_in_boxes_all, **_open3d_loop(open3d_points_in_boxes)}
    return Workload(_to(device, *make_points(points, boxes)), contenders)


def points_in_boxes_part(device: torch.device, points: int, boxes: int) -> Workload:
    def open3d_part(cloud: Tensor, scene: Tensor) -> Tensor:
        inside = open3d_points_in_boxes(cloud, scene)
        return torch.where(inside.any(-1), inside.argmax(-1), -1).int()

    contenders = {OURS: ops.points_in_boxes_part, **_open3d_loop(open3d_part)}
    return Workload(_to(device, *make_points(points, boxes)), contenders)


def _open3d_loop(contender: Callable) -> dict[str, Callable]:
    """The contender by its name, where the extra ``pointcloud`` is installed."""
    return {"Open3D, loop": contender} if find_spec("open3d") else {}


def open3d_points_in_boxes(points: Tensor, boxes: Tensor) -> Tensor:
    """One query of Open3D for each box of the only batch element."""
    open3d = require("open3d")
    cloud = open3d.utility.Vector3dVector(points[0].double().cpu().numpy())
    inside = torch.zeros(1, points.shape[1], boxes.shape[1], dtype=torch.int32)
    for index, box in enumerate(boxes[0].double().cpu().numpy()):
        rotation = open3d.geometry.get_rotation_matrix_from_xyz((0.0, 0.0, box[6]))
        centre = box[:3] + np.array([0, 0, box[5] / 2])
        oriented = open3d.geometry.OrientedBoundingBox(centre, rotation, box[3:6])
        inside[0, oriented.get_point_indices_within_bounding_box(cloud), index] = 1
    return inside.to(points.device)


def line_nms(device: torch.device, number: int, points: int = 72) -> Workload:
    random = torch.Generator().manual_seed(0)
    start = torch.rand(number, 1, generator=random) * 800
    lines = torch.cat([torch.rand(number, 5, generator=random), start.expand(-1, points)], 1)
    lines[:, 2], lines[:, 4] = 0.0, points
    scores = torch.rand(number, generator=random)
    return Workload(_to(device, lines, scores), {OURS: lambda *inputs: ops.line_nms(*inputs, 50.0, 100)[0]})


def _to(device: torch.device, *tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(tensor.to(device) for tensor in tensors)


def _boxes(number: int) -> dict[str, dict]:
    return {f"{number:,} boxes": {"number": number}}


_SCENE = {"20,000 points, 50 boxes": {"points": 20_000, "boxes": 50}}
_TINY, _TINY_SCENE = {"number": 20}, {"points": 300, "boxes": 4}
CASES = [
    Case("nms", nms, _boxes(2000), _TINY),
    Case("batched_nms", batched_nms, _boxes(5000), _TINY),
    Case("soft_nms", soft_nms, _boxes(1000), _TINY),
    Case("nms_match", nms_match, _boxes(1000), _TINY),
    Case("bbox_overlaps", bbox_overlaps, _boxes(1000), _TINY),
    Case("box_iou_rotated", box_iou_rotated, _boxes(300), _TINY),
    Case("nms_rotated", nms_rotated, _boxes(300), _TINY),
    Case("box_iou_3d", box_iou_3d, _boxes(300), _TINY),
    Case("box_iou_3d_loss", box_iou_3d_loss, _boxes(1000), _TINY),
    Case("nms_3d", nms_3d, _boxes(300), _TINY),
    Case("points_in_boxes_all", points_in_boxes_all, _SCENE, _TINY_SCENE),
    Case("points_in_boxes_part", points_in_boxes_part, _SCENE, _TINY_SCENE),
    Case("line_nms", line_nms, {"500 lines": {"number": 500}}, _TINY),
]
