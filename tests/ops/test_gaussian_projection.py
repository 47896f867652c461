"""Projection: against samples, Jacobians and scipy's rotations; compiled as the reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from dense3d.ops import backends, project_gaussians
from dense3d.ops.gaussian_projection import covariances_reference, rotations_of
from tests.ops.gaussian_scenes import SIZE, scene

BACKENDS = [row.backend for row in backends("project_gaussians") if row.device == "cpu"]


def inputs(**options) -> dict[str, torch.Tensor]:
    found = scene(**options)
    del found["colors"]
    return found


def test_rotations_are_scipys():
    quats = scene()["quats"]
    expected = Rotation.from_quat(quats[:, [1, 2, 3, 0]].numpy()).as_matrix()
    np.testing.assert_allclose(rotations_of(quats), expected, atol=1e-12)
    torch.testing.assert_close(rotations_of(-3 * quats), rotations_of(quats))


@pytest.mark.parametrize("length", [1e-30, 1e30])
def test_rotations_do_not_depend_on_the_length_of_quaternions(length):
    """In float32, where squares of these lengths are zero or infinite; compiled, too."""
    quats = scene(dtype=torch.float32)["quats"]
    torch.testing.assert_close(rotations_of(length * quats), rotations_of(quats))
    given = inputs(dtype=torch.float32)
    for backend in BACKENDS:
        found = project_gaussians(**given | dict(quats=length * quats), **SIZE, backend=backend)
        expected = project_gaussians(**given, **SIZE, backend=backend)
        torch.testing.assert_close(found.conics, expected.conics, rtol=1e-4, atol=1e-4)


def test_covariances_are_those_of_samples():
    quats, scales = scene()["quats"][0], scene()["scales"][0]
    random = torch.randn(400_000, 3, generator=torch.Generator().manual_seed(0)).double()
    samples = (random * scales) @ rotations_of(quats).mT
    covariance = covariances_reference(quats, scales)
    torch.testing.assert_close(samples.T.cov(), covariance, atol=0.01 * float(covariance.max()), rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_covariance_on_the_image_is_propagated_through_the_camera(backend):
    """J S J^T with the Jacobian of the whole camera by autograd, where tangents are not cut."""
    given = inputs(cameras=1)
    found = project_gaussians(**given, **SIZE, eps2d=0.1, backend=backend)
    pose, K = given["viewmats"][0], given["Ks"][0]

    def pixel(point: torch.Tensor) -> torch.Tensor:
        x, y, z = K @ (pose[:3, :3] @ point + pose[:3, 3])
        return torch.stack([x / z, y / z])

    covars = covariances_reference(given["quats"], given["scales"])
    checked = 0
    for i, mean in enumerate(given["means"]):
        torch.testing.assert_close(found.means2d[0, i], pixel(mean))
        in_picture = ((found.means2d[0, i] > 0) & (found.means2d[0, i] < torch.tensor([37, 26]))).all()
        if in_picture and found.depths[0, i] > 0:
            jacobian = torch.autograd.functional.jacobian(pixel, mean)
            covariance = jacobian @ covars[i] @ jacobian.T + 0.1 * torch.eye(2)
            a, b, c = found.conics[0, i]
            torch.testing.assert_close(torch.stack([a, b, b, c]).view(2, 2), covariance.inverse())
            checked += 1
    assert checked > 15


def test_tangents_are_cut_for_the_shape_and_not_for_the_place():
    """Far aside the shape is that at 0.3 of half the width beyond the edge, left and right."""
    K = torch.tensor([[[10.0, 0, 4], [0, 10.0, 10], [0, 0, 1]]]).double()
    arguments = dict(
        quats=torch.tensor([[1.0, 0, 0, 0]]).double().expand(4, 4),
        scales=torch.full((4, 3), 0.1).double(),
        opacities=torch.ones(4).double(),
        viewmats=torch.eye(4).double()[None],
        Ks=K,
        width=20,
        height=20,
    )
    limits = {"gsplat": (0.4 + 0.3, 1.6 + 0.3), "inria": (1.3, 1.3)}  # left and right of the axis
    for convention, (left, right) in limits.items():
        x = torch.tensor([-5.0, -left, right, 5.0]).double()
        means = torch.stack([x, torch.zeros(4).double(), torch.ones(4).double()], -1)
        found = project_gaussians(means, **arguments, convention=convention)
        torch.testing.assert_close(found.means2d[0, :, 0], 10 * x + 4)
        torch.testing.assert_close(found.conics[0, 0], found.conics[0, 1])
        torch.testing.assert_close(found.conics[0, 2], found.conics[0, 3])
        assert not torch.allclose(found.conics[0, 1], found.conics[0, 2]) or left == right


@pytest.mark.parametrize("convention", ["gsplat", "inria"])
@pytest.mark.parametrize("mode", ["classic", "antialiased"])
def test_compiled_results_are_those_of_the_reference(convention, mode):
    """All of them, also of Gaussians that are not seen."""
    given = inputs(number=1100, cameras=3)
    options = dict(**SIZE, convention=convention, rasterize_mode=mode, far=4.0, radius_clip=1.5)
    found, expected = (
        project_gaussians(**given, **options, backend=backend) for backend in ("numba", "reference")
    )
    for one, two in zip(found, expected):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-9)
    assert 0 < int((found.radii > 0).all(-1).sum()) < 3300


def test_moving_the_world_moves_nothing_on_the_image():
    """Gaussians and cameras turned and shifted together."""
    given = inputs()
    turn = torch.tensor([0.3, -0.8, 0.1, 0.5]).double()
    matrix = rotations_of(turn)
    shift = torch.tensor([3.0, -1.0, 2.0]).double()
    motion = torch.eye(4).double()
    motion[:3, :3], motion[:3, 3] = matrix, shift
    moved = given | dict(
        means=given["means"] @ matrix.T + shift,
        quats=_product(torch.nn.functional.normalize(turn, dim=0), given["quats"]),
        viewmats=given["viewmats"] @ motion.inverse(),
    )
    for one, two in zip(project_gaussians(**given, **SIZE), project_gaussians(**moved, **SIZE)):
        torch.testing.assert_close(one, two, rtol=1e-7, atol=1e-7)


def _product(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Quaternions p q, w first."""
    w = p[0] * q[:, 0] - q[:, 1:] @ p[1:]
    xyz = p[0] * q[:, 1:] + q[:, :1] * p[1:] + torch.linalg.cross(p[1:].expand_as(q[:, 1:]), q[:, 1:])
    return torch.cat([w[:, None], xyz], 1)
