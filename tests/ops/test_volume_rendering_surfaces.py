"""Iso-surfaces and tables: against closed forms and dense sampling."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dense3d.ops import cast_rays_reference
from dense3d.ops.volume_rendering_rays import camera_rays, sample_volume
from dense3d.ops.volume_rendering_surfaces import iso_surface
from dense3d.ops.volume_rendering_tables import piecewise_linear, preintegrated_table


def distance_volume(count: int = 41) -> tuple[torch.Tensor, dict]:
    """Minus the distance from the origin, on a grid over [-1, 1]^3."""
    axis = (torch.arange(count).double() + 0.5) * 2 / count - 1
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)
    box = dict(origin=-torch.ones(3).double(), spacing=torch.full((3,), 2 / count).double())
    return -grid.norm(dim=-1), box


def test_a_sphere_is_hit_where_it_is():
    volume, box = distance_volume()
    eye, target, up = torch.tensor([[3.0, 1, 0.5], [0, 0, 0], [0, 0, 1]]).double()
    origins, directions = camera_rays(eye, target, up, (20, 20), fov_y=30.0)
    depth, normal = iso_surface(volume, origins, directions, -0.6, **box)
    along = -(origins * directions).sum(-1)
    aside = along.square() - origins.square().sum(-1) + 0.36
    clear = aside.abs() > 0.02
    torch.testing.assert_close(depth[clear] > 0, aside[clear] > 0)
    expected = along - aside.clamp(min=0).sqrt()
    inside = clear & (aside > 0)
    torch.testing.assert_close(depth[inside], expected[inside], atol=5e-3, rtol=0)
    points = origins + depth[..., None] * directions
    torch.testing.assert_close(normal[inside], (points / 0.6)[inside], atol=2e-2, rtol=0)
    assert (normal[depth < 0] == 0).all()


@pytest.mark.parametrize("level", [0.7, 0.8, 0.9])
def test_it_is_the_first_point_that_reaches_the_level(level):
    """In noise: the value is reached there, and at no denser sample before it."""
    random = torch.Generator().manual_seed(0)
    volume = torch.rand(6, 7, 5, generator=random, dtype=torch.float64)
    box = dict(origin=torch.tensor([-1.0, 0, 2]).double(), spacing=torch.tensor([0.3, 0.2, 0.5]).double())
    eye, target, up = torch.tensor([[-3.0, -2, 1], [0, 0.7, 3], [0, 0, 1]]).double()
    origins, directions = camera_rays(eye, target, up, (16, 16), fov_y=40.0)
    depth, _ = iso_surface(volume, origins, directions, level, **box)
    hit = depth > 0
    assert 10 < hit.sum() < 256
    at = sample_volume(volume, origins + depth[..., None] * directions, **box)
    assert (at[hit] >= level - 1e-9).all()
    ends = torch.where(hit, depth, 12.0)
    steps = torch.linspace(0, 1, 4000).double()
    dense = origins[..., None, :] + (steps * ends[..., None])[..., None] * directions[..., None, :]
    corner = box["origin"] + box["spacing"] * torch.tensor(volume.shape)
    inside = ((dense > box["origin"]) & (dense < corner)).all(-1)
    before = (steps < 1 - 1e-6) & inside
    values = torch.where(before, sample_volume(volume, dense, **box), 0)
    assert values.max() < level + 1e-6


def test_a_ray_that_starts_inside_hits_at_the_entry():
    volume, box = distance_volume(9)
    ray = torch.tensor([[-2.0, 0, 0], [0, 0, 0]]).double(), torch.tensor([[1.0, 0, 0], [1, 0, 0]]).double()
    depth, _ = iso_surface(volume, *ray, -5.0, **box)
    torch.testing.assert_close(depth, torch.tensor([1.0, 0]).double())


def test_a_constant_volume_has_a_surface_without_a_normal():
    ray = torch.tensor([[-2.0, 0.5, 0.5]]), torch.tensor([[1.0, 0, 0]])
    box = dict(origin=torch.zeros(3), spacing=torch.ones(3))
    for level, expected in ((1.0, 2.0), (1.1, -1.0)):
        depth, normal = iso_surface(torch.ones(2, 2, 2), *ray, level, **box)
        assert depth.item() == expected
        assert normal.tolist() == [[0, 0, 0]]


def test_piecewise_linear_is_that_of_numpy():
    random = np.random.default_rng(0)
    positions, rows = np.sort(random.random(6)), random.random((6, 4))
    scalars = random.uniform(-0.5, 1.5, (5, 20))
    found = piecewise_linear(*(torch.from_numpy(array) for array in (scalars, positions, rows)))
    expected = np.stack([np.interp(scalars, positions, row) for row in rows.T], -1)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_at_a_step_the_later_value_holds():
    found = piecewise_linear(
        torch.tensor([0.49, 0.5, 0.51]), torch.tensor([0.5, 0.5]), torch.tensor([[1.0], [2.0]])
    )
    assert found[:, 0].tolist() == [1.0, 2.0, 2.0]


@pytest.mark.parametrize("strength", [1.0, 300.0])
def test_tables_are_what_fine_steps_converge_to(strength):
    """A segment is a ray through two voxels whose trilinear value is linear between their centres."""
    positions = torch.tensor([0.1, 0.4, 0.4, 0.8]).double()
    rows = torch.tensor([[1, 0, 0.3, 0.2], [0, 1, 0, 1.0], [0.5, 0, 1, 0.0], [1, 1, 0, 2.0]]).double()
    rows[:, 3] *= strength
    scalars = torch.linspace(-0.1, 1, 7).double()
    table = preintegrated_table(positions, rows, 0.7, scalars)
    count = 200_000
    way = (torch.arange(count).double() + 0.5) / count
    for i, j in ((0, 6), (6, 0), (3, 3), (1, 4), (5, 2)):
        sample = piecewise_linear(torch.lerp(scalars[i], scalars[j], way), positions, rows)
        depth = sample[:, 3] * 0.7 / count
        before = depth.cumsum(0) - depth
        weight = torch.exp(-before) * -torch.expm1(-depth)
        expected = torch.cat([weight @ sample[:, :3], weight.sum()[None]])
        torch.testing.assert_close(table[i, j], expected, atol=2e-4 if strength > 1 else 2e-5, rtol=0)


def test_a_table_renders_like_the_integral():
    """A ramp between two voxels, cast with small steps, against one entry of the table."""
    positions, rows = torch.tensor([0.0, 0.5, 1.0]).double(), torch.eye(4)[[3, 1, 3]].double()
    volume = torch.tensor([0.0, 1.0]).double().reshape(2, 1, 1)
    ray = torch.tensor([[0.5, 0.5, 0.5]]).double(), torch.tensor([[1.0, 0, 0]]).double()
    box = dict(origin=torch.zeros(3).double(), spacing=torch.ones(3).double())
    # from the first centre to the far side: the ramp, then half a voxel of the constant edge
    whole = cast_rays_reference(volume, *ray, positions, rows, **box, step=1e-4)[0]
    table = preintegrated_table(positions, rows, 1.0, torch.tensor([0.0, 1.0]).double())[0, 1]
    edge = 1 - torch.exp(torch.tensor(-0.5))
    expected = table + (1 - table[3]) * torch.tensor([0, 0, 0, edge]).double()
    torch.testing.assert_close(whole, expected, atol=1e-6, rtol=0)
