"""The renderer against closed forms: depth, normals, occlusion, shading and shadows of analytic solids."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dense3d.datasets.synthetic import shapes
from dense3d.datasets.synthetic.renderer import Frame, Renderer
from dense3d.datasets.synthetic.scene import Light, Scene, SceneObject, Shape, Sky, Texture
from dense3d.structures.camera import PinholeCamera

SIZES = {
    "box": (0.8, 1.2, 1.0),
    "sphere": (1.2, 1.2, 1.2),
    "cylinder": (0.9, 0.9, 1.4),
    "cone": (1.1, 1.1, 1.3),
    "torus": (1.5, 1.5, 0.4),
    "cross": (1.3, 1.3, 1.3),
}
# Largest distance of a facet from its solid, as a fraction of the radius: half a facet's diagonal spans
# at most sqrt(2) * pi / SEGMENTS of the turn.
FACET_ERROR = 1 - math.cos(math.sqrt(2) * math.pi / shapes.SEGMENTS)
SUN = Light(direction=(0.0, 0.6, 0.8), sun=(0.5, 0.5, 0.5), ambient=(0.3, 0.2, 0.1))
SKY = Sky(horizon=(0.8, 0.8, 0.9), zenith=(0.2, 0.4, 0.9), cloudiness=0.0)


def place(number: int, kind: str, center: tuple, size: tuple | None = None, turn: float = 0.7) -> SceneObject:
    c, s = math.cos(turn), math.sin(turn)
    tilt = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return SceneObject(
        instance_id=number,
        category=kind if kind in SIZES else "ground",
        shape=Shape(kind, size or SIZES[kind]),
        center=np.array(center, dtype=float),
        rotation=tilt if turn else np.eye(3),
        texture=Texture("solid", (0.5, 0.4, 0.3), (0, 0, 0)),
    )


def camera(width: int = 160, height: int = 120) -> PinholeCamera:
    return PinholeCamera.look_at((0.4, -4.0, 1.6), (0, 0, 0.3), width, height, math.radians(45))


def render(*objects: SceneObject) -> Frame:
    return Renderer(Scene(tuple(objects), SUN, SKY)).render(camera())


def local_points(frame: Frame, item: SceneObject) -> np.ndarray:
    """(N, 3) back-projected depth of the pixels of ``item`` in its own frame."""
    mask = frame.instance == item.instance_id
    world = frame.camera.unproject(frame.camera.pixel_grid()[mask], frame.depth[mask])
    return (world - item.center) @ item.rotation


def distance_to_solid(kind: str, size: tuple, points: np.ndarray) -> np.ndarray:
    """Signed distance (N,) of points to the analytic solid; exact near the surface."""
    x, y, z = points.T
    radial = np.hypot(x, y)
    half = np.array(size) / 2
    if kind == "sphere":
        return np.linalg.norm(points, axis=1) - half[0]
    if kind == "torus":
        return np.hypot(radial - (half[0] - half[2]), z) - half[2]
    if kind == "cylinder":
        return np.maximum(radial - half[0], np.abs(z) - half[2])
    if kind == "cone":
        slope = math.hypot(half[0], 2 * half[2])
        side = ((z - half[2]) * half[0] + radial * 2 * half[2]) / slope
        return np.maximum(side, -half[2] - z)
    if kind == "box":
        return np.max(np.abs(points) - half, axis=1)
    bars = [np.where(np.arange(3) == axis, half, half * shapes.CROSS_THICKNESS) for axis in range(3)]
    return np.min([np.max(np.abs(points) - bar, axis=1) for bar in bars], axis=0)


@pytest.mark.parametrize("kind", SIZES)
def test_depth_lies_on_the_solid(kind: str) -> None:
    item = place(1, kind, (0.1, 0.2, 0.4))
    frame = render(item)
    distance = distance_to_solid(kind, SIZES[kind], local_points(frame, item))
    assert len(distance) > 500
    radius = max(SIZES[kind]) / 2
    # Around the hole of a torus the surface is hollow, and the facets lie outside of it.
    hole = radius - SIZES[kind][2] if kind == "torus" else 0
    assert distance.max() < hole * (1 - math.cos(math.pi / shapes.SEGMENTS)) + 1e-4
    assert distance.min() > -(FACET_ERROR * radius + 1e-4)


@pytest.mark.parametrize("kind", SIZES)
def test_normals_are_the_gradient_of_the_distance(kind: str) -> None:
    item = place(1, kind, (0.1, 0.2, 0.4))
    frame = render(item)
    points = local_points(frame, item)
    step = 1e-4
    gradient = np.stack(
        [
            distance_to_solid(kind, SIZES[kind], points + step * axis)
            - distance_to_solid(kind, SIZES[kind], points - step * axis)
            for axis in np.eye(3)
        ],
        axis=1,
    ) / (2 * step)
    # At an edge the distance has no gradient: its central difference is shorter than 1.
    smooth = np.abs(np.linalg.norm(gradient, axis=1) - 1) < 1e-3
    assert smooth.mean() > 0.85
    expected = gradient @ item.rotation.T @ frame.camera.rotation
    normals = frame.normal[frame.instance == 1]
    cosine = (normals * expected).sum(axis=1)[smooth]
    # A point less than a facet's depth from an edge may belong to the face beyond it.
    assert (cosine > 0.999).mean() > 0.98
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("kind", SIZES)
def test_meshes_are_closed_and_fill_their_box(kind: str) -> None:
    vertices, triangles = shapes.mesh(Shape(kind, SIZES[kind]))
    np.testing.assert_allclose(vertices.max(axis=0), np.array(SIZES[kind]) / 2, rtol=2e-3)
    np.testing.assert_allclose(vertices.min(axis=0), -np.array(SIZES[kind]) / 2, rtol=2e-3)
    # Every edge borders two triangles, which pass it in opposite directions.
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]).astype(int)
    assert len(np.unique(edges, axis=0)) == len(edges)
    assert {tuple(edge) for edge in edges} == {tuple(edge) for edge in edges[:, ::-1]}
    a, _, c = size = np.array(SIZES[kind])
    volume = {
        "box": size.prod(),
        "sphere": math.pi * a**3 / 6,
        "cylinder": math.pi * a**2 / 4 * c,
        "cone": math.pi * a**2 / 12 * c,
        "torus": 2 * math.pi**2 * (a - c) / 2 * (c / 2) ** 2,
        # Three bars that overlap twice in the middle are counted as often by the divergence theorem.
        "cross": 3 * size.prod() * shapes.CROSS_THICKNESS**2,
    }[kind]
    corners = vertices.astype(np.float64)[triangles]
    enclosed = np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    assert enclosed == pytest.approx(volume, rel=0.01)


def ray_sphere_depth(view: PinholeCamera, center: np.ndarray, radius: float) -> np.ndarray:
    """(H, W) z depth of the nearer intersection, inf where a ray misses."""
    directions = view.directions(view.pixel_grid())
    offset = view.position - center
    a = (directions**2).sum(axis=-1)
    b = (directions * offset).sum(axis=-1)
    discriminant = b**2 - a * (offset @ offset - radius**2)
    with np.errstate(invalid="ignore"):
        return np.where(discriminant > 0, (-b - np.sqrt(discriminant)) / a, np.inf)


def test_the_nearer_sphere_hides_the_farther() -> None:
    near = place(1, "sphere", (0.0, -0.5, 0.4), (0.8, 0.8, 0.8))
    far = place(2, "sphere", (0.4, 0.8, 0.5), (1.4, 1.4, 1.4))
    frame = render(near, far)
    depths = np.stack([ray_sphere_depth(frame.camera, o.center, o.shape.size[0] / 2) for o in (near, far)])
    expected = np.where(np.isfinite(depths.min(axis=0)), depths.argmin(axis=0) + 1, 0)
    # Facets lie inside the sphere, so a pixel on the silhouette may miss it.
    assert (frame.instance == expected).mean() > 0.995
    assert {0, 1, 2} == set(np.unique(frame.instance))
    hidden = np.isfinite(depths).all(axis=0)
    assert hidden.sum() > 50
    assert (frame.instance[hidden] == 1).mean() > 0.97
    rays = frame.camera.directions(frame.camera.pixel_grid()) @ frame.camera.rotation
    cosine = -(frame.normal * rays).sum(axis=-1) / np.linalg.norm(rays, axis=-1)
    facing = (frame.instance == expected) & (expected > 0) & (cosine > 0.5)
    error = frame.depth[facing] - depths.min(axis=0)[facing]
    assert error.min() > -1e-5
    assert error.max() < FACET_ERROR * 0.7 / 0.5 + 1e-4


def test_two_cameras_see_the_same_solids() -> None:
    objects = (place(1, "torus", (0.2, 0.1, 0.4)), place(2, "cone", (-0.7, 0.9, 0.5)))
    left = camera()
    shift = np.eye(4)
    shift[0, 3] = 0.2  # metres to the camera's right
    right = PinholeCamera(left.width, left.height, left.intrinsics, left.camera_to_world @ shift)
    renderer = Renderer(Scene(objects, SUN, SKY))
    first, second = renderer.render(left), renderer.render(right)
    mask = first.instance > 0
    pixels, depth = left.pixel_grid()[mask], first.depth[mask]
    disparity = left.intrinsics[0, 0] * 0.2 / depth
    moved, far = right.project(left.unproject(pixels, depth))
    np.testing.assert_allclose(moved, pixels - np.stack([disparity, 0 * disparity], axis=1), atol=1e-4)
    np.testing.assert_allclose(far, depth, atol=1e-5)
    u, v = np.rint(moved).astype(int).T
    inside = (u >= 0) & (u < right.width)
    same = second.instance[v[inside], u[inside]] == first.instance[mask][inside]
    # The rest is hidden from the right camera or lies on an outline.
    assert same.mean() > 0.93
    gap = np.abs(second.depth[v[inside], u[inside]] - far[inside])[same]
    assert np.median(gap) < 0.01


def test_an_empty_scene_is_sky() -> None:
    frame = Renderer(Scene((), SUN, SKY)).render(camera(40, 30))
    assert (frame.category == 9).all()
    assert np.isinf(frame.depth).all()


def test_sky_has_no_depth_normal_or_instance() -> None:
    frame = render(place(1, "sphere", (0, 0, 0.4)))
    sky = frame.category == 9
    assert sky.any()
    assert np.isinf(frame.depth[sky]).all()
    assert not frame.normal[sky].any()
    assert not frame.instance[sky].any()


def test_ground_is_shaded_by_lambert_and_shadowed_by_the_sphere() -> None:
    ball = place(1, "sphere", (0, 0, 0.8), (0.8, 0.8, 0.8))
    floor = place(2, "box", (0, 0, -0.1), (30, 30, 0.2), turn=0.0)
    frame = render(ball, floor)
    mask = frame.instance == 2
    points = frame.camera.unproject(frame.camera.pixel_grid()[mask], frame.depth[mask])
    np.testing.assert_allclose(points[:, 2], 0, atol=1e-5)
    towards_sun, offset = np.array(SUN.direction), points - ball.center
    along = offset @ towards_sun
    clearance = np.linalg.norm(offset - along[:, None] * towards_sun, axis=1) - 0.4
    albedo, ambient = np.array(floor.texture.first), np.array(SUN.ambient)
    lit = (255 * (albedo * (ambient + np.array(SUN.sun) * towards_sun[2])) ** (1 / 2.2)).round()
    dark = (255 * (albedo * ambient) ** (1 / 2.2)).round()
    colors = frame.rgb[mask].astype(float)
    # Within 6 cm of the shadow's border a pixel may be partly lit.
    shadow = clearance < -0.06
    assert shadow.sum() > 100
    assert np.abs(colors[shadow] - dark).max() <= 1
    unmixed = (clearance > 0.06) & (np.abs(clearance) < 2)
    # Pixels beside the ball's own outline mix its colour in.
    assert (np.abs(colors[unmixed] - lit).max(axis=1) <= 1).mean() > 0.93


def test_instance_ids_must_be_distinct() -> None:
    with pytest.raises(ValueError, match="positive and distinct"):
        Scene((place(1, "box", (0, 0, 0)), place(1, "box", (2, 0, 0))), SUN, SKY)
