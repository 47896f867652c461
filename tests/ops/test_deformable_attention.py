"""Multi-scale deformable attention: official numbers, the reference, gradients, threads, torch transforms."""

from __future__ import annotations

import platform
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from dense3d.errors import OperatorUnavailableError
from dense3d.ops import deformable_attention as module
from dense3d.ops import multi_scale_deformable_attention as attention
from dense3d.ops import multi_scale_deformable_attention_reference as reference
from tests.golden.make import thinned

SHAPES = [(6, 5), (3, 4), (1, 1)]


def make_inputs(channels=8, queries=7, points=2, heads=2, shapes=SHAPES, dtype=torch.float32, batch=2):
    """Value, locations (a few outside), weights and the gradient of the output."""
    random = torch.Generator().manual_seed(0)

    def uniform(*size):
        return torch.rand(*size, generator=random, dtype=torch.float64)

    num_keys, levels = sum(h * w for h, w in shapes), len(shapes)
    value = uniform(batch, num_keys, heads, channels) - 0.5
    locations = uniform(batch, queries, heads, levels, points, 2) * 1.6 - 0.3
    weights = uniform(batch, queries, heads, levels, points)
    grad_output = uniform(batch, queries, heads * channels) - 0.5
    return [t.to(dtype) for t in (value, locations, weights, grad_output)]


def run(function, value, shapes, locations, weights, grad_output, **options):
    """Output and the gradients of value, locations and weights."""
    leaves = [t.clone().requires_grad_() for t in (value, locations, weights)]
    output = function(leaves[0], shapes, leaves[1], leaves[2], **options)
    output.backward(grad_output.to(output.dtype))
    return [output.detach(), *(leaf.grad for leaf in leaves)]


@pytest.mark.parametrize("backend", ["numba", "reference"])
@pytest.mark.parametrize(
    ("kit", "check", "output"),
    [
        ("mmcv-ops", "multi_scale_deformable_attention", "y"),
        ("relation-detr-msda", "core", "output"),
    ],
)
def test_equals_official_numbers(golden_dir: Path, kit, check, output, backend):
    with np.load(golden_dir / kit / "tensors.npz") as data:
        stored = {key: torch.from_numpy(data[key]) for key in data.files if f"/{check}/" in key}
    given = {key.split("/")[-1]: tensor for key, tensor in stored.items() if key.startswith("in/")}
    expected = {key.split("/")[-1]: tensor for key, tensor in stored.items() if key.startswith("out/")}
    shapes, locations = given["spatial_shapes"], given["sampling_locations"]
    results = run(
        attention,
        given["value"],
        shapes,
        locations,
        given["attention_weights"],
        given["grad_output"],
        backend=backend,
    )
    pixels = locations.double() * shapes.flip(1)[:, None].double() - 0.5
    smooth = (pixels - pixels.round()).abs() > 1e-4  # elsewhere the gradients of locations are one-sided
    smooth = smooth.all(-1, keepdim=True).expand_as(locations)
    names = (output, "grad_value", "grad_sampling_locations", "grad_attention_weights")
    assert smooth.float().mean() > 0.5
    for name, result in zip(names, results):
        mask = smooth if name == "grad_sampling_locations" else torch.ones_like(result, dtype=torch.bool)
        result, mask = (torch.from_numpy(thinned(t.numpy())) for t in (result, mask))  # as the kit is
        torch.testing.assert_close(result[mask], expected[name][mask], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3, 32])
def test_gradcheck(channels):
    value, locations, weights, _ = make_inputs(channels, queries=2, points=1, dtype=torch.float64, batch=1)
    leaves = [t.requires_grad_() for t in (value, locations, weights)]
    assert torch.autograd.gradcheck(
        lambda v, x, w: attention(v, SHAPES, x, w, backend="numba"), leaves, fast_mode=channels > 3
    )


@pytest.mark.parametrize("queries", [1, 150])  # more than one block of queries
@pytest.mark.parametrize("channels", [3, 32])
def test_equals_reference(channels, queries):
    inputs = make_inputs(channels, queries)
    expected = run(reference, inputs[0], SHAPES, *inputs[1:])
    for shapes in (SHAPES, torch.tensor(SHAPES)):
        results = run(attention, inputs[0], shapes, *inputs[1:], backend="numba")
        for result, truth in zip(results, expected):
            torch.testing.assert_close(result, truth, rtol=1e-4, atol=1e-5)


