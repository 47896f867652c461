"""Upright oriented 3D boxes with an explicit frame, and conversions between frames."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dense3d.errors import DataError
from dense3d.structures.kitti_calibration import KittiCalibration

FRAMES = ("camera", "world")
MOST_TURNED = 4 * math.pi  # radians; larger yaws are degrees
# from the camera's axes (right, down, forward) to axes (forward, left, up)
AXES = torch.tensor([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]], dtype=torch.float64)
# signs of (along, across) of the footprint's corners in each frame's order
CORNERS = {
    "camera": ((1, 1), (1, -1), (-1, -1), (-1, 1)),
    "world": ((1, 1), (-1, 1), (-1, -1), (1, -1)),
}


@dataclass(frozen=True, eq=False)
class Boxes3D:
    """Boxes that stand upright: turned about the vertical only.

    ``"camera"`` is KITTI's rectified camera frame, x right, y down, z forward: rows are ``(x, y, z, height,
    width, length, rotation_y)`` with the centre of the **bottom** face; the heading is ``(cos, -sin)`` of
    rotation_y in (x, z).

    ``"world"`` is any frame with z up, a lidar's (x forward, y left) among them: rows are ``(x, y, z, x_size,
    y_size, z_size, yaw)`` with the **centre** of the box; the heading is ``(cos, sin)`` of yaw in (x, y), the
    length lies along it.

    Metres and radians. These world rows are what :func:`dense3d.ops.box_iou_3d` takes.

    Args:
        tensor: ``(N, 7)``.
        frame: ``"camera"`` or ``"world"``.

    Raises:
        ValueError: another shape or frame.

    Example:
        >>> boxes = Boxes3D(torch.tensor([[1.0, 1.5, 10.0, 1.5, 1.6, 4.0, -torch.pi / 2]]), "camera")
        >>> [round(v, 3) for v in boxes.to_world().tensor[0].tolist()]
        [10.0, -1.0, -0.75, 4.0, 1.6, 1.5, 0.0]
        >>> torch.allclose(boxes.to_world().to_camera().tensor, boxes.tensor)
        True
    """

    tensor: Tensor
    frame: str

    def __post_init__(self) -> None:
        if self.frame not in FRAMES:
            raise ValueError(f"frame must be one of {FRAMES}, not {self.frame!r}")
        if self.tensor.dim() != 2 or self.tensor.shape[1] != 7:
            raise ValueError(f"boxes must be (N, 7), not {tuple(self.tensor.shape)}")

    def __len__(self) -> int:
        return len(self.tensor)

    def __getitem__(self, rows: Tensor | slice) -> Boxes3D:
        """The boxes of a mask, slice or index tensor."""
        return Boxes3D(self.tensor[rows], self.frame)

    @property
    def length(self) -> Tensor:
        """``(N,)`` extent along the heading."""
        return self.tensor[:, 5 if self.frame == "camera" else 3]

    @property
    def width(self) -> Tensor:
        """``(N,)`` horizontal extent across the heading."""
        return self.tensor[:, 4]

    @property
    def height(self) -> Tensor:
        """``(N,)`` vertical extent."""
        return self.tensor[:, 3 if self.frame == "camera" else 5]

    @property
    def heading(self) -> Tensor:
        """``(N,)`` rotation_y or yaw."""
        return self.tensor[:, 6]

    @property
    def center(self) -> Tensor:
        """``(N, 3)`` centre of the box."""
        return self._shifted(-0.5) if self.frame == "camera" else self.tensor[:, :3]

    @property
    def bottom_center(self) -> Tensor:
        """``(N, 3)`` centre of the bottom face."""
        return self.tensor[:, :3] if self.frame == "camera" else self._shifted(-0.5)

    @property
    def volume(self) -> Tensor:
        """``(N,)`` cubic metres."""
        return self.tensor[:, 3:6].prod(-1)

    def footprint_corners(self) -> Tensor:
        """``(N, 4, 2)`` corners seen from above, (x, z) of the camera or (x, y) of the world.

        In signs of (length, width) they are (+, +), (+, -), (-, -), (-, +) in the camera frame, as KITTI's
        devkit orders them, and (+, +), (-, +), (-, -), (+, -) in the world. A walk along them turns to the
        right, or to the left, seen from above.
        """
        signs = self.tensor.new_tensor(CORNERS[self.frame]) / 2  # (4, 2)
        along = signs[:, 0] * self.length[:, None]  # (N, 4)
        across = signs[:, 1] * self.width[:, None]
        turn = -self.heading if self.frame == "camera" else self.heading
        cosine, sine = turn.cos()[:, None], turn.sin()[:, None]
        first, second = along * cosine - across * sine, along * sine + across * cosine
        axes = (0, 2) if self.frame == "camera" else (0, 1)
        return torch.stack([first, second], -1) + self.tensor[:, None, axes]

    def corners(self) -> Tensor:
        """``(N, 8, 3)`` the footprint's corners at the bottom, then at the top."""
        footprint = self.footprint_corners()
        low, up = self.bottom_center, -1.0 if self.frame == "camera" else 1.0
        levels = []
        for level in (0.0, up):
            if self.frame == "camera":
                vertical = (low[:, 1] + level * self.height)[:, None].expand(-1, 4)
                levels.append(torch.stack([footprint[..., 0], vertical, footprint[..., 1]], -1))
            else:
                vertical = (low[:, 2] + level * self.height)[:, None].expand(-1, 4)
                levels.append(torch.cat([footprint, vertical[..., None]], -1))
        return torch.cat(levels, dim=1)

    def to_world(self) -> Boxes3D:
        """The same boxes with the axes renamed: x forward, y left, z up, same origin."""
        if self.frame == "world":
            return self
        center = self.center @ AXES.to(self.tensor).T
        size = self.tensor[:, [5, 4, 3]]
        return Boxes3D(torch.cat([center, size, -self.heading[:, None] - math.pi / 2], 1), "world")

    def to_camera(self) -> Boxes3D:
        """The inverse of :meth:`to_world`."""
        if self.frame == "camera":
            return self
        bottom = self.bottom_center @ AXES.to(self.tensor)
        size = self.tensor[:, [5, 4, 3]]
        return Boxes3D(torch.cat([bottom, size, -self.heading[:, None] - math.pi / 2], 1), "camera")

    def transformed(self, matrix: np.ndarray | Tensor) -> Boxes3D:
        """World boxes moved by a rigid transform to another frame with z up.

        The centres move exactly. A box stays upright: it is turned by the rotation about z that is nearest to
        the matrix's, so that the inverse matrix brings the same boxes back.

        Args:
            matrix: ``(4, 4)``.

        Raises:
            ValueError: the boxes are in a camera frame.
        """
        if self.frame != "world":
            raise ValueError("only boxes of a frame with z up can be moved; use to_world() first")
        matrix = torch.as_tensor(matrix, dtype=torch.float64)
        turn = torch.atan2(matrix[1, 0] - matrix[0, 1], matrix[0, 0] + matrix[1, 1]).item()
        center = self.center.double() @ matrix[:3, :3].to(self.tensor.device).T
        center = (center + matrix[:3, 3].to(self.tensor.device)).to(self.tensor)
        return Boxes3D(torch.cat([center, self.tensor[:, 3:6], self.tensor[:, 6:] + turn], 1), "world")

    def to_lidar(self, calibration: KittiCalibration) -> Boxes3D:
        """Boxes of the rectified camera frame in the lidar's (a ``"world"`` frame)."""
        return self.to_world().transformed(_world_to_lidar(calibration))

    def from_lidar(self, calibration: KittiCalibration) -> Boxes3D:
        """Boxes of the lidar's frame in the rectified camera's: the inverse of :meth:`to_lidar`."""
        return self.transformed(np.linalg.inv(_world_to_lidar(calibration))).to_camera()

    def wrapped(self) -> Boxes3D:
        """The same boxes with headings in [-pi, pi)."""
        return Boxes3D(torch.cat([self.tensor[:, :6], wrap_angle(self.tensor[:, 6:])], 1), self.frame)

    def _shifted(self, heights: float) -> Tensor:
        """``(N, 3)`` positions moved along the vertical axis by so many heights."""
        shift = torch.zeros_like(self.tensor[:, :3])
        shift[:, 1 if self.frame == "camera" else 2] = heights * self.height
        return self.tensor[:, :3] + shift


