"""Converters of plain transformers: every layout of one network becomes the same weights."""

from __future__ import annotations

import pytest
import timm
import torch

from dense3d.backbones import VisionTransformer
from dense3d.checkpoints import convert
from dense3d.engine.checkpoint import load_into
from dense3d.errors import CheckpointError
from tests.golden.kit import GoldenKit
from tests.golden.weights import tensors_of


@pytest.fixture
def official(golden_dir):
    return lambda name: tensors_of(GoldenKit(golden_dir / name))


def assert_equal(ours: dict, expected: dict) -> None:
    assert set(ours) == set(expected)
    assert [n for n in ours if not torch.equal(ours[n], expected[n])] == []


def test_dinov2_training_files_have_chunks_and_a_prefix(official):
    state = official("dinov2-reg")
    chunked = {
        f"backbone.{n.replace('blocks.', f'blocks.{int(n[7]) // 2}.') if n.startswith('blocks') else n}": v
        for n, v in state.items()
    }
    assert "backbone.blocks.1.3.norm1.weight" in chunked
    training = {"teacher": chunked | {"dino_head.mlp.0.weight": torch.ones(1)}}
    assert_equal(convert("dinov2", training), convert("dinov2", state))


def test_the_position_of_the_class_token_moves_into_the_token(official):
    state = official("dinov2-reg")
    ours = convert("dinov2", state)
    assert torch.equal(ours["cls_token"], state["cls_token"] + state["pos_embed"][:, :1])
    assert torch.equal(ours["pos_embed"], state["pos_embed"][:, 1:])
    assert torch.equal(ours["registers"], state["register_tokens"])


def test_14_to_16_keeps_the_response_to_a_constant_patch_in_proportion(official):
    """Bilinear interpolation without rescaling: a constant kernel stays constant, sums grow with the area."""
    state = official("dinov2-reg")
    state["patch_embed.proj.weight"] = torch.full_like(state["patch_embed.proj.weight"], 0.5)
    ours = convert("dinov2-14to16", state)
    torch.testing.assert_close(ours["patch_embed.proj.weight"], torch.full((192, 3, 16, 16), 0.5))
    vit = VisionTransformer(
        dict(name="dinov2_vitg14_reg", embed_dim=192, depth=4, num_heads=3, patch_size=16, pretrain_size=592)
    )
    assert not load_into(vit, ours)


def test_timm_dinov2_with_registers_and_gate():
    peer = timm.create_model("vit_small_patch14_reg4_dinov2", pretrained=False, num_classes=0, depth=1)
    assert not load_into(
        VisionTransformer(dict(name="dinov2_vits14_reg", depth=1)), convert("dinov2", peer.state_dict())
    )
    peer = timm.create_model(
        "vit_giant_patch14_dinov2", pretrained=False, num_classes=0, depth=1, embed_dim=192, num_heads=3
    )
    state = convert("dinov2", peer.state_dict())
    gate = peer.state_dict()["blocks.0.mlp.fc1.weight"]
    assert torch.equal(torch.cat([state["blocks.0.mlp.w1.weight"], state["blocks.0.mlp.w2.weight"]]), gate)


def test_dinov3_mask_takes_the_bias_of_the_keys_away(official):
    state = official("dinov3-swiglu")
    ours = convert("dinov3", state)
    bias = state["blocks.2.attn.qkv.bias"]
    assert torch.equal(ours["blocks.2.attn.q_bias"], bias[:192])
    assert torch.equal(ours["blocks.2.attn.v_bias"], bias[384:])
    assert "blocks.2.attn.qkv.bias" not in ours and "local_cls_norm.weight" not in ours
    # freshly built official networks have a mask of NaN; a full mask keeps the whole bias
    state["blocks.2.attn.qkv.bias_mask"] = torch.ones(576)
    assert torch.equal(convert("dinov3", state)["blocks.2.attn.qkv.bias"], bias)


def test_timm_dinov3_lacks_what_follows_from_the_architecture():
    peer = timm.create_model("vit_small_patch16_dinov3", pretrained=False, num_classes=0, depth=1)
    vit = VisionTransformer(dict(name="dinov3_vits16", depth=1))
    periods = vit.rope.periods.clone()
    assert not load_into(vit, convert("dinov3", peer.state_dict()))
    assert torch.equal(vit.rope.periods, periods)
    assert not vit.blocks[0].attn.q_bias.any()


def test_beit_shared_table_goes_to_every_block(official):
    state = official("beit")
    name = "blocks.{}.attn.relative_position_bias_table"
    table = state[name.format(3)]
    shared = {n: v for n, v in state.items() if not n.endswith(("bias_table", "position_index"))}
    shared |= {"rel_pos_bias.relative_position_bias_table": table, "mask_token": torch.zeros(1, 1, 192)}
    ours = convert("beit", {"module": shared})
    for block in range(6):
        assert torch.equal(ours[f"blocks.{block}.attn.relative_bias.table"], table)


