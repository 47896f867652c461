"""Ray casting: compiled against the reference, with and without skipping, and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, map_coordinates

from dense3d.ops import cast_rays, cast_rays_reference
from dense3d.ops.volume_rendering_cpu import brick_distances, brick_ranges, cast, occupied_bricks
from dense3d.ops.volume_rendering_rays import camera_rays, intersect_box, sample_gradient, sample_volume


def scene(seed: int, shape=(19, 26, 33), pixels=(12, 15), dtype=torch.float64, sigma=2) -> dict:
    """A smooth random volume in an odd box, and a perspective camera close to it."""
    random = np.random.default_rng(seed)
    volume = gaussian_filter(random.standard_normal(shape), sigma)
    volume = (volume - volume.min()) / np.ptp(volume)
    spacing = torch.tensor(random.uniform(0.5, 1.5, 3))
    origin = torch.tensor(random.uniform(-5, 5, 3))
    size = spacing * torch.tensor(shape)
    eye = origin + size / 2 + torch.tensor(random.standard_normal(3)) * size.norm()
    rays = camera_rays(eye, origin + size / 2, torch.tensor([0.3, -0.2, 1.0]).double(), pixels, fov_y=45.0)
    return dict(
        volume=torch.from_numpy(volume).to(dtype),
        origins=rays[0],
        directions=rays[1],
        origin=origin,
        spacing=spacing,
    )


# name -> positions and rows: one that leaves most of the volume empty, one with a step, one point
TRANSFERS = {
    "peak": (
        [0.0, 0.75, 0.8, 0.85, 1.0],
        [[0, 0, 0, 0], [1, 0, 0, 0], [0.5, 1, 0, 2], [0, 0, 1, 0], [0, 1, 1, 0]],
    ),
    "step": ([0.2, 0.7, 0.7, 0.9], [[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 1.5], [0, 1, 0, 0.2]]),
    "constant": ([0.5], [[0.2, 0.4, 0.6, 0.05]]),
    "nothing": ([0.0, 1.0], [[1, 1, 1, 0], [1, 1, 1, 0]]),
    "outside": ([0.9, 1.0], [[1, 1, 0, 0.3], [1, 1, 1, 0]]),  # constant below its first point
}


def transfer(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.tensor(part, dtype=torch.float64) for part in TRANSFERS[name])


@pytest.mark.parametrize("name", TRANSFERS)
@pytest.mark.parametrize("step", [0.21, 1.7])
def test_compiled_results_are_those_of_the_reference(name, step):
    for seed in range(3):
        inputs = scene(seed)
        expected = cast_rays_reference(**inputs, **_rows(name), step=step)
        for skip in (True, False):
            torch.testing.assert_close(
                cast(**inputs, **_rows(name), step=step, skip=skip), expected, rtol=1e-9, atol=1e-9
            )
    assert (expected[..., 3].max() > 0.01) == (name != "nothing")


def _rows(name: str) -> dict:
    return dict(zip(("positions", "rgb_extinction"), transfer(name)))


@pytest.mark.parametrize("name", ["peak", "step"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_skipping_empty_bricks_changes_no_bit(name, dtype):
    for seed in range(4):
        inputs = scene(seed, shape=(60, 9, 81), dtype=dtype, sigma=7) | _rows(name)
        for stop in (0.0, 0.3):
            results = [cast(**inputs, step=0.3, min_transmittance=stop, skip=skip) for skip in (True, False)]
            assert torch.equal(*results)


def test_most_bricks_of_a_peak_are_left_out():
    """Otherwise the test above would prove nothing."""
    volume = scene(0, shape=(60, 9, 81), sigma=7)["volume"].numpy()
    positions, rows = (tensor.numpy() for tensor in transfer("peak"))
    occupied = occupied_bricks(*brick_ranges(volume), positions, rows[:, 3])
    assert 0 < occupied.mean() < 0.5
    distances = brick_distances(occupied)
    assert ((distances == 0) == occupied).all()
    assert distances.max() > 1


def test_a_brick_knows_all_voxels_that_its_samples_see():
    volume = np.random.default_rng(0).random((17, 8, 20))
    low, high = brick_ranges(volume)
    for b in np.ndindex(low.shape):
        seen = volume[tuple(slice(8 * i, 8 * i + 9) for i in b)]
        assert (low[b], high[b]) == (seen.min(), seen.max())


def test_early_termination_is_that_of_the_reference():
    inputs = scene(5) | _rows("outside")
    full = cast_rays(**inputs, step=0.4)
    stopped = cast_rays(**inputs, step=0.4, min_transmittance=0.5)
    torch.testing.assert_close(stopped, cast_rays_reference(**inputs, step=0.4, min_transmittance=0.5))
    assert 0 < (full - stopped)[..., 3].max() < 0.5


def test_a_constant_medium_is_exact_for_any_step():
    inputs = scene(1) | _rows("constant")
    size = inputs["spacing"] * torch.tensor(inputs["volume"].shape)
    rays = inputs["origins"], inputs["directions"]
    near, far = intersect_box(*rays, inputs["origin"], inputs["origin"] + size)
    opacity = 1 - torch.exp(-0.05 * (far - near))
    for step in (0.3, 5.0, 1000.0):
        result = cast_rays(**inputs, step=step)
        torch.testing.assert_close(result[..., 3], opacity)
        torch.testing.assert_close(
            result[..., :3], opacity[..., None] * torch.tensor([0.2, 0.4, 0.6]).double()
        )


def test_the_reference_differentiates():
    inputs = scene(2, shape=(3, 4, 3), pixels=(2, 2))
    positions, rows = transfer("peak")
    names = ("volume", "origins", "directions")
    leaves = [
        *(inputs.pop(name).clone().requires_grad_() for name in names),
        positions,
        rows.requires_grad_(),
    ]

    def render(*tensors):
        return cast_rays_reference(*tensors, **inputs, step=0.4)

    assert torch.autograd.gradcheck(render, leaves)
    assert cast_rays(*leaves, **inputs, step=0.4).requires_grad


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"volume": torch.zeros(3, 3)}, "floating-point volume"),
        ({"volume": torch.zeros(3, 3, 3, dtype=torch.int16)}, "floating-point volume"),
        ({"positions": torch.tensor([1.0, 0.0])}, "rows"),
        ({"positions": torch.tensor([0.0, 2, 1, 3, 4])}, "ascend"),
        ({"step": 0.0}, "step must be positive"),
        ({"origins": torch.zeros(4, 2)}, "rays are"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        cast_rays(**(scene(0) | _rows("peak") | {"step": 1.0} | change))


def test_trilinear_values_are_those_of_scipy():
    inputs = scene(3)
    points = inputs["origin"] + torch.rand(200, 3, dtype=torch.float64) * inputs["spacing"] * 40 - 3
    index = ((points - inputs["origin"]) / inputs["spacing"] - 0.5).T.numpy()
    expected = map_coordinates(inputs["volume"].numpy(), index, order=1, mode="nearest")
    place = inputs["origin"], inputs["spacing"]
    np.testing.assert_allclose(sample_volume(inputs["volume"], points, *place), expected, atol=1e-12)
    both = sample_volume(torch.stack([inputs["volume"], -inputs["volume"]]), points, *place)
    np.testing.assert_allclose(both, np.stack([expected, -expected], -1), atol=1e-12)


def test_gradients_are_in_world_units():
    """A linear volume 2 x - y + 3 z, in millimetres, has that gradient whatever the spacing."""
    origin, spacing = torch.tensor([1.0, -2, 4]).double(), torch.tensor([0.5, 1, 3]).double()
    index = torch.stack(torch.meshgrid(*(torch.arange(n) for n in (9, 8, 7)), indexing="ij"), -1)
    world = origin + (index + 0.5) * spacing
    slope = torch.tensor([2.0, -1, 3]).double()
    gradient = sample_gradient(world @ slope, world[3:5, 2:6, 2:4], origin, spacing)
    torch.testing.assert_close(gradient, slope.expand_as(gradient))


def test_rays_that_run_along_a_side():
    low, high = torch.zeros(3), torch.ones(3)
    origins = torch.tensor([[-1.0, 0.5, 0.5], [-1, 1.5, 0.5], [0.5, 0.5, 0.5], [3, 0.5, 0.5], [-1, 1, 1]])
    near, far = intersect_box(origins, torch.tensor([[1.0, 0, 0]]).expand(5, 3), low, high)
    assert near.tolist() == [1, -1, 0, -1, 1]
    assert far.tolist() == [2, -1, 0.5, -1, 2]


def test_the_first_row_is_above_and_the_first_column_left():
    eye, target, up = torch.tensor([[0.0, -4, 0], [0, 0, 0], [0, 0, 1]])
    for camera in ({"fov_y": 60.0}, {"height": 3.0}):
        origins, directions = camera_rays(eye, target, up, (3, 5), **camera)
        points = origins + 4 * directions
        assert points[0, 2, 2] > 0 > points[2, 2, 2]
        assert points[1, 0, 0] < 0 < points[1, 4, 0]
        torch.testing.assert_close(points[1, 2], target, atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="give one of the two"):
        camera_rays(eye, target, up, (2, 2))
