"""Pictures of a volume and its classes, by ray casting on the CPU; what a pixel shows, for clicks into them.

The rule, which the browser's shader follows too. Lengths are millimetres, the *unit length* is the finest
voxel spacing of the working grid (or what the transfer function says), values are scaled to 0..1 over the
volume's range, scores are 0..255, and both are trilinear between voxel centres, constant beyond the last.

1. A ray that runs for L in the clipped box is cut into ``n = ceil(L / step)`` equal intervals of dt; step is
   1 unit length ("preview") or 0.5 ("high"). There is a sample in the middle of each.
2. The transfer function's colour and opacity a at the sample's value, out of a table of 4096 values (linear
   between them, a as ``log(1 - a)``). The sample's opacity is ``1 - (1 - min(a, 0.999))^(dt / unit)``. It is
   shaded (4) with the value's gradient (central differences over one voxel to each side, by the inverse
   transpose of the affine), to the share ``smoothstep(0.0005, 0.004, |gradient|)``, the gradient in 1 / mm;
   samples are composited front to back.
3. The class at the sample: the one of the largest score among those whose score exceeds
   ``int(255 threshold)``, the first of equals; hidden classes take part and are not drawn. Where a visible
   class begins that the ray has not met before, its surface is bisected between this sample and the one
   before (the entry of the box, for the first), and composited with the class's colour and opacity, shaded
   with the gradient of its score over 1.4 voxels to each side. If the class holds at the entry, the surface
   lies there, with the normal of the clipping plane. Each class has one surface on a ray. A class shown as a
   cloud has an opacity as in (2) at each sample instead.
4. Blinn-Phong: normals are turned to the viewer; with v the direction of the ray, the lamp is
   ``l = normalise(-v + 0.35 up - 0.35 right)``, ``h = normalise(l - v)``, and colour c becomes
   ``c (0.28 + 0.80 max(n.l, 0)) + 0.16 max(n.h, 0)^28``, mixed with c by ``shading``.
5. At an opacity above 0.98 the ray ends, and its colour is divided by the opacity. "high" averages 2 x 2 rays
   a pixel. Bricks of 8^3 cells in which nothing can be seen are left out, which changes no sample.

Following Engel, Sick, Ropinski (TVCG 2024), section on rendering, with the class rule of this tool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dense3d.errors import DataError
from dense3d.structures.volume import Volume
from dense3d.transfer_function.view_camera import Camera

MOST_PIXELS = 4096 * 4096
BACKGROUND = (10, 13, 17)


@dataclass(frozen=True)
class Quality:
    """How finely a picture is sampled.

    Args:
        step: between samples of a ray, in finest voxel spacings.
        rays: along each side of a pixel.
    """

    step: float
    rays: int


QUALITIES = {"preview": Quality(1.0, 1), "high": Quality(0.5, 2)}


@dataclass(frozen=True)
class ClassLook:
    """How a class is shown; any object with these attributes will do.

    Args:
        id: the class.
        color: red, green, blue, 0..255.
        opacity: 0..1, of its surface, or of a cloud over the unit length.
        threshold: 0..1; a score holds above ``int(255 * threshold)``.
        visible: whether it is drawn; if not, it still keeps other classes from its voxels.
        cloud: show what is inside instead of the surface.
    """

    id: int
    color: tuple[int, int, int]
    opacity: float = 1.0
    threshold: float = 0.5
    visible: bool = True
    cloud: bool = False


@dataclass(frozen=True)
class Clip:
    """What is cut away.

    Args:
        low: lower corner of the box that is left, as shares 0..1 of the volume along its axes.
        high: upper corner.
        planes: pairs of a point and a normal, (3,) each, in world millimetres; what the normal points to
            is left.
    """

    low: tuple[float, float, float] = (0.0, 0.0, 0.0)
    high: tuple[float, float, float] = (1.0, 1.0, 1.0)
    planes: tuple[tuple[Sequence[float], Sequence[float]], ...] = ()


class Transfer(Protocol):
    """Colour and opacity of values: :class:`.functions.TransferFunction` or :class:`.functions.Regions`."""

    unit_distance: float | None

    def table(self, low: float, high: float, entries: int = 4096) -> np.ndarray:
        """(N, G, 4) over values and gradient magnitudes."""


@dataclass(frozen=True)
class Scene:
    """All that a picture of a :class:`Renderer`'s volume depends on.

    Args:
        camera: where from.
        width: pixels.
        height: pixels.
        classes: how classes are shown, in the order that decides between equals; :class:`ClassLook` or
            alike. Those without scores are left out.
        transfer: of the volume itself; None: only classes are seen.
        clip: what is cut away.
        quality: a name in :data:`QUALITIES`.
        shading: 0 (flat) .. 1.
        background: red, green, blue 0..255; None: transparent, pixels then have an alpha channel.
        marker: draw the letters of the patient's sides.
    """

    camera: Camera = field(default_factory=Camera)
    width: int = 512
    height: int = 512
    classes: Sequence[Any] = ()
    transfer: Transfer | None = None
    clip: Clip = field(default_factory=Clip)
    quality: str = "preview"
    shading: float = 1.0
    background: tuple[int, int, int] | None = BACKGROUND
    marker: bool = True

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1 or self.width * self.height > MOST_PIXELS:
            raise DataError(f"a picture of {self.width} x {self.height} pixels: take 1 x 1 to 4096 x 4096")
        if self.quality not in QUALITIES:
            raise DataError(f"quality {self.quality!r} is none of {', '.join(QUALITIES)}")


@dataclass(frozen=True, eq=False)
class Rendering:
    """A picture.

    Args:
        pixels: (H, W, 3) uint8, or (H, W, 4) with straight alpha on a transparent background.
        depth: (H, W) float32 millimetres along the ray to what :attr:`class_ids` names; infinite for nothing.
        class_ids: (H, W) int32: the class whose surface is met first, 0 where the volume itself takes half of
            the light before, -1 where neither is.
    """

    pixels: np.ndarray
    depth: np.ndarray
    class_ids: np.ndarray

    def save(self, path: str | Path) -> None:
        """Write a PNG, atomically."""
        from dense3d.files import atomic_write

        with atomic_write(path) as file:
            file.write(self.png())

    def png(self) -> bytes:
        """The picture as a PNG file."""
        import cv2

        order = cv2.COLOR_RGB2BGR if self.pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
        return cv2.imencode(".png", cv2.cvtColor(self.pixels, order))[1].tobytes()


@dataclass(frozen=True)
class Pick:
    """What a pixel shows.

    Args:
        class_id: the class, or 0 for the volume itself.
        voxel: index of the working grid.
        point: (x, y, z) in world millimetres.
    """

    class_id: int
    voxel: tuple[int, int, int]
    point: tuple[float, float, float]


class Renderer:
    """Draws one volume on its working grid; what does not change between pictures is kept.

    Args:
        volume: on the canonical working grid, ``volume.reduced(256)``.
        value_range: values that 0 and 65535 of the 16 bits stand for; the smallest and largest unless given.

    Example:
        >>> ball = np.linalg.norm(np.mgrid[-8:9, -8:9, -8:9], axis=0) < 6
        >>> renderer = Renderer(Volume(ball.astype(np.uint8), np.eye(4)))
        >>> renderer.set_scores(255 * ball[None].astype(np.uint8), class_ids=[1])
        >>> scene = Scene(width=64, height=64, classes=[ClassLook(1, (255, 0, 0))])
        >>> picture = renderer.render(scene)
        >>> picture.pixels.shape, int(picture.class_ids[32, 32]), int(picture.class_ids[0, 0])
        ((64, 64, 3), 1, -1)
        >>> renderer.pick(scene, x=32, y=32).class_id
        1
    """

    def __init__(self, volume: Volume, value_range: tuple[float, float] | None = None) -> None:
        from dense3d.transfer_function.rendering_data import to_16_bits, value_bricks

        self.volume = volume
        if value_range is None:
            value_range = float(volume.values.min()), float(volume.values.max())
        self.value_range = value_range
        self._values = to_16_bits(volume.values, *value_range)
        self._value_bricks = value_bricks(self._values)
        self._scores = np.zeros((0, *volume.shape), np.uint8)
        self._class_ids: tuple[int, ...] = ()
        self._score_bricks = np.zeros((0, *self._value_bricks[0].shape), np.uint8)

    @property
    def unit_length(self) -> float:
        """Millimetres over which opacities hold: the finest spacing."""
        return min(self.volume.spacing)

    def set_scores(self, scores: np.ndarray, class_ids: Sequence[int]) -> None:
        """Take these scores from here on.

        Args:
            scores: (C, X, Y, Z) uint8 on the volume's grid; is not copied and must not be written to.
            class_ids: of its first axis.

        Raises:
            DataError: shapes do not fit.
        """
        from dense3d.transfer_function.rendering_data import value_bricks

        scores = np.asarray(scores)
        if scores.dtype != np.uint8 or scores.shape != (len(class_ids), *self.volume.shape):
            raise DataError(
                f"scores are uint8 of shape {(len(class_ids), *self.volume.shape)}, not {scores.dtype} "
                f"of {scores.shape}"
            )
        self._scores = np.ascontiguousarray(scores)
        self._class_ids = tuple(class_ids)
        largest = [value_bricks(one)[1] for one in self._scores]
        self._score_bricks = np.array(largest, np.uint8).reshape(-1, *self._value_bricks[0].shape)

    def render(self, scene: Scene) -> Rendering:
        """Draw a picture.

        Raises:
            DataError: a class's colour, opacity or threshold, or the clipping, is out of its range.
        """
        quality = QUALITIES[scene.quality]
        rays = quality.rays
        frame = scene.camera.frame(self.volume, scene.width * rays, scene.height * rays)
        rgba, depth, hits = self._cast(scene, frame)
        rgba = rgba.reshape(scene.height, rays, scene.width, rays, 4).mean((1, 3))
        depth, hits = depth[rays // 2 :: rays, rays // 2 :: rays], hits[rays // 2 :: rays, rays // 2 :: rays]
        return Rendering(_finished(rgba, scene), depth, hits)

    def pick(self, scene: Scene, x: float, y: float) -> Pick | None:
        """What lies under a point of the picture, for a click there.

        Args:
            scene: of the picture.
            x: pixels from its left side; the middle of the first pixel is 0.5 (0 .. width).
            y: pixels from its upper side.

        Returns:
            the first surface of a visible class, or the place where the volume's transfer function has taken
            half of the light; None where there is neither, or the point is outside of the picture.
        """
        if not (0 <= x <= scene.width and 0 <= y <= scene.height):
            return None
        frame = scene.camera.frame(self.volume, scene.width, scene.height)
        offset = (2 * x / scene.width - 1) * frame[2] + (1 - 2 * y / scene.height) * frame[3]
        frame[1 if scene.camera.perspective else 0] += offset
        frame[2:4], frame[6, 1:] = 0, 1
        _, depth, hits = self._cast(scene, frame)
        if hits[0, 0] < 0:
            return None
        direction = frame[1] / np.linalg.norm(frame[1])
        distances = depth[0, 0] + np.arange(9) * 0.25 * self.unit_length
        points = frame[0] + distances[:, None] * direction
        inverse = np.linalg.inv(self.volume.affine)
        voxels = np.rint(points @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
        voxels = np.clip(voxels, 0, np.array(self.volume.shape) - 1)
        voxel = voxels[self._first_of_class(scene, voxels, int(hits[0, 0]))]
        return Pick(int(hits[0, 0]), tuple(voxel.tolist()), tuple(points[0].tolist()))

    def _first_of_class(self, scene: Scene, voxels: np.ndarray, class_id: int) -> int:
        """Of voxels along a ray, the first that has the class itself; surfaces run between voxels."""
        order, looks = self._order(scene)
        if not class_id or not order:
            return 0
        scores = np.stack([self._scores[(c, *voxels.T)] for c in order]).astype(int)  # (C, N)
        levels = np.array([int(255 * look.threshold) for look in looks])[:, None]
        best = np.where(scores > levels, scores, -1)
        own = [look.id for look in looks].index(class_id)
        return int(np.argmax((best.argmax(0) == own) & (best.max(0) >= 0)))

    def _order(self, scene: Scene) -> tuple[list[int], list[Any]]:
        """Places of the scene's classes among the scores, and their looks."""
        looks = [look for look in scene.classes if look.id in self._class_ids]
        return [self._class_ids.index(look.id) for look in looks], looks

    def _cast(self, scene: Scene, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        from dense3d.ops.cpu_execution import parallel_for
        from dense3d.transfer_function import rendering_data as data
        from dense3d.transfer_function.rendering_kernels import TILE, render

        order, looks = self._order(scene)
        same = order == list(range(len(self._class_ids)))
        scores = self._scores if same else np.ascontiguousarray(self._scores[order])
        styles = data.styles(looks)
        table, steepest = data.transfer_table(scene.transfer, self.value_range)
        active = data.active_bricks(*self._value_bricks, table)
        starts, classes, may_hold = data.class_bricks(
            self._score_bricks if same else self._score_bricks[order], styles
        )
        unit = getattr(scene.transfer, "unit_distance", None) or self.unit_length
        step = QUALITIES[scene.quality].step * self.unit_length
        height, width = int(frame[6, 1]), int(frame[6, 2])
        rgba = np.empty((height, width, 4), np.float32)
        depth, hits = np.empty((height, width), np.float32), np.empty((height, width), np.int32)
        tiles = -(-height // TILE) * -(-width // TILE)
        parallel_for(
            render,
            tiles,
            self._values,
            scores,
            (table, steepest),
            styles,
            (data.brick_contents(active, may_hold, styles), starts, classes),
            frame,
            data.geometry(self.volume.affine, self.volume.shape, scene.clip),
            (step, unit, float(scene.shading)),
            np.empty((tiles, len(looks)), bool),
            rgba,
            depth,
            hits,
        )
        ids = np.array([-1, 0, *(look.id for look in looks)], np.int32)
        return rgba, depth, ids[hits + 1]


def reference_picture(renderer: Renderer, scene: Scene) -> np.ndarray:
    """What a browser's 3D view should show of a scene: for comparing pictures in tests.

    Args:
        renderer: with the volume and the scores that the page got.
        scene: background, marker and quality are not used: one ray a pixel, steps of one voxel.

    Returns:
        (H, W, 4) float32 in 0..1, premultiplied, before any background.
    """
    plain = replace(scene, quality="preview")
    return renderer._cast(plain, scene.camera.frame(renderer.volume, scene.width, scene.height))[0]


def _finished(rgba: np.ndarray, scene: Scene) -> np.ndarray:
    """Premultiplied float -> pixels on the background, with the marker."""
    from dense3d.transfer_function.orientation_marker import draw_marker

    rgba = np.clip(rgba, 0, 1)
    if scene.background is None:
        straight = rgba[..., :3] / np.maximum(rgba[..., 3:], 1e-6)
        return (np.concatenate([np.clip(straight, 0, 1), rgba[..., 3:]], -1) * 255 + 0.5).astype(np.uint8)
    ground = np.array(scene.background, np.float32) / 255
    pixels = ((rgba[..., :3] + (1 - rgba[..., 3:]) * ground) * 255 + 0.5).astype(np.uint8)
    if scene.marker:
        draw_marker(pixels, scene.camera)
    return pixels