def test_mae_files_with_and_without_decoder(official):
    state = official("mae-vit")
    encoder = {n: v for n, v in state.items() if not n.startswith(("decoder", "mask_token"))}
    assert_equal(convert("mae", state), convert("mae", encoder))
    with pytest.raises(CheckpointError, match=r"no name like .*mask_token"):
        convert("mae-pretrain", encoder)
    finetuned = {
        n.replace("norm.", "fc_norm.") if n.startswith("norm.") else n: v for n, v in encoder.items()
    }
    finetuned["head.weight"] = torch.zeros(10, 192)
    vit = VisionTransformer(
        dict(name="mae_base_patch16", embed_dim=192, depth=4, num_heads=3, pretrain_size=112),
        final_norm=False,
    )
    assert not load_into(vit, convert("mae", finetuned))


def test_flax_files_of_augreg():
    peer = timm.create_model("vit_tiny_patch16_224", pretrained=False, depth=2, num_classes=5)
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.normal_()
    assert_equal(convert("augreg", as_flax(peer)), convert("deit", peer.state_dict()))


def as_flax(peer) -> dict[str, torch.Tensor]:
    """The weights in the layout that timm's own loader of AugReg's files reads (``_load_weights``)."""
    flax = {
        "cls": peer.cls_token,
        "Transformer/posembed_input/pos_embedding": peer.pos_embed,
        "embedding/kernel": peer.patch_embed.proj.weight.permute(2, 3, 1, 0),
        "embedding/bias": peer.patch_embed.proj.bias,
        "Transformer/encoder_norm/scale": peer.norm.weight,
        "Transformer/encoder_norm/bias": peer.norm.bias,
        "head/kernel": peer.head.weight.t(),
        "head/bias": peer.head.bias,
    }
    for index, block in enumerate(peer.blocks):
        prefix = f"Transformer/encoderblock_{index}/"
        attention = f"{prefix}MultiHeadDotProductAttention_1/"
        for part, weight, bias in zip(
            ("query", "key", "value"), block.attn.qkv.weight.chunk(3), block.attn.qkv.bias.chunk(3)
        ):
            flax[f"{attention}{part}/kernel"] = weight.t().unflatten(1, (3, 64))
            flax[f"{attention}{part}/bias"] = bias.unflatten(0, (3, 64))
        flax[f"{attention}out/kernel"] = block.attn.proj.weight.t().unflatten(0, (3, 64))
        flax[f"{attention}out/bias"] = block.attn.proj.bias
        for number, norm in ((0, block.norm1), (2, block.norm2)):
            flax[f"{prefix}LayerNorm_{number}/scale"] = norm.weight
            flax[f"{prefix}LayerNorm_{number}/bias"] = norm.bias
        for number, layer in ((0, block.mlp.fc1), (1, block.mlp.fc2)):
            flax[f"{prefix}MlpBlock_3/Dense_{number}/kernel"] = layer.weight.t()
            flax[f"{prefix}MlpBlock_3/Dense_{number}/bias"] = layer.bias
    return {name: value.detach() for name, value in flax.items()}


# official name -> name in transformers 4 and in transformers 5, of the block's parts
PARTS = {
    "norm1": ("layernorm_before", "layernorm_before"),
    "norm2": ("layernorm_after", "layernorm_after"),
    "attn.proj": ("attention.output.dense", "attention.o_proj"),
    "mlp.fc1": ("intermediate.dense", "mlp.fc1"),
    "mlp.fc2": ("output.dense", "mlp.fc2"),
}
DINO_PARTS = PARTS | {
    "norm1": ("norm1", "norm1"),
    "norm2": ("norm2", "norm2"),
    "mlp.fc1": ("mlp.fc1", "mlp.fc1"),
    "mlp.fc2": ("mlp.fc2", "mlp.fc2"),
}
EMBEDDINGS = {
    "cls_token": "embeddings.cls_token",
    "mask_token": "embeddings.mask_token",
    "register_tokens": "embeddings.register_tokens",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
    "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
    "norm.weight": "layernorm.weight",
    "norm.bias": "layernorm.bias",
}


