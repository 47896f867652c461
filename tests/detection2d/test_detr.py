"""DETR with pre-norm and queries on a grid: layers against torch's, where queries look, what they match."""

from __future__ import annotations

import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch import nn

from dense3d.apis import build_model
from dense3d.config import load_config
from dense3d.detection2d.detr import PreNormDecoderLayer, PreNormDETR, PreNormEncoderLayer, QueryCellCost
from dense3d.errors import ConfigError

CHANNELS, HEADS = 32, 4


def _attention() -> dict:
    return dict(embed_dims=CHANNELS, num_heads=HEADS, dropout=0.0, batch_first=True)


def _feed_forward() -> dict:
    return dict(embed_dims=CHANNELS, feedforward_channels=64, num_fcs=2, ffn_drop=0.0)


def _copy(ours: nn.Module, peer: nn.Module, attentions: dict[str, str]) -> None:
    """Weights of torch's layer into ours."""
    for name, peer_name in attentions.items():
        getattr(ours, name).attn.load_state_dict(getattr(peer, peer_name).state_dict())
    ours.ffn.layers[0][0].load_state_dict(peer.linear1.state_dict())
    ours.ffn.layers[1].load_state_dict(peer.linear2.state_dict())
    for index, norm in enumerate(ours.norms):
        nn.init.normal_(norm.weight)
        getattr(peer, f"norm{index + 1}").load_state_dict(norm.state_dict())


def test_encoder_layer_is_the_norm_first_layer_of_torch() -> None:
    torch.manual_seed(0)
    peer = nn.TransformerEncoderLayer(CHANNELS, HEADS, 64, dropout=0.0, batch_first=True, norm_first=True)
    ours = PreNormEncoderLayer(self_attn_cfg=_attention(), ffn_cfg=_feed_forward())
    _copy(ours, peer, {"self_attn": "self_attn"})
    features = torch.randn(2, 7, CHANNELS)
    torch.testing.assert_close(ours(features, torch.zeros_like(features), None), peer(features))


def test_decoder_layer_is_the_norm_first_layer_of_torch() -> None:
    torch.manual_seed(0)
    peer = nn.TransformerDecoderLayer(CHANNELS, HEADS, 64, dropout=0.0, batch_first=True, norm_first=True)
    ours = PreNormDecoderLayer(
        self_attn_cfg=_attention(), cross_attn_cfg=_attention(), ffn_cfg=_feed_forward()
    )
    _copy(ours, peer, {"self_attn": "self_attn", "cross_attn": "multihead_attn"})
    query, memory = torch.randn(2, 5, CHANNELS), torch.randn(2, 7, CHANNELS)
    padding = torch.tensor([[False] * 7, [False] * 4 + [True] * 3])
    decoded = ours(query, memory, memory, None, torch.zeros_like(memory), key_padding_mask=padding)
    torch.testing.assert_close(decoded, peer(query, memory, memory_key_padding_mask=padding))


def _detector(
    repository, query_grid: tuple[int, int] = (5, 4), num_queries: int = 20, num_feats: int = 64
) -> PreNormDETR:
    cfg = load_config(repository / "configs/synthetic/detr_r18_synthetic-coco.py").model
    cfg.query_grid, cfg.num_queries, cfg.positional_encoding.num_feats = query_grid, num_queries, num_feats
    return build_model(cfg)


def test_queries_look_at_their_own_cells_at_first(repository) -> None:
    model = _detector(repository)
    position = model.position_amplitude * model.positional_encoding(None, input=torch.zeros(1, 1, 8, 10))
    keys = position.flatten(2).permute(2, 0, 1)  # (80, 1, C)
    for layer in model.decoder.layers:
        weights = layer.cross_attn.attn(model.query_embedding.weight[:, None], keys, keys)[1][0]  # (20, 80)
        # The map is twice as fine as the grid of queries: each looks most at four cells.
        looked_at = weights.view(4, 5, 4, 2, 5, 2).sum((3, 5)).flatten(2).argmax(-1)
        assert looked_at.flatten().tolist() == list(range(20))


def test_cell_cost_decides_between_equal_predictions() -> None:
    from mmdet.models.task_modules.assigners import HungarianAssigner

    costs = [
        dict(type="BBoxL1Cost", weight=5.0, box_format="xywh"),
        dict(type="dense3d.QueryCellCost", query_grid=(2, 2)),
    ]
    with DefaultScope.overwrite_default_scope("mmdet"):
        assigner = HungarianAssigner(costs)
    predictions = InstanceData(bboxes=torch.tensor([[10.0, 10.0, 30.0, 30.0]]).repeat(4, 1))
    boxes = InstanceData(
        bboxes=torch.tensor([[22.0, 2.0, 38.0, 14.0], [2.0, 24.0, 12.0, 38.0]]), labels=torch.tensor([3, 5])
    )
    assigned = assigner.assign(predictions, boxes, img_meta=dict(img_shape=(40, 40)))
    assert assigned.gt_inds.tolist() == [0, 1, 2, 0]  # upper right and lower left query; 0 is background


def test_cell_cost_is_the_distance_of_centres() -> None:
    boxes = InstanceData(bboxes=torch.tensor([[0.0, 0.0, 30.0, 20.0]]))  # centre at (1/2, 1/6) of 30 x 60
    queries = InstanceData(bboxes=torch.zeros(6, 4))
    costs = QueryCellCost((3, 2), weight=6.0)(queries, boxes, dict(img_shape=(60, 30)))
    expected = [abs(x - 1 / 2) + abs(y - 1 / 6) for y in (1 / 4, 3 / 4) for x in (1 / 6, 1 / 2, 5 / 6)]
    torch.testing.assert_close(costs[:, 0], 6.0 * torch.tensor(expected))


def test_refuses_a_grid_that_is_not_the_queries(repository) -> None:
    with pytest.raises(ConfigError, match=r"5x3 has 15 cells for num_queries=20"):
        _detector(repository, query_grid=(5, 3))


def test_refuses_an_encoding_of_another_width(repository) -> None:
    with pytest.raises(ConfigError, match="num_feats=32 with 128 channels"):
        _detector(repository, num_feats=32)