def test_strided_inputs():
    value, locations, weights, grad = make_inputs()
    expected = run(attention, value, SHAPES, locations, weights, grad)
    value = value.transpose(1, 2).contiguous().transpose(1, 2)
    locations = locations.flip(-1).flip(-1).permute(5, 0, 1, 2, 3, 4).contiguous().permute(1, 2, 3, 4, 5, 0)
    results = run(attention, value, SHAPES, locations, weights, grad[:1].expand_as(grad) * 0 + grad)
    for result, truth in zip(results, expected):
        assert torch.equal(result, truth)


@pytest.mark.parametrize(
    ("sizes", "shapes"),
    [
        ({"channels": 1025}, [(3, 4)]),  # numba's tuples end at 1,000
        ({"channels": 1000}, [(2, 2)]),
        ({"heads": 300, "channels": 1}, [(3, 4)]),
        ({"points": 300}, [(3, 4)]),
        ({"points": 0}, [(3, 4)]),
        ({"heads": 0}, [(3, 4)]),
        ({"channels": 0}, [(3, 4)]),
        ({}, [(1, 2)] * 60),
        ({}, [(3, 4), (0, 5)]),
        ({}, [(0, 0), (0, 5)]),
        ({}, []),
    ],
)
def test_extreme_shapes(sizes, shapes):
    inputs = make_inputs(**{"queries": 3, "channels": 4, "shapes": shapes, **sizes})
    expected = run(reference, inputs[0], shapes, *inputs[1:])
    results = run(attention, inputs[0], shapes, *inputs[1:], backend="numba")
    for result, truth in zip(results, expected):
        torch.testing.assert_close(result, truth, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("backend", ["numba", "reference"])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("edge", [-1, 4])
def test_a_whole_pixel_outside_there_is_no_gradient(backend, axis, edge):
    """As in the official kernel: at -1 and at the size itself, not only beyond."""
    location = torch.full((1, 1, 1, 1, 1, 2), 0.5)
    location[..., axis] = (edge + 0.5) / 4
    ones = torch.ones(1, 16, 1, 1)
    output, *gradients = run(
        attention, ones, [(4, 4)], location, ones[:, :1, ..., None], ones[:, :1, :, 0], backend=backend
    )
    assert output.item() == 0
    assert all((gradient == 0).all() for gradient in gradients)


@pytest.mark.parametrize("backend", ["numba", "reference"])
def test_locations_that_are_not_finite_count_as_outside(backend):
    value, locations, weights, grad = make_inputs()
    locations[0, 0] = float("nan")
    locations[0, 1] = float("inf")
    locations[0, 2] = 1e30
    output, *grads = run(attention, value, SHAPES, locations, weights, grad, backend=backend)
    assert (output[0, :3] == 0).all()
    assert all(g.isfinite().all() for g in grads)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="rounding of grid_sample on x86")
def test_one_sided_gradients_take_the_side_of_the_reference():
    """DETR encoders start with every sampling point on a pixel centre, where rounding decides the side."""
    height, width = 25, 34
    shapes = [(height, width)]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    centres = torch.stack([(columns + 0.5) / width, (rows + 0.5) / height], -1).view(1, -1, 1, 1, 1, 2)
    offsets = torch.tensor([[2.0, 0.0], [0.0, -1.0]]) / torch.tensor([width, height])
    locations = centres + offsets
    value, _, weights, grad = make_inputs(4, height * width, 2, 1, shapes, batch=1)
    expected = run(reference, value, shapes, locations, weights, grad)
    results = run(attention, value, shapes, locations, weights, grad, backend="numba")
    torch.testing.assert_close(results[2], expected[2], rtol=1e-4, atol=1e-4)


def test_same_bits_for_every_number_of_threads():
    inputs = make_inputs(8, 300)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 2):
            torch.set_num_threads(threads)
            results.append(run(attention, inputs[0], SHAPES, *inputs[1:], backend="numba"))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other))