def _world_to_lidar(calibration: KittiCalibration) -> np.ndarray:
    """(4, 4) from the rectified camera's renamed axes to the lidar."""
    axes = np.eye(4)
    axes[:3, :3] = AXES.numpy().T
    return calibration.camera_to_lidar @ axes


def boxes_of_corners(corners: Tensor) -> Tensor:
    """World rows of the upright boxes, without a turn, that low and high corners span.

    Args:
        corners: ``(N, 6)``, least x, y and z, then the greatest.

    Returns:
        ``(N, 7)``: centre, sizes and a yaw of 0.

    Example:
        >>> boxes_of_corners(torch.tensor([[0.0, 0, 0, 2, 4, 6]])).tolist()
        [[1.0, 2.0, 3.0, 2.0, 4.0, 6.0, 0.0]]
    """
    low, high = corners[:, :3], corners[:, 3:]
    return torch.cat([(low + high) / 2, high - low, torch.zeros_like(low[:, :1])], 1)


def wrap_angle(angle: Tensor) -> Tensor:
    """Angles in [-pi, pi).

    Example:
        >>> [round(a, 4) for a in wrap_angle(torch.tensor([0.5, 2 * torch.pi + 0.5])).tolist()]
        [0.5, 0.5]
    """
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi


def check_yaw(boxes: np.ndarray | None, where: str | Path) -> None:
    """Refuse boxes whose yaws are degrees, as many labelling tools write them.

    Args:
        boxes: ``(K, 7)`` with the yaw last, or None.
        where: file, for the message.

    Raises:
        DataError: a yaw is more than two turns.

    Example:
        >>> check_yaw(np.array([[0, 0, 0, 1, 1, 1, -np.pi]]), "boxes.npy")
    """
    if boxes is None or not len(boxes):
        return
    greatest = boxes[np.abs(boxes[:, 6]).argmax(), 6]
    if abs(greatest) > MOST_TURNED:
        raise DataError(
            f"{where}: a box has the yaw {greatest:g}, which is more than two turns: yaws are radians, so "
            "multiply degrees by pi / 180"
        )


def alpha_from_rotation_y(rotation_y: Tensor, location: Tensor) -> Tensor:
    """Observation angle: the turn about the vertical relative to the line of sight.

    Args:
        rotation_y: ``(N,)`` radians.
        location: ``(N, 3)`` in the camera frame.

    Returns:
        ``(N,)`` radians in [-pi, pi).

    Example:
        >>> ahead = torch.tensor([[0.0, 1.6, 20.0]])
        >>> alpha_from_rotation_y(torch.tensor([0.5]), ahead).item()
        0.5
    """
    return wrap_angle(rotation_y - torch.atan2(location[:, 0], location[:, 2]))


def rotation_y_from_alpha(alpha: Tensor, location: Tensor) -> Tensor:
    """The inverse of :func:`alpha_from_rotation_y`: ``(N,)`` radians in [-pi, pi)."""
    return wrap_angle(alpha + torch.atan2(location[:, 0], location[:, 2]))
