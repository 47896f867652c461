"""Grids of colour and density: closed forms, the compiled path against the reference, gradients, skipping."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.integrate import quad

from dense3d.ops import cast_rays_reference, grid_occupancy, render_grid, render_grid_reference
from dense3d.ops.grid_rendering import contracted_places
from dense3d.ops.volume_rendering_rays import camera_rays

BACKENDS = ("numba", "reference")


def scene(seed: int, shape=(11, 18, 9), rays=(7, 9), dtype=torch.float64, empty: float = 0.6) -> dict:
    """Blocks of random voxels, more or less of them empty, in an odd box, and a camera close to it."""
    random = torch.Generator().manual_seed(seed)
    grid = torch.rand(*shape, 4, generator=random, dtype=torch.float64)
    grid[..., 3] = 3 * (grid[..., 3] - empty)
    grid[8:, :, :, 3] = -1.0  # a whole layer of bricks
    spacing = 0.5 + torch.rand(3, generator=random, dtype=torch.float64)
    origin = 4 * torch.rand(3, generator=random, dtype=torch.float64)
    size = spacing * torch.tensor(shape)
    eye = origin + size / 2 + torch.randn(3, generator=random, dtype=torch.float64) * size.norm()
    up = torch.tensor([0.3, -0.2, 1.0]).double()
    origins, directions = camera_rays(eye, origin + size / 2, up, rays, fov_y=50.0)
    return dict(
        grid=grid.to(dtype), origins=origins, directions=directions, origin=origin, spacing=spacing, step=0.4
    )


def with_shell(inputs: dict) -> dict:
    size = inputs["spacing"] * torch.tensor(inputs["grid"].shape[:3])
    return inputs | {"shell": 0.5, "near": 0.1, "far": float(20 * size.norm())}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("step", [0.07, 0.9, 50.0])
def test_fog_of_one_density_is_exact_for_any_step(backend, step):
    inputs = scene(0) | {"step": step}
    inputs["grid"] = torch.tensor([0.2, 0.9, 0.4, 0.3]).double().expand(11, 18, 9, 4)
    low = inputs["origin"]
    high = low + inputs["spacing"] * torch.tensor([11, 18, 9])
    sides = torch.stack([low - inputs["origins"], high - inputs["origins"]]) / inputs["directions"]
    way = (sides.amax(0).amin(-1) - sides.amin(0).amax(-1).clamp(min=0)).clamp(min=0)
    assert (way > 0).any()
    found = render_grid(**inputs, background=torch.tensor([1.0, 0, 0]).double(), backend=backend)
    left = torch.exp(-0.3 * way)
    torch.testing.assert_close(found.opacity, 1 - left)
    expected = (1 - left[..., None]) * torch.tensor([0.2, 0.9, 0.4]).double()
    expected[..., 0] += left
    torch.testing.assert_close(found.values, expected)


def test_a_density_that_rises_along_the_ray_is_its_integral():
    """Density 0.2 + 0.3 x between voxel centres: opacity 1 - exp(-integral), depth by quadrature."""
    x = torch.arange(12).double() + 0.5
    grid = torch.ones(12, 3, 3, 4).double()
    grid[..., 3] = (0.2 + 0.3 * x)[:, None, None]
    ray = torch.tensor([[0.5, 1.4, 1.6]]).double(), torch.tensor([[1.0, 0, 0]]).double()
    place = dict(origin=torch.zeros(3), spacing=torch.ones(3), step=1e-3, far=6.0)

    def passed(t: float) -> float:
        return math.exp(-(0.2 * t + 0.3 * ((0.5 + t) ** 2 - 0.25) / 2))

    seen, _ = quad(lambda t: t * (0.2 + 0.3 * (0.5 + t)) * passed(t), 0, 6)
    for backend in BACKENDS:
        found = render_grid(grid, *ray, **place, backend=backend)
        assert found.opacity.item() == pytest.approx(1 - passed(6), rel=1e-6)
        assert found.distance.item() == pytest.approx(seen, rel=1e-6)
        assert found.depth.item() == pytest.approx(seen / (1 - passed(6)), rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shell", [False, True])
def test_compiled_results_and_gradients_are_those_of_the_reference(dtype, shell):
    random = torch.Generator().manual_seed(0)
    for seed, stop in ((0, 0.0), (1, 0.0), (2, 0.3)):
        inputs = scene(seed, dtype=dtype) | {"min_transmittance": stop}
        inputs = with_shell(inputs) if shell else inputs
        inputs["offsets"] = torch.rand(7, 9, generator=random)
        found = []
        for backend in BACKENDS:
            leaves = (
                inputs["grid"].clone().requires_grad_(),
                torch.rand(3).to(dtype).fill_(0.3).requires_grad_(),
            )
            result = render_grid(leaves[0], **without_grid(inputs), background=leaves[1], backend=backend)
            assert result.opacity.max() > 0.2
            loss = (
                result.values.square().sum() + result.opacity.exp().sum() + 0.1 * result.distance.sin().sum()
            )
            found.append((*result, *torch.autograd.grad(loss, leaves)))
        for one, two in zip(*found):
            if dtype == torch.float64:
                torch.testing.assert_close(one, two)
            else:  # a density that is rounded to below 0 has no gradient
                far = (one - two).abs() > 2e-4 * (1 + two.abs())
                assert far.double().mean() < 2e-3


def without_grid(inputs: dict) -> dict:
    return {name: value for name, value in inputs.items() if name != "grid"}


@pytest.mark.parametrize("shell", [False, True])
def test_the_compiled_gradient_is_that_of_differences(shell):
    inputs = scene(3, shape=(4, 3, 5), rays=(2, 3), empty=-0.1) | {"step": 0.8}
    inputs = with_shell(inputs) if shell else inputs
    grid = inputs["grid"].clone()
    grid[..., 3] += 0.2 - grid[..., 3].min()  # off the edge at 0
    background = torch.rand(3).double().requires_grad_()

    def render(grid, background):
        return render_grid(grid, **without_grid(inputs), background=background, backend="numba")

    assert torch.autograd.gradcheck(render, (grid.requires_grad_(), background))


def test_the_reference_differentiates_by_rays():
    inputs = scene(4, shape=(5, 4, 6), rays=(2, 2)) | {"step": 0.5}
    leaves = [inputs.pop(name).clone().requires_grad_() for name in ("grid", "origins", "directions")]
    assert torch.autograd.gradcheck(lambda *tensors: render_grid(*tensors, **inputs), leaves)


@pytest.mark.parametrize("shell", [False, True])
def test_skipping_empty_bricks_changes_no_bit(shell):
    from dense3d.ops.grid_rendering import March, _rays
    from dense3d.ops.grid_rendering_cpu import render_flat

    for seed in range(3):
        inputs = scene(seed, shape=(40, 9, 33), dtype=torch.float32, empty=0.3)
        x = torch.arange(40)[:, None, None] - 20
        inputs["grid"][..., 3] = 2 - 0.4 * (x**2 + (torch.arange(33) - 16) ** 2).sqrt()  # a rod along y
        assert 0 < grid_occupancy(inputs["grid"]).double().mean() < 0.7
        inputs = with_shell(inputs) if shell else inputs
        march = March(inputs["origin"], inputs["spacing"], 0.4, inputs.get("far", math.inf), 0.5 * shell, 0.0)
        rays = _rays(inputs["grid"], inputs["origins"], inputs["directions"], None, 0.0, march)
        one, two = (render_flat(inputs["grid"], rays, march, None, skip) for skip in (True, False))
        assert torch.equal(one, two) and one[:, 4].min() < 0.9


def test_a_brick_is_occupied_where_a_sample_can_meet_density():
    from dense3d.ops.grid_rendering_cpu import occupied_bricks

    random = torch.Generator().manual_seed(0)
    grid = torch.full((17, 8, 20, 4), -1.0)
    for place in torch.randint(0, 8, (5, 3), generator=random) * torch.tensor([2, 1, 2]):
        grid[(*place.tolist(), 3)] = 1.0
    grid[16, 3, 8, 3] = 1.0
    compiled = occupied_bricks(grid)
    for b in [(x, y, z) for x in range(3) for y in range(1) for z in range(3)]:
        seen = grid[tuple(slice(8 * i, 8 * i + 9) for i in b)][..., 3]
        assert compiled[b] == (seen > 0).any()
    density = torch.nn.functional.pad(grid[None, None, ..., 3], (0, 5, 0, 1, 0, 8), value=-1.0)
    assert torch.equal(torch.nn.functional.max_pool3d(density, 9, 8)[0, 0] > 0, compiled)


@pytest.mark.parametrize("shell", [False, True])
def test_bricks_that_are_not_occupied_count_nothing(shell):
    inputs = scene(5, shape=(17, 18, 9), empty=-0.2)
    inputs = with_shell(inputs) if shell else inputs
    occupied = torch.rand(3, 3, 2, generator=torch.Generator().manual_seed(1)) > 0.4
    found = [render_grid(**inputs, occupied=occupied, backend=backend) for backend in BACKENDS]
    for one, two in zip(*found):
        torch.testing.assert_close(one, two)
    assert (found[0].opacity < render_grid(**inputs).opacity - 1e-3).any()


def test_a_grid_of_one_value_a_voxel_is_a_cast_volume():
    """:func:`cast_rays` with a linear transfer function of slope one: the same samples, colours 0."""
    inputs = scene(6, empty=0.0)
    inputs["grid"][..., :3] = 0
    inputs["grid"][..., 3].clamp_(min=0)
    found = render_grid(**inputs)
    rows = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 9.0]]).double()
    rest = {name: value for name, value in inputs.items() if name != "grid"}
    volume = inputs["grid"][..., 3].contiguous()
    expected = cast_rays_reference(
        volume, positions=torch.tensor([0, 9.0]).double(), rgb_extinction=rows, **rest
    )
    torch.testing.assert_close(found.opacity, expected[..., 3])


def test_batches_are_their_items_and_nothing_is_no_error():
    items = [scene(seed) for seed in (0, 1)]
    place = dict(origin=items[0]["origin"], spacing=items[0]["spacing"], step=0.4)
    names = ("grid", "origins", "directions")
    stacked = [torch.stack([item[name] for item in items]) for name in names]
    background = torch.rand(2, 7, 9, 3).double()
    both = render_grid(*stacked, **place, background=background)
    for b, item in enumerate(items):
        alone = render_grid(*(item[name] for name in names), **place, background=background[b])
        for one, two in zip(both, alone):
            assert torch.equal(one[b], two)
    none = render_grid(*(tensor[:0] for tensor in stacked), **place)
    assert none.values.shape == (0, 7, 9, 3) and none.distance.shape == (0, 7, 9)
    for backend in BACKENDS:
        empty = render_grid(stacked[0][0], torch.zeros(0, 3), torch.zeros(0, 3), **place, backend=backend)
        assert empty.values.shape == (0, 3)


def test_gradients_do_not_depend_on_threads():
    before, found = torch.get_num_threads(), []
    inputs = scene(7, shape=(16, 12, 10), rays=(20, 20), dtype=torch.float32, empty=-0.5)
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            leaf = inputs["grid"].clone().requires_grad_()
            render_grid(leaf, **without_grid(inputs)).values.square().sum().backward()
            found.append(leaf.grad)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


def test_all_of_space_is_in_a_shell():
    """Continuous at the box, and the largest coordinate of what is infinitely far is 1 + shell."""
    low, size = torch.tensor([-3.0, -3, -6]).double(), torch.tensor([6.0, 6, 12]).double()
    points = torch.tensor([[2.0, 0, 0], [2 + 1e-9, 0, 0], [1e9, 0, 0], [0, -8, 0], [0, 0, 8]]).double()
    found = contracted_places(points, low, size, shell=0.5)
    expected = [[2, 0, 0], [2, 0, 0], [3, 0, 0], [0, -2 * (1.5 - 0.5 / 4), 0], [0, 0, 4 * (1.5 - 0.5 / 2)]]
    torch.testing.assert_close(found, torch.tensor(expected).double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_fog_in_a_shell_is_as_thick_as_the_grid(backend):
    """From the middle along an axis, half length h and shell s: h, and the integral of s h^2 / x^2 beyond."""
    grid = torch.tensor([1.0, 1, 1, 0.2]).double().expand(6, 6, 6, 4)
    ray = torch.zeros(1, 3).double(), torch.tensor([[0.0, 0, 1]]).double()
    place = dict(origin=torch.full((3,), -6.0), spacing=torch.full((3,), 2.0))
    found = render_grid(grid, *ray, **place, shell=0.5, far=1e5, step=4e-3, backend=backend)
    assert found.opacity.item() == pytest.approx(1 - math.exp(-0.2 * (4 + 0.5 * 4)), rel=4e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grid": torch.zeros(3, 3, 3, 3)}, r"a floating-point grid \(X, Y, Z, 4\)"),
        ({"grid": torch.zeros(3, 3, 3, 4, dtype=torch.uint8)}, "uint8"),
        ({"grid": torch.zeros(3, 0, 3, 4)}, "at least one voxel"),
        ({"grid": torch.zeros(3, 3, 3, 3, 4)}, "3 grids need rays"),
        ({"origins": torch.zeros(4, 2)}, "rays are"),
        ({"offsets": torch.zeros(4)}, "one offset a ray"),
        ({"occupied": torch.zeros(1, 1, 1)}, "occupied is bool"),
        ({"step": math.nan}, "step must be positive"),
        ({"near": 2.0, "far": 1.0}, "near must be"),
        ({"shell": 0.5}, "needs a finite far"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        render_grid(**(scene(0) | change))


def test_the_reference_is_a_function_of_its_own():
    inputs = scene(8)
    assert torch.equal(
        render_grid_reference(**inputs).values, render_grid(**inputs, backend="reference").values
    )