def test_concurrent_calls_from_several_threads():
    inputs = make_inputs(8, 100)
    expected = run(attention, inputs[0], SHAPES, *inputs[1:], backend="numba")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with ThreadPoolExecutor(4) as pool:
            jobs = [pool.submit(run, attention, inputs[0], SHAPES, *inputs[1:]) for _ in range(40)]
            results = [job.result(timeout=60) for job in jobs]
    finally:
        torch.set_num_threads(before)
    for result in results:
        assert all(torch.equal(a, b) for a, b in zip(result, expected))


class _AttentionInWorker(Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> torch.Tensor:
        torch.set_num_threads(2)
        value, locations, weights, _ = make_inputs()
        return attention(value, SHAPES, locations, weights, backend="numba")


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_works_in_forked_workers_after_use_in_the_parent():
    dataset = _AttentionInWorker()
    before = torch.get_num_threads()
    try:
        expected = dataset[0]  # starts threads in the parent
        loader = DataLoader(dataset, num_workers=2, multiprocessing_context="fork", timeout=60)
        outputs = list(loader)
    finally:
        torch.set_num_threads(before)
    assert len(outputs) == 4
    assert all(torch.equal(output[0], expected) for output in outputs)


@pytest.mark.parametrize("backend", ["numba", "reference"])
@pytest.mark.parametrize(("batch", "queries"), [(0, 3), (2, 0)])
def test_empty_batch_or_queries(batch, queries, backend):
    inputs = make_inputs(4, queries, batch=batch)
    output, *grads = run(attention, inputs[0], SHAPES, *inputs[1:], backend=backend)
    assert output.shape == (batch, queries, 8)
    assert all(grad.count_nonzero() == 0 for grad in grads)
    assert [grad.shape for grad in grads] == [t.shape for t in inputs[:3]]


@pytest.mark.parametrize("backend", ["numba", "reference"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype, backend):
    inputs = [t.to(dtype) for t in make_inputs()]
    expected = run(reference, inputs[0].float(), SHAPES, *(t.float() for t in inputs[1:]))
    results = run(attention, inputs[0], SHAPES, *inputs[1:], backend=backend)
    assert all(result.dtype == dtype for result in results)
    for result, truth in zip(results, expected):
        torch.testing.assert_close(result, truth.to(dtype), rtol=2e-2, atol=2e-3)


def test_autocast_keeps_float32():
    value, locations, weights, _ = make_inputs()
    inputs = (value.bfloat16(), locations, weights)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = attention(inputs[0], SHAPES, *inputs[1:])
    assert output.dtype == torch.float32
    expected = reference(inputs[0].float(), SHAPES, *inputs[1:])
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shapes", [SHAPES, torch.tensor(SHAPES)], ids=["list", "tensor"])
def test_torch_func_transforms(shapes):
    value, locations, weights, _ = make_inputs()

    def loss(one_value, one_locations, one_weights):
        return attention(one_value[None], shapes, one_locations[None], one_weights[None]).square().sum()

    per_sample = torch.func.vmap(torch.func.grad(loss))(value, locations, weights)
    leaf = value.clone().requires_grad_()
    attention(leaf, SHAPES, locations, weights).square().sum().backward()
    torch.testing.assert_close(per_sample, leaf.grad, rtol=1e-4, atol=1e-5)


def test_registration_with_torch():
    """Schema, autograd, shapes without data and tracing, as torch's own checker sees them."""
    from dense3d.ops.deformable_attention_cpu import deformable_attention

    value, locations, weights, _ = make_inputs(4, 3)
    leaves = [t.requires_grad_() for t in (value, locations, weights)]
    torch.library.opcheck(deformable_attention.default, (leaves[0], torch.tensor(SHAPES), *leaves[1:]))


def test_compiles_without_a_graph_break():
    value, locations, weights, _ = make_inputs(4, 3)
    shapes = torch.tensor(SHAPES)
    compiled = torch.compile(attention, backend="aot_eager", fullgraph=True)
    assert torch.equal(
        compiled(value, shapes, locations, weights), attention(value, shapes, locations, weights)
    )


@pytest.mark.skipif(not hasattr(torch.compiler, "is_exporting"), reason="this torch does not tell of export")
def test_exported_program_needs_torch_only():
    class Layer(torch.nn.Module):
        def forward(self, value, locations, weights):
            return attention(value, SHAPES, locations, weights)

    value, locations, weights, _ = make_inputs(4, 3)
    program = torch.export.export(Layer(), (value, locations, weights))
    targets = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert not [target for target in targets if "dense3d" in target]
    torch.testing.assert_close(
        program.module()(value, locations, weights), attention(value, SHAPES, locations, weights)
    )


def test_shapes_without_data():
    tensors = [t.to("meta") for t in make_inputs()]
    output = attention(tensors[0], SHAPES, *tensors[1:3])
    assert output.shape == tensors[3].shape


def test_second_derivative_is_refused():
    value, locations, weights, _ = make_inputs()
    leaf = value.requires_grad_()
    output = attention(leaf, SHAPES, locations, weights, backend="numba")
    (grad,) = torch.autograd.grad(output.square().sum(), leaf, create_graph=True)
    with pytest.raises(OperatorUnavailableError, match="no second derivatives"):
        grad.sum().backward()


@pytest.mark.parametrize("backend", ["numba", "reference"])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_spatial_shapes_must_cover_the_value(backend, as_tensor):
    value, locations, weights, _ = make_inputs()
    shapes = [(6, 50), (3, 4), (1, 1)]  # would read beyond the end
    with pytest.raises(ValueError, match=r"43 pixels|value has 43"):
        attention(value, torch.tensor(shapes) if as_tensor else shapes, locations, weights, backend=backend)


@pytest.mark.parametrize("wrong", ["levels", "heads", "batch", "weights", "value"])
def test_shapes_must_fit_together(wrong):
    value, locations, weights, _ = make_inputs()
    if wrong == "levels":
        locations, weights = locations[:, :, :, :2], weights[:, :, :, :2]
    elif wrong == "heads":
        locations, weights = locations[:, :, :1], weights[:, :, :1]
    elif wrong == "batch":
        locations, weights = locations[:1], weights[:1]
    elif wrong == "weights":
        weights = weights[..., :1]
    else:
        value = value.flatten(2)
    with pytest.raises(ValueError, match="do not fit"):
        attention(value, SHAPES, locations, weights)


def test_numba_that_cannot_be_imported_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, "dense3d.ops.deformable_attention_kernels", raising=False)
    monkeypatch.setitem(sys.modules, "numba", None)
    assert "numba cannot be imported" in module._numba_unavailable()


def test_kernels_compile_where_no_cache_folder_is_writable(monkeypatch):
    from dense3d.ops import deformable_attention_kernels as kernels

    def njit_without_locator(cache=False, **_options):
        def decorate(function):
            if cache:
                raise RuntimeError(f"cannot cache function {function.__name__!r}: no locator available")
            return function

        return decorate

    monkeypatch.setattr(kernels, "njit", njit_without_locator)
    assert kernels._jit()(abs) is abs


def test_deformops_adapter_equals_reference():
    """Its plain torch backend takes the same arguments as its Triton kernels."""
    pytest.importorskip("deformops", reason="deformops is not installed (it needs Python 3.12)")
    inputs = make_inputs()
    expected = run(reference, inputs[0], SHAPES, *inputs[1:])
    results = run(module._deformops, inputs[0], SHAPES, *inputs[1:])
    for result, truth in zip(results, expected):
        torch.testing.assert_close(result, truth, rtol=1e-4, atol=1e-5)


def test_mmcv_adapter_passes_what_its_function_takes(monkeypatch):
    """mmcv's order of arguments; the stand-in for its function computes the reference from them."""

    class Function:
        @staticmethod
        def apply(value, shapes, starts, locations, weights, im2col_step):
            assert starts.tolist() == [0, 30, 42]
            assert value.shape[0] % im2col_step == 0
            return reference(value, shapes, locations, weights)

    fake = types.ModuleType("mmcv.ops.multi_scale_deform_attn")
    fake.MultiScaleDeformableAttnFunction = Function
    monkeypatch.setitem(sys.modules, fake.__name__, fake)
    value, locations, weights, _ = make_inputs()
    expected = reference(value, SHAPES, locations, weights)
    assert torch.equal(module._mmcv(value, SHAPES, locations, weights), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_equals_reference():
    inputs = [t.cuda() for t in make_inputs(32, 50)]
    expected = run(reference, inputs[0], SHAPES, *inputs[1:])
    results = run(attention, inputs[0], SHAPES, *inputs[1:])
    for result, truth in zip(results, expected):
        torch.testing.assert_close(result, truth, rtol=1e-3, atol=1e-4)