def as_transformers(state: dict, version: int, parts: dict, prefix: str, encoder: str) -> dict:
    """An official state dict by the names of Hugging Face's transformers 4 or 5."""
    which, renamed = version - 4, {}
    for name, value in state.items():
        if not name.startswith("blocks."):
            renamed[prefix + EMBEDDINGS.get(name, name)] = value
            continue
        _, index, rest = name.split(".", 2)
        block = f"{prefix}{encoder}.{index}."
        part, _, last = rest.rpartition(".")
        if part == "attn.qkv":
            heads = ("attention.attention.query", "attention.attention.key", "attention.attention.value")
            heads = heads if which == 0 else ("attention.q_proj", "attention.k_proj", "attention.v_proj")
            renamed |= {f"{block}{h}.{last}": v for h, v in zip(heads, value.chunk(3))}
        elif part.startswith("ls"):
            renamed[f"{block}layer_scale{part[2]}.lambda1"] = value
        elif part in ("mlp.w12", "mlp.w3"):
            renamed[f"{block}mlp.weights_{'in' if part == 'mlp.w12' else 'out'}.{last}"] = value
        else:
            renamed[f"{block}{parts[part][which]}.{last}"] = value
    return renamed


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize(
    ("kit", "system"), [("mae-vit", "mae"), ("dinov2", "dinov2"), ("dinov2-reg", "dinov2")]
)
def test_layout_of_transformers(official, kit, system, version):
    state = {n: v for n, v in official(kit).items() if not n.startswith("decoder")}
    parts, prefix, encoder = DINO_PARTS, "", "encoder.layer"
    if system == "mae":
        parts, prefix, encoder = PARTS, "vit.", "encoder.layer" if version == 4 else "layers"
        state.pop("mask_token")
    theirs = as_transformers(state, version, parts, prefix, encoder)
    assert not set(theirs) & set(state)
    assert_equal(convert(system, theirs), convert(system, state))


@pytest.mark.parametrize(
    "system", ["deit", "augreg", "mae", "mae-pretrain", "beit", "beit-seg", "dinov2", "dinov3"]
)
def test_unexpected_names_are_listed(system):
    with pytest.raises(CheckpointError, match=r"unexpected names: .*blocks\.0\.colour|no name like"):
        convert(system, {"patch_embed.proj.weight": torch.ones(1), "blocks.0.colour": torch.ones(1)})


def test_a_table_that_is_no_square_grid_is_refused(official):
    state = official("dinov2-reg")
    state["pos_embed"] = state["pos_embed"][:, :1300]
    with pytest.raises(
        CheckpointError, match="the 1300 positions of the dinov2 checkpoint are no square grid"
    ):
        convert("dinov2", state)


@pytest.mark.parametrize("kit", ["vit-comer", "vit-comer-seg", "vit-comer-beit"])
def test_vit_comer_inside_a_detector(official, kit):
    state = official(kit)
    detector = {f"backbone.{n}": v for n, v in state.items()}
    detector |= {"neck.conv.weight": torch.ones(1), "roi_head.bbox_head.fc_cls.bias": torch.ones(1)}
    assert_equal(convert("vit-comer", {"state_dict": detector}), convert("vit-comer", state))


def test_vit_comer_drops_what_never_runs_and_nothing_else(official):
    state = official("vit-comer-seg")
    whole = convert("vit-comer", state)
    without = {n: v for n, v in state.items() if not n.startswith("interactions.1.cti_tov.")}
    without = {n: v for n, v in without.items() if not n.startswith("interactions.2.cti_toc.cfinter.")}
    lost = set(whole) - set(convert("vit-comer", without))
    parts = {tuple(n.split(".")[:4]) for n in lost}
    assert {p[1:3] for p in parts} == {("1", "to_vit"), ("1", "mrfp"), ("2", "to_cnn")}
    state["interactions.0.cti_tov.colour"] = torch.ones(1)
    with pytest.raises(CheckpointError, match=r"unexpected names: interactions\.0\.cti_tov\.colour"):
        convert("vit-comer", state)


def test_residual_blocks_of_the_baseline(official):
    state = official("vit-baseline")
    for part, shape in (("conv1.weight", (96, 192, 1, 1)), ("norm1.weight", (96,)), ("norm3.bias", (192,))):
        state[f"blocks.2.residual.{part}"] = torch.ones(shape)
    ours = convert("vit-baseline", state)
    assert {n for n in ours if "residual" in n} == {
        "vit.residuals.2.conv1.weight",
        "vit.residuals.2.norm1.weight",
        "vit.residuals.2.norm3.bias",
    }


def test_dino_backbones_and_whole_training_files(official):
    state = official("ntf-features")
    ours = convert("dino", state)
    assert torch.equal(ours["cls_token"], state["cls_token"] + state["pos_embed"][:, :1])
    assert torch.equal(ours["pos_embed"], state["pos_embed"][:, 1:])
    headed = {f"backbone.{n}": v for n, v in state.items()} | {"head.mlp.0.weight": torch.ones(1)}
    training = {"student": {f"module.{n}": 0 * v for n, v in headed.items()}, "teacher": headed}
    assert_equal(convert("dino", training), ours)
    assert_equal(convert("dino", state | {"head.weight": torch.ones(3, 48)}), ours)
    vit = VisionTransformer(
        dict(name="dino_vits8", embed_dim=48, depth=3, num_heads=3, pretrain_size=64, norm_eps=1e-6)
    )
    assert not load_into(vit, ours)
    with pytest.raises(CheckpointError, match="no name like"):
        convert("dino", {n: v for n, v in state.items() if "patch_embed" not in n})
