"""Names of official Co-DETR checkpoints: each tensor of a whole detector finds its place."""

from __future__ import annotations

import pytest
import torch

from dense3d.apis import build_model
from dense3d.checkpoints import convert
from dense3d.config import load_config
from dense3d.detection2d.vit_comer_neck import ViTCoMerNeck
from dense3d.errors import CheckpointError

# Beginnings of our names and of the official ones (Sense-X/Co-DETR), for parts with equal endings.
OFFICIAL = {
    "backbone.body.": "backbone.",
    "neck.": "neck.",
    "level_embed": "query_head.transformer.level_embeds",
    "decoder.ref_point_head.layers.0.": "query_head.transformer.decoder.ref_point_head.0.",
    "decoder.ref_point_head.layers.1.": "query_head.transformer.decoder.ref_point_head.2.",
    "decoder.norm.": "query_head.transformer.decoder.norm.",
    "memory_trans_fc.": "query_head.transformer.enc_output.",
    "memory_trans_norm.": "query_head.transformer.enc_output_norm.",
    "query_embedding.": "query_head.transformer.query_embed.",
    "query_embeddings.0.0.": "query_head.transformer.aux_pos_trans.0.",
    "query_embeddings.0.1.": "query_head.transformer.aux_pos_trans_norm.0.",
    "query_embeddings.1.0.": "query_head.transformer.aux_pos_trans.1.",
    "query_embeddings.1.1.": "query_head.transformer.aux_pos_trans_norm.1.",
    "downsample.": "query_head.downsample.",
    "bbox_head.": "query_head.",
    "dn_query_generator.": "query_head.",
    "auxiliary_heads.0.rpn_head.": "rpn_head.",
    "auxiliary_heads.0.roi_head.": "roi_head.0.",
    "auxiliary_heads.1.": "bbox_head.0.",
}
LAYERS = {
    "encoder": {"self_attn.": "attentions.0.", "ffn.": "ffns.0.", "norms.": "norms."},
    "decoder": {
        "self_attn.": "attentions.0.",
        "cross_attn.": "attentions.1.",
        "ffn.": "ffns.0.",
        "norms.": "norms.",
    },
}
for coder, parts in LAYERS.items():
    for layer in range(2):
        for ours, theirs in parts.items():
            OFFICIAL[f"{coder}.layers.{layer}.{ours}"] = (
                f"query_head.transformer.{coder}.layers.{layer}.{theirs}"
            )


def official_name(name: str) -> str:
    start = max((s for s in OFFICIAL if name.startswith(s)), key=len)
    return OFFICIAL[start] + name.removeprefix(start)


@pytest.fixture(scope="module")
def detector(repository):
    config = load_config(repository / "configs/synthetic/co-dino_r18_synthetic-coco.py").model
    with torch.device("meta"):
        return build_model(config)


@pytest.fixture(scope="module")
def official(detector):
    """Each tensor holds a number of its own."""
    state = {official_name(n): v for n, v in detector.state_dict().items()}
    assert len(state) == len(detector.state_dict())
    return {name: torch.full(v.shape, float(k)) for k, (name, v) in enumerate(state.items())}


def test_every_official_tensor_finds_its_place(detector, official):
    converted = convert("co-detr", official)
    expected = {name: official[official_name(name)] for name in detector.state_dict()}
    assert converted.keys() == expected.keys()
    assert all(torch.equal(converted[name], value) for name, value in expected.items())


def test_names_that_fit_nowhere_are_listed(official):
    with pytest.raises(CheckpointError, match=r"query_head\.surplus"):
        convert("co-detr", official | {"query_head.surplus": torch.zeros(1)})


def test_other_checkpoints_are_refused(official):
    other = {name: v for name, v in official.items() if "aux_pos_trans" not in name}
    with pytest.raises(CheckpointError, match="no official Co-DETR checkpoint"):
        convert("co-detr", other)


def test_the_neck_of_vit_comer(official):
    neck = ViTCoMerNeck([64] * 5, 32)
    renamed = {f"scales.{k}.": f"neck.p{k + 2}." for k in range(5)}
    renamed |= {f"laterals.{k}.": f"neck.fc{k + 1}{k + 1}." for k in range(4)}
    state = {}
    for name, value in neck.state_dict().items():
        start = next(s for s in renamed if name.startswith(s))
        state[renamed[start] + name.removeprefix(start)] = value
    rest = {name: v for name, v in official.items() if not name.startswith("neck.")}
    converted = convert("co-detr", rest | state)
    inside = {n.removeprefix("neck."): v for n, v in converted.items() if n.startswith("neck.")}
    assert all(torch.equal(inside[name], value) for name, value in neck.state_dict().items())
    neck.load_state_dict(inside)
