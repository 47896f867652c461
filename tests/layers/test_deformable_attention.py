"""Deformable attention as a module, against mmcv's module with the same weights."""

from __future__ import annotations

import math

import pytest
import torch

from dense3d.layers.deformable_attention import MultiScaleDeformableAttention, cell_centres

SHAPES = [(5, 7), (3, 4)]
CELLS = 47


@pytest.fixture
def modules():
    torch.manual_seed(0)
    from mmcv.ops import MultiScaleDeformableAttention as Peer

    import dense3d.registry  # noqa: F401  mmcv's operators need the stand-in for its extension

    ours = MultiScaleDeformableAttention(32, num_heads=4, num_levels=2, num_points=3)
    peer = Peer(32, num_heads=4, num_levels=2, num_points=3, dropout=0.0, batch_first=True)
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    peer.load_state_dict(ours.state_dict())
    return ours, peer


@pytest.mark.parametrize("coordinates", [2, 4])
def test_equals_mmcv(modules, coordinates):
    ours, peer = modules
    query, value = torch.randn(2, 9, 32), torch.randn(2, CELLS, 32)
    references, padding = torch.rand(2, 9, 2, coordinates), torch.rand(2, CELLS) < 0.3
    output = ours(query, references, ours.project_value(value, padding), SHAPES)
    expected = peer(
        query,
        value=value,
        identity=torch.zeros_like(query),
        key_padding_mask=padding,
        reference_points=references,
        spatial_shapes=torch.tensor(SHAPES),
        level_start_index=torch.tensor([0, 35]),
    )
    assert torch.allclose(output, expected, atol=1e-5)


def test_heads_look_in_their_directions_at_first():
    attention = MultiScaleDeformableAttention(16, num_heads=8, num_levels=2, num_points=3)
    offsets = attention.sampling_offsets.bias.view(8, 2, 3, 2)
    for head in range(8):
        x, y = math.cos(math.pi * head / 4), math.sin(math.pi * head / 4)
        longest = max(abs(x), abs(y))
        for point in range(3):
            expected = [(point + 1) * x / longest, (point + 1) * y / longest]
            assert offsets[head, 1, point].tolist() == pytest.approx(expected, abs=1e-5)
    assert not attention.attention_weights.weight.any()


def test_cell_centres_go_level_by_level_and_row_by_row():
    centres = cell_centres([(2, 3), (1, 1)])
    torch.testing.assert_close(centres[[4, 6]], torch.tensor([[0.5, 0.75], [0.5, 0.5]]))
