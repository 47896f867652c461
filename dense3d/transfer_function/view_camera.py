"""The camera of the 3D view: it circles the middle of a volume, in the axes of the patient."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dense3d.structures.volume import Volume

FIELD_OF_VIEW = 30.0  # degrees, of the smaller side of the picture


@dataclass(frozen=True)
class Camera:
    """Where a volume is looked at from.

    Azimuth and elevation 0 look from the front, so that the patient's right is on the left of the picture, as
    in radiology. World axes are RAS+ (x right, y front, z head): the camera lies in the direction
    ``(-sin az cos el, cos az cos el, sin el)`` of the middle of the volume.

    Args:
        azimuth: degrees; growing, it walks to the patient's left (90: from the left, 180: from behind).
        elevation: degrees; 90 looks from above the head, with the front of the patient below in the picture.
        zoom: 1 shows the whole volume, larger comes nearer.
        roll: degrees by which the picture turns clockwise.
        pan: how far the picture is shifted to the right and up, in radii of the volume.
        perspective: rays meet in the eye; otherwise they are parallel.

    Example:
        >>> Camera(azimuth=90).direction.round(6).tolist()
        [-1.0, 0.0, 0.0]
    """

    azimuth: float = 0.0
    elevation: float = 0.0
    zoom: float = 1.0
    roll: float = 0.0
    pan: tuple[float, float] = (0.0, 0.0)
    perspective: bool = True

    def __post_init__(self) -> None:
        numbers = (self.azimuth, self.elevation, self.zoom, self.roll, *self.pan)
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError(f"a camera's angles, zoom and shift must be finite, not {numbers}")
        if not 0.01 <= self.zoom <= 1000:
            raise ValueError(f"zoom must lie in 0.01 .. 1000, not {self.zoom:g}")

    @property
    def direction(self) -> np.ndarray:
        """(3,) unit vector from the middle of the volume to the camera, RAS+."""
        azimuth, elevation = math.radians(self.azimuth), math.radians(self.elevation)
        flat = math.cos(elevation)
        return np.array([-math.sin(azimuth) * flat, math.cos(azimuth) * flat, math.sin(elevation)])

    @property
    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """Unit vectors (3,) in RAS+ that point to the right and up in the picture."""
        azimuth, roll = math.radians(self.azimuth), math.radians(self.roll)
        right = np.array([-math.cos(azimuth), -math.sin(azimuth), 0.0])
        up = np.cross(right, -self.direction)
        # the picture turns clockwise: what was up is now to the right
        return math.cos(roll) * right + math.sin(roll) * up, math.cos(roll) * up - math.sin(roll) * right

    def frame(self, volume: Volume, width: int, height: int) -> np.ndarray:
        """Eye and rays in the world, for a picture of that size.

        The ray of screen coordinates s, t in -1..1 (t up) starts at the eye and runs along
        ``normalise(forward + s * across + t * above)``; without perspective it starts at
        ``eye + s * across + t * above`` and runs along ``forward``. The smaller side of the picture sees a
        ball around the volume's box, whose radius is half the box's diagonal.

        Returns:
            (7, 3) float64: eye, forward, across, above, right, up, and (1 perspective or 0, height, width).
        """
        middle, radius = centre_and_radius(volume)
        (right, up), tangent = self.axes, math.tan(math.radians(FIELD_OF_VIEW / 2))
        distance = radius / math.sin(math.radians(FIELD_OF_VIEW / 2)) / self.zoom
        reach = tangent if self.perspective else radius / self.zoom
        target = middle - radius * (self.pan[0] * right + self.pan[1] * up)
        # parallel rays start in front of everything, whatever the zoom
        eye = target + self.direction * (distance if self.perspective else 2 * radius)
        smaller = min(width, height)
        across, above = right * (reach * width / smaller), up * (reach * height / smaller)
        last = (float(self.perspective), height, width)
        return np.array([eye, -self.direction, across, above, right, up, last], dtype=np.float64)


def centre_and_radius(volume: Volume) -> tuple[np.ndarray, float]:
    """Middle of the volume's box in the world, and half of its diagonal, in millimetres."""
    shape = np.array(volume.shape)
    middle = volume.affine[:3, :3] @ ((shape - 1) / 2) + volume.affine[:3, 3]
    corners = np.stack(np.meshgrid(*[(-0.5, 0.5)] * 3), -1).reshape(-1, 3) * shape
    return middle, float(np.linalg.norm(corners @ volume.affine[:3, :3].T, axis=1).max())
