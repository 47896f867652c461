"""Ray casting of a scene into an image and its exact geometry, on the CPU."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dense3d.datasets.synthetic import shapes
from dense3d.datasets.synthetic.classes import CATEGORY_IDS
from dense3d.datasets.synthetic.ray_casting import RayCaster
from dense3d.datasets.synthetic.scene import Scene, SceneObject
from dense3d.datasets.synthetic.textures import albedo, value_noise
from dense3d.datasets.synthetic.vectors import dot, unit
from dense3d.structures.camera import PinholeCamera, rotate

# Colour is the mean of the rays through these points of a pixel; geometry is that of its central ray.
SUBPIXELS = ((-0.25, -0.25), (0.25, -0.25), (-0.25, 0.25), (0.25, 0.25))
# Shadow rays start this far (metres) off the surface, so that a facet does not shade itself.
SHADOW_OFFSET = 0.01
SPECULAR_EXPONENT = 24.0


@dataclass(frozen=True, eq=False)
class Frame:
    """What one camera sees.

    Args:
        camera: the camera.
        rgb: (H, W, 3) uint8, sRGB.
        depth: (H, W) float32 metres along the optical axis at the pixel centre; ``inf`` for the sky.
        normal: (H, W, 3) float32 outward unit normals in the camera frame; zero for the sky.
        instance: (H, W) int32 ``SceneObject.instance_id``, 0 for the sky. Ground and walls have ids, too.
        category: (H, W) uint8 ``Category.id``.
    """

    camera: PinholeCamera
    rgb: np.ndarray
    depth: np.ndarray
    normal: np.ndarray
    instance: np.ndarray
    category: np.ndarray


@dataclass(frozen=True, eq=False)
class Hits:
    """Where N rays meet the scene.

    Args:
        t: (N,) ray parameter, ``inf`` for a miss.
        index: (N,) position in ``Scene.objects``, -1 for a miss.
        points, local: (N, 3) in the world and in the object's frame.
        normals: (N, 3) outward unit normals in the world, zero for a miss.
        groups: each object that is hit, with the rows of the rays that hit it.
    """

    t: np.ndarray
    index: np.ndarray
    points: np.ndarray
    local: np.ndarray
    normals: np.ndarray
    groups: list[tuple[SceneObject, np.ndarray]]


class Renderer:
    """Renders any pinhole camera of one scene; the same scene and camera give the same bytes.

    Args:
        scene: what to render.

    Example:
        >>> from dense3d.datasets.synthetic.composition import compose_room
        >>> scene, cameras = compose_room(np.random.default_rng(0), (64, 48))
        >>> Renderer(scene).render(cameras[0]).rgb.shape
        (48, 64, 3)
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._caster = RayCaster([self._placed(item) for item in scene.objects])

    def render(self, camera: PinholeCamera) -> Frame:
        """Image, depth, normals, instances and classes seen by ``camera``."""
        shape = (camera.height, camera.width)
        pixels = camera.pixel_grid().reshape(-1, 2)
        hits = self._cast(camera, camera.directions(pixels).astype(np.float32))
        instance_of = np.array([item.instance_id for item in self.scene.objects] + [0], dtype=np.int32)
        names = [*(item.category for item in self.scene.objects), "sky"]
        category_of = np.array([CATEGORY_IDS[name] for name in names], dtype=np.uint8)
        to_camera = camera.rotation.T.astype(np.float32)
        return Frame(
            camera=camera,
            rgb=self._image(camera, pixels).reshape(*shape, 3),
            depth=hits.t.reshape(shape),
            normal=rotate(hits.normals, to_camera).reshape(*shape, 3),
            instance=instance_of[hits.index].reshape(shape),  # a miss has the index -1: the last entry
            category=category_of[hits.index].reshape(shape),
        )

    def silhouette(self, camera: PinholeCamera, pixels: np.ndarray) -> np.ndarray:
        """Whether the rays through ``pixels`` (N, 2) meet anything: (N,) bool."""
        return self._cast(camera, camera.directions(pixels).astype(np.float32)).index >= 0

    def render_depth(self, camera: PinholeCamera) -> np.ndarray:
        """(H, W) float32 depth alone, as in :class:`Frame`; much faster than the image."""
        directions = camera.directions(camera.pixel_grid().reshape(-1, 2)).astype(np.float32)
        found = self._caster.cast(camera.position.astype(np.float32), directions)
        return found.t.reshape(camera.height, camera.width)

    def reaches(self, origin: np.ndarray, points: np.ndarray, tolerance: float) -> np.ndarray:
        """Whether a straight line from ``origin`` (3,) meets nothing before each point: (N,) bool.

        Args:
            origin: place in the world.
            points: (N, 3) in the world, which may lie on surfaces.
            tolerance: how much before the point something may be, in multiples of the line's length.
        """
        start = origin.astype(np.float32)
        return self._caster.cast(start, points.astype(np.float32) - start).t >= 1 - tolerance

    @staticmethod
    def _placed(item: SceneObject) -> shapes.MeshArrays:
        vertices, triangles = shapes.mesh(item.shape)
        placed = rotate(vertices.astype(np.float64), item.rotation) + item.center
        return placed.astype(np.float32), triangles

    def _image(self, camera: PinholeCamera, pixels: np.ndarray) -> np.ndarray:
        """(H * W, 3) uint8 sRGB."""
        light = np.zeros((len(pixels), 3), dtype=np.float32)
        for shift in SUBPIXELS:
            directions = camera.directions(pixels + np.asarray(shift)).astype(np.float32)
            light += self._radiance(self._cast(camera, directions), directions)
        light /= len(SUBPIXELS)
        generator = np.random.default_rng(self.scene.noise_seed)
        srgb = np.clip(light, 0, 1) ** np.float32(1 / 2.2)
        srgb += np.float32(self.scene.noise) * generator.standard_normal(srgb.shape, dtype=np.float32)
        return np.rint(np.clip(srgb, 0, 1) * 255).astype(np.uint8)

    def _cast(self, camera: PinholeCamera, directions: np.ndarray) -> Hits:
        origin = camera.position.astype(np.float32)
        found = self._caster.cast(origin, directions)
        index, facets = found.index, found.facet_normals
        points = origin + np.where(index >= 0, found.t, 0)[:, None] * directions
        local, normals = np.zeros_like(points), np.zeros_like(points)
        groups = self._by_object(index)
        for item, rows in groups:
            rotation = item.rotation.astype(np.float32)
            inside = rotate(points.take(rows, axis=0) - item.center.astype(np.float32), rotation.T)
            facing = shapes.normals(item.shape, inside, rotate(facets.take(rows, axis=0), rotation.T))
            local[rows], normals[rows] = inside, rotate(facing, rotation)
        return Hits(found.t, index, points, local, normals, groups)

    def _by_object(self, index: np.ndarray) -> list[tuple[SceneObject, np.ndarray]]:
        order = np.argsort(index, kind="stable")  # a radix sort for 16-bit numbers
        ends = np.searchsorted(index[order], np.arange(-1, len(self.scene.objects)), side="right")
        groups = [order[start:end] for start, end in pairwise(ends)]
        return [(item, rows) for item, rows in zip(self.scene.objects, groups) if len(rows)]

    def _radiance(self, hits: Hits, directions: np.ndarray) -> np.ndarray:
        """(N, 3) linear light that comes back along each ray: ambient, unhidden sun, highlight."""
        light = self.scene.light
        towards_sun = np.asarray(light.direction, dtype=np.float32)
        sun, ambient = (np.asarray(color, dtype=np.float32) for color in (light.sun, light.ambient))
        lambert = self._lambert(hits, towards_sun)
        # Half of the ambient light comes from above.
        diffuse = ambient * (0.75 + 0.25 * hits.normals[:, 2:]) + sun * lambert[:, None]
        radiance = np.empty_like(hits.points)
        for item, rows in hits.groups:
            radiance[rows] = albedo(item.texture, hits.local.take(rows, axis=0)) * diffuse.take(rows, axis=0)
            if item.gloss:
                half = unit(towards_sun - unit(directions[rows]))
                highlight = np.maximum(dot(hits.normals[rows], half), 0) ** np.float32(SPECULAR_EXPONENT)
                radiance[rows] += np.float32(item.gloss) * (highlight * (lambert[rows] > 0))[:, None] * sun
        missed = hits.index < 0
        radiance[missed] = self._sky_color(directions[missed])
        return radiance

    def _lambert(self, hits: Hits, towards_sun: np.ndarray) -> np.ndarray:
        """(N,) cosine between normal and sun, 0 where the sun is not seen."""
        cosine = dot(hits.normals, towards_sun)
        facing = np.flatnonzero(cosine > 0)
        origins = hits.points[facing] + np.float32(SHADOW_OFFSET) * hits.normals[facing]
        hidden = self._caster.occluded(origins, towards_sun)
        lambert = np.zeros_like(cosine)
        lambert[facing] = np.where(hidden, 0, cosine[facing])
        return lambert

    def _sky_color(self, directions: np.ndarray) -> np.ndarray:
        sky = self.scene.sky
        upward = unit(directions)
        height = np.clip(upward[:, 2:], 0, 1) ** np.float32(0.5)
        horizon, zenith = (np.asarray(color, dtype=np.float32) for color in (sky.horizon, sky.zenith))
        clouds = np.clip(2 * value_noise(upward * np.array([6, 6, 14], np.float32)) - 0.7, 0, 1)[:, None]
        clear = horizon + height * (zenith - horizon)
        return clear + np.float32(sky.cloudiness) * clouds * (1 - clear)
