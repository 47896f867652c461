"""Parts of kMaX-DeepLab: axial attention, k-means step, decoder, backbones."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from dense3d.errors import ConfigError, DataError
from dense3d.segmentation.kmax_deeplab import (
    REACH,
    AxisAttention,
    ConvNorm,
    KMaXConvNeXt,
    KMaXDecoder,
    KMaXDecoderLayer,
    KMaXPixelDecoder,
    KMaXPredictor,
    PooledBranch,
    QueryAttention,
    assign_clusters,
    gather_clusters,
    relative_index,
    resize,
    truncated_normal_,
)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def set_statistics(module, inputs) -> None:
    """Give every batch norm the statistics of ``inputs``, as their population has them, and scales to see."""
    for norm in module.modules():
        if isinstance(norm, torch.nn.modules.batchnorm._BatchNorm):
            norm.momentum = 1.0
            torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
            torch.nn.init.uniform_(norm.bias, -0.5, 0.5)
    module.train()(*inputs)


def axis_attention_by_loops(attention: AxisAttention, x: torch.Tensor) -> torch.Tensor:
    """Attention along the height, pixel by pixel, norms as modules."""
    heads, length = attention.num_heads, x.shape[2]
    parts = attention.norm_qkv(attention.qkv(x)).split(attention.split, dim=1)
    query, key, value = (p.unflatten(1, (heads, -1)) for p in parts)  # (B, M, d, H, W)
    tables = attention.query_position, attention.key_position, attention.value_position
    terms = torch.zeros(x.shape[0] * x.shape[3], 3 * heads, length, length)
    content = torch.zeros(x.shape[0], heads, value.shape[2], length, x.shape[3])
    position = torch.zeros_like(content)
    for b in range(x.shape[0]):
        for w in range(x.shape[3]):
            for m in range(heads):
                for i in range(length):
                    for j in range(length):
                        q, k = query[b, m, :, i, w], key[b, m, :, j, w]
                        row = terms[b * x.shape[3] + w]
                        row[m, i, j] = q @ k
                        row[heads + m, i, j] = q @ tables[0][j - i + REACH]
                        row[2 * heads + m, i, j] = k @ tables[1][j - i + REACH]
    logits = attention.norm_logits(terms).unflatten(1, (3, heads)).sum(1)
    weight = logits.softmax(-1).unflatten(0, (x.shape[0], x.shape[3]))
    for i in range(length):
        for j in range(length):
            share = weight[:, :, :, i, j].permute(0, 2, 1)[:, :, None]  # (B, M, 1, W)
            content[:, :, :, i] += share * value[:, :, :, j]
            position[:, :, :, i] += share * tables[2][j - i + REACH][:, None]
    both = torch.cat((content.flatten(1, 2), position.flatten(1, 2)), dim=1)
    return sum(attention.norm_output(both).chunk(2, dim=1))


@pytest.mark.parametrize("training", [True, False])
def test_axis_attention_follows_its_definition(training):
    attention = AxisAttention(6, 4, 8, num_heads=2, axis=2)
    x = torch.randn(2, 6, 3, 4)
    set_statistics(attention, (x,))
    attention.train(training)
    with torch.no_grad():
        torch.testing.assert_close(attention(x), axis_attention_by_loops(attention, x), atol=1e-5, rtol=1e-4)


def test_rows_are_columns_of_the_transposed_map():
    columns, rows = (AxisAttention(6, 4, 8, num_heads=2, axis=axis).eval() for axis in (2, 3))
    rows.load_state_dict(columns.state_dict())
    x = torch.randn(2, 6, 3, 5)
    torch.testing.assert_close(rows(x), columns(x.transpose(2, 3)).transpose(2, 3))


def test_positions_beyond_the_table_share_its_ends():
    index = relative_index(600)
    assert index.min() == 0 and index.max() == 2 * REACH
    assert index[0, 0] == REACH and index[5, 4] == REACH - 1


def test_clusters_are_sums_and_pass_gradients_on():
    values = torch.randn(2, 5, 6, 7, requires_grad=True)
    assignment = torch.randint(0, 4, (2, 6, 7))
    hot = F.one_hot(assignment, 4).float()
    weight = torch.randn(2, 5, 4)
    ours, reference = gather_clusters(values, assignment, 4), torch.einsum("bhwn,bchw->bcn", hot, values)
    torch.testing.assert_close(ours, reference)
    gradients = [torch.autograd.grad((r * weight).sum(), values)[0] for r in (ours, reference)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_clusters_of_many_pixels_are_beyond_half_precision(dtype):
    """25,921 pixels of stride 8 in the recipe for COCO; half precision ends at 65,504."""
    values = torch.full((1, 2, 161, 161), 2.6, dtype=dtype)
    sums = gather_clusters(values, torch.zeros(1, 161, 161, dtype=torch.long), 2)
    expected = values[0, 0, 0, 0].double() * 161 * 161
    assert sums.dtype == torch.float32
    torch.testing.assert_close(sums[0, :, 0].double(), expected.expand(2), rtol=2e-3, atol=0)


def test_autocast_keeps_the_statistics_of_large_clusters_finite():
    layer = KMaXDecoderLayer(num_classes=3, pixel_channels=8).train()
    torch.nn.init.constant_(layer.value_proj.norm.bias, 3.0)  # so that clusters are sums of alike values
    torch.nn.init.ones_(layer.cluster_proj.norm.weight)
    with torch.autocast("cpu", torch.float16):
        queries, _ = layer(torch.randn(1, 8, 161, 161), torch.randn(1, 256, 2))
    assert torch.isfinite(queries).all()
    mean = layer.cluster_norm.running_mean / layer.cluster_norm.momentum
    # All pixels of an image, shared out to 2 clusters, each 3 on average.
    torch.testing.assert_close(mean, torch.full((256,), 3.0 * 161 * 161 / 2), rtol=0.02, atol=0)


def test_a_model_in_half_precision_as_a_whole_still_runs():
    layer = KMaXDecoderLayer(num_classes=3, pixel_channels=8).eval().to(torch.bfloat16)
    queries, _ = layer(torch.randn(1, 8, 5, 6).bfloat16(), torch.randn(1, 256, 4).bfloat16())
    assert queries.dtype == torch.bfloat16


def test_pooled_branch_of_a_single_image_takes_running_statistics():
    branch = PooledBranch(4, 6)
    branch(torch.randn(5, 4, 3, 3))  # gives the norm statistics
    torch.nn.init.uniform_(branch.norm.weight)
    before = copy.deepcopy(branch.state_dict())
    x = torch.randn(1, 4, 3, 3)
    found = branch.train()(x)
    found.sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in branch.state_dict().items())
    assert all(p.grad is not None for p in branch.parameters())
    torch.testing.assert_close(found, branch.eval()(x))


def test_pooled_branch_of_several_images_takes_theirs():
    branch = PooledBranch(4, 6).train()
    torch.nn.init.uniform_(branch.norm.weight)
    x = torch.randn(3, 4, 5, 5)
    expected = F.gelu(branch.norm(branch.conv(x.mean((2, 3), keepdim=True))))
    torch.testing.assert_close(branch(x), expected)


def test_empty_clusters_are_zero():
    sums = gather_clusters(torch.ones(1, 2, 3, 3), torch.zeros(1, 3, 3, dtype=torch.long), 3)
    assert sums[0, :, 0].tolist() == [9, 9] and sums[0, :, 1:].abs().sum() == 0


def test_assignment_has_no_gradient():
    logits = torch.randn(1, 4, 3, 3, requires_grad=True)
    assert not assign_clusters(logits).requires_grad


@pytest.mark.parametrize("batch", [1, 2])
def test_gradient_of_the_value_projection_is_that_of_differences(batch):
    """All the way through the norm before the k-means step, in evaluation mode too."""
    layer = KMaXDecoderLayer(num_classes=3, pixel_channels=8).double()
    torch.nn.init.ones_(layer.cluster_proj.norm.weight)
    layer.eval()
    features = torch.randn(batch, 8, 5, 6, dtype=torch.double)
    queries = torch.randn(batch, 256, 4, dtype=torch.double)
    sign = torch.randn(batch, 256, 4, dtype=torch.double)
    weight = layer.value_proj.conv.weight
    direction = torch.randn_like(weight)

    def total() -> torch.Tensor:
        return (layer(features, queries)[0] * sign).sum()

    analytic = (torch.autograd.grad(total(), weight)[0] * direction).sum()
    step = 1e-5
    with torch.no_grad():
        weight += step * direction
        above = total()
        weight -= 2 * step * direction
        below = total()
    torch.testing.assert_close(analytic, (above - below) / (2 * step), rtol=1e-5, atol=1e-6)


def test_query_attention_in_evaluation_is_that_of_training():
    attention = QueryAttention(16, 8, 16, num_heads=4)
    queries = torch.randn(64, 16, 32)
    set_statistics(attention, (queries,))
    for norm in attention.modules():  # running variances are unbiased; remove the difference
        if isinstance(norm, torch.nn.modules.batchnorm._BatchNorm):
            norm.momentum = 0.0
    with torch.no_grad():
        torch.testing.assert_close(
            attention.eval()(queries), attention.train()(queries), atol=5e-3, rtol=5e-3
        )


def test_predictor_starts_with_void():
    predictor = KMaXPredictor(num_classes=5).eval()
    prediction = predictor(torch.zeros(1, 256, 3), torch.zeros(1, 256, 3), torch.randn(1, 256, 4, 4))
    torch.testing.assert_close(prediction.logits.softmax(-1)[..., -1], torch.full((1, 3), 0.9))
    torch.testing.assert_close(prediction.pixels.norm(dim=1), torch.ones(1, 4, 4))


def test_queries_predict_before_they_are_updated():
    decoder = KMaXDecoder(3, num_queries=5, pixel_channels=(8, 8), layers_per_map=(2,)).eval()
    maps = [torch.randn(1, 8, 4, 6), torch.randn(1, 8, 8, 12)]
    first = decoder(maps)[0]
    layer = decoder.layers[0]
    projected = layer.query_proj(decoder.cluster_centers[None])
    direct = layer.predictor(projected, projected, layer.pixel_proj(F.gelu(maps[0])))
    torch.testing.assert_close(first.masks, direct.masks)


def test_initial_weights():
    conv = ConvNorm(64, 32, kernel_size=3)
    assert conv.conv.weight.abs().max() <= 2 * (2 / 64) ** 0.5
    assert conv.norm.eps == 1e-3 and conv.norm.momentum == 0.01
    deviation = truncated_normal_(torch.empty(100_000), 1.0).std()
    assert abs(deviation - 0.8796) < 0.01  # of a unit normal cut off at 2


@pytest.mark.parametrize(("size", "corners"), [(5, True), (4, False)])
def test_odd_maps_keep_their_corners(size, corners):
    x = torch.randn(1, 1, size, size)
    expected = F.interpolate(x, (9, 9), mode="bilinear", align_corners=corners)
    torch.testing.assert_close(resize(x, (9, 9)), expected)


@pytest.mark.parametrize("size", [(33, 65), (64, 96), (50, 71)])
def test_pixel_decoder_takes_any_size(size):
    channels = (8, 8, 8, 8)
    maps = [torch.randn(1, c, -(-size[0] // s), -(-size[1] // s)) for c, s in zip(channels, (32, 16, 8, 4))]
    outputs = KMaXPixelDecoder(channels, base_channels=(8, 8, 8, 8))(maps)
    assert [o.shape[-2:] for o in outputs] == [m.shape[-2:] for m in maps]


def test_pixel_decoder_refuses_lists_that_do_not_fit():
    with pytest.raises(ConfigError, match="3 maps"):
        KMaXPixelDecoder((8, 8, 8))
    with pytest.raises(ConfigError, match="no block 'axail'"):
        KMaXPixelDecoder((8,), base_channels=(8,), num_blocks=(1,), kinds=("axail",))
    with pytest.raises(DataError, match="takes 1 maps, not 2"):
        KMaXPixelDecoder((8,), base_channels=(8,), num_blocks=(1,), kinds=("axial",))(
            [torch.zeros(1, 8, 2, 2)] * 2
        )


@pytest.mark.parametrize("size", [(65, 97), (64, 96), (70, 33)])
def test_convnext_rounds_up(size):
    backbone = KMaXConvNeXt(dict(dims=(4, 8, 8, 8), depths=(1, 1, 1, 1)), with_stem=True)
    maps = backbone(torch.randn(1, 3, *size))
    expected = [tuple(-(-n // stride) for n in size) for stride in (4, 4, 8, 16, 32)]
    assert [tuple(m.shape[-2:]) for m in maps] == expected
    assert [m.shape[1] for m in maps] == list(backbone.out_channels)
