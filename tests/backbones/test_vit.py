"""Plain vision transformers: the backbone contract, every way of use, and timm where timm is right."""

from __future__ import annotations

import math

import pytest
import timm
import torch

from dense3d.backbones import VisionTransformer
from dense3d.backbones.vit_architectures import ARCHITECTURES, architecture
from dense3d.backbones.vit_weights import fit
from dense3d.checkpoints import convert
from dense3d.engine.checkpoint import save_checkpoint
from dense3d.engine.optim import LayerDecayOptimWrapperConstructor
from dense3d.errors import CheckpointError, ConfigError, DataError
from dense3d.registry import MODELS

SMALL = dict(embed_dim=48, depth=3, num_heads=3)
FAMILIES = (
    "deit_tiny_patch16",
    "deit_tiny_distilled_patch16",
    "mae_base_patch16",
    "beit_base_patch16",
    "dinov2_vits14",
    "dinov2_vitg14_reg",
    "dinov3_vits16",
    "dinov3_vit7b16",
)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def build(name: str = "deit_tiny_patch16", arch: dict | None = None, **kwargs) -> VisionTransformer:
    """A small network of a family, with random vectors too, so that nothing is hidden by a zero or a one."""
    size = SMALL | {"pretrain_size": 70 if "14" in name else 64}
    vit = VisionTransformer({"name": name, **size, **(arch or {})}, **kwargs)
    with torch.no_grad():
        for parameter in vit.parameters():
            if parameter.ndim == 1:
                parameter.normal_(1.0, 0.3)
            elif parameter.abs().max() < 0.2:
                parameter.mul_(8)
    return vit


@pytest.mark.parametrize("name", FAMILIES)
def test_contract_at_odd_sizes(name):
    vit = build(name, out_indices=(0, 2)).eval()
    assert vit.out_channels == (48, 48)
    for height, width in ((32, 32), (65, 97), (96, 64)):
        with torch.no_grad():
            maps = vit(torch.randn(2, 3, height, width))
        side = [math.ceil(n / vit.patch_size) for n in (height, width)]
        assert vit.out_strides == (vit.patch_size,) * 2
        assert [tuple(m.shape) for m in maps] == [(2, 48, *side)] * 2
        assert all(bool(m.isfinite().all()) for m in maps)


@pytest.mark.parametrize("name", FAMILIES)
def test_padding_is_zeros_right_and_below(name):
    vit = build(name).eval()
    images = torch.randn(1, 3, 50, 75)
    side = [math.ceil(n / vit.patch_size) * vit.patch_size for n in (50, 75)]
    padded = torch.zeros(1, 3, *side)
    padded[..., :50, :75] = images
    with torch.no_grad():
        assert torch.equal(vit(images)[0], vit(padded)[0])


@pytest.mark.parametrize("name", FAMILIES)
def test_samples_of_a_batch_do_not_mix(name):
    vit = build(name).eval()
    images = torch.randn(3, 3, 48, 64)
    with torch.no_grad():
        torch.testing.assert_close(vit(images)[0][1:2], vit(images[1:2])[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_checkpointing_changes_no_gradient(name):
    images, grads = torch.randn(2, 3, 48, 64), []
    plain = build(name, drop_path_rate=0.3, window_size=[2, None, 3])
    for with_cp in (False, True):
        vit = build(name, drop_path_rate=0.3, window_size=[2, None, 3], with_cp=with_cp).train()
        vit.load_state_dict(plain.state_dict())
        torch.manual_seed(7)
        vit(images)[0].square().sum().backward()
        grads.append({n: p.grad for n, p in vit.named_parameters() if p.grad is not None})
    assert grads[0].keys() == grads[1].keys()
    for name_, grad in grads[0].items():
        torch.testing.assert_close(grads[1][name_], grad, msg=name_)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_trainable_parameter_gets_a_gradient(name):
    """Otherwise DDP would stop; what only pre-training learns is frozen."""
    vit = build(name, out_indices=(0, 1)).train()
    sum(m.sum() for m in vit(torch.randn(2, 3, 48, 64))).backward()
    without = [n for n, p in vit.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


@pytest.mark.parametrize("name", FAMILIES)
def test_window_of_the_whole_image_is_global_attention(name):
    images = torch.randn(2, 3, 48, 64)
    everywhere = build(name).eval()
    grid = max(math.ceil(64 / everywhere.patch_size), everywhere.arch.table_grid[0])
    # relative positions: a window of the table's own size
    window = build(name, window_size=grid).eval()
    window.load_state_dict(fit(window, everywhere.state_dict()))
    if everywhere.arch.relative_position:
        images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(window(images)[0], everywhere(images)[0], rtol=1e-4, atol=1e-4)


def test_windows_limit_what_a_patch_sees():
    vit = build(window_size=2, prefix_tokens=False).eval()
    images = torch.randn(1, 3, 64, 64)
    changed = images.clone()
    changed[..., 32:, 32:] += 1
    with torch.no_grad():
        difference = (vit(changed)[0] - vit(images)[0]).abs().amax(1)[0] > 1e-6
    expected = torch.zeros(4, 4, dtype=torch.bool)
    expected[2:, 2:] = True
    assert torch.equal(difference, expected)


def test_residual_blocks_carry_information_across_windows():
    vit = build(arch=dict(residual_blocks=[2]), window_size=2, prefix_tokens=False).eval()
    images = torch.randn(1, 3, 64, 64)
    changed = images.clone()
    changed[..., 32:, 32:] += 1
    with torch.no_grad():
        difference = (vit(changed)[0] - vit(images)[0]).abs().amax(1)[0] > 1e-6
    assert difference[1, 2] and not difference[0, 0]


def test_ranges_of_blocks_join_to_the_whole():
    vit = build("dinov3_vits16").eval()
    tokens, grid = vit.embed(torch.randn(1, 3, 48, 64))
    assert tokens.shape == (1, 5 + 12, 48) and grid == (3, 4)
    with torch.no_grad():
        whole = vit.run_blocks(tokens, grid)
        parts = vit.run_blocks(vit.run_blocks(tokens, grid, 0, 1), grid, 1)
    assert torch.equal(whole, parts)


def test_prefix_tokens_and_final_norm_can_be_left_out():
    vit = build("dinov3_vits16", prefix_tokens=False, final_norm=False)
    names = set(vit.state_dict())
    assert not {"cls_token", "registers", "norm.weight"} & names
    assert vit.num_prefix == 0
    with_all = build("dinov3_vits16")
    vit.load_state_dict(fit(vit, with_all.state_dict()))
    tokens, _ = vit.embed(torch.randn(1, 3, 48, 64))
    assert tokens.shape == (1, 12, 48)
    assert torch.equal(vit.normalise(tokens), tokens)


def test_masked_patches_become_the_mask_token():
    vit = build("dinov2_vits14")
    images, mask = torch.randn(1, 3, 28, 42), torch.tensor([[0, 1, 0, 0, 0, 1]])
    tokens, grid = vit.embed(images, mask)
    expected = vit.mask_token + vit.position_table(grid)[0]
    torch.testing.assert_close(tokens[0, 1:][mask[0].bool()], expected[mask[0].bool()])
    torch.testing.assert_close(tokens[0, 1:][~mask[0].bool()], vit.embed(images)[0][0, 1:][~mask[0].bool()])


@pytest.mark.parametrize("name", ["deit_tiny_patch16", "dinov3_vits16"])
def test_frozen_stages_stay_as_they_are(name):
    vit = build(name, frozen_stages=2, drop_path_rate=0.5).train()
    assert not vit.blocks[1].training and vit.blocks[2].training
    vit(torch.randn(2, 3, 48, 64))[0].sum().backward()
    trained = {n for n, p in vit.named_parameters() if p.grad is not None}
    assert {n.partition(".")[0] for n in trained} == {"blocks", "norm"}
    assert {n.split(".")[1] for n in trained if n.startswith("blocks")} == {"2"}


def test_a_wholly_frozen_network_gives_the_same_maps_while_training():
    vit = build("dinov3_vits16", frozen_stages=3, drop_path_rate=0.5)
    images = torch.randn(2, 3, 48, 64)
    assert not any(p.requires_grad for p in vit.parameters())
    assert torch.equal(vit.train()(images)[0], vit.eval()(images)[0])


def test_positions_are_augmented_in_trained_blocks_only():
    vit = build("dinov3_vits16", out_indices=(0, 1, 2), frozen_stages=2)
    images = torch.randn(2, 3, 48, 64)
    steady = vit.eval()(images)
    first, second = vit.train()(images), vit(images)
    for block in (0, 1):
        assert torch.equal(first[block], steady[block]) and torch.equal(second[block], steady[block])
    assert not torch.equal(first[2], second[2])


def test_blocks_after_the_last_map_neither_run_nor_train():
    residual = build(out_indices=(1,), arch=dict(residual_blocks=[1, 2])).residuals
    assert [all(p.requires_grad for p in residual[i].parameters()) for i in "12"] == [True, False]
    vit = build(out_indices=(0, 1))
    vit.blocks[2] = torch.nn.Module()  # has no forward
    vit(torch.randn(1, 3, 32, 32))
    assert not any(p.requires_grad for p in build(out_indices=(1,)).blocks[2].parameters())


def test_layer_ids():
    vit = build("dinov2_vits14_reg", arch=dict(residual_blocks=[1]))
    ids = vit.layer_ids()
    assert set(ids) == {name for name, _ in vit.named_parameters()}
    assert {n for n, i in ids.items() if i == 0} == {
        "cls_token",
        "registers",
        "mask_token",
        "pos_embed",
        "patch_embed.proj.weight",
        "patch_embed.proj.bias",
    }
    assert ids["blocks.0.ls1.gamma"] == 1 and ids["blocks.2.mlp.fc1.weight"] == 3
    assert ids["residuals.1.conv1.weight"] == 2
    assert ids["norm.weight"] == 4


@pytest.mark.parametrize("final_norm", [True, False])
def test_layer_decay_gives_the_head_the_full_rate(final_norm):
    model = torch.nn.ModuleDict({"backbone": build(final_norm=final_norm), "head": torch.nn.Linear(2, 2)})
    cfg = dict(optimizer=dict(type="SGD", lr=16.0))
    groups = LayerDecayOptimWrapperConstructor(cfg, dict(decay_rate=0.5))(model).optimizer.param_groups
    rates = {id(p): g["lr"] for g in groups for p in g["params"]}
    backbone = model["backbone"]
    assert rates[id(model["head"].weight)] == 16.0
    assert rates[id(backbone.blocks[2].norm1.weight)] == 8.0
    assert rates[id(backbone.pos_embed)] == 1.0


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(arch="deit_tiny_patch61"), "'deit_tiny_patch61'; did you mean 'deit_tiny_patch16'"),
        (
            dict(arch=dict(name="dinov2_vits14", patchsize=8)),
            "no attribute 'patchsize'; did you mean 'patch_size'",
        ),
        (dict(arch=dict(embed_dim=8, depth=2)), "lacks 'num_heads'"),
        (dict(arch=dict(**SMALL, position="learnt")), "position='learnt'"),
        (dict(arch=dict(**SMALL, pretrain_size=8)), "pretrain_size=8 of a ViT holds no patch of 16"),
        (dict(arch=SMALL, out_indices=(0, 3)), r"out_indices \[3\].*0\.\.2"),
        (dict(arch=SMALL, out_indices=()), r"out_indices"),
        (dict(arch=SMALL, out_indices=(2, 0)), "ascending"),
        (dict(arch=SMALL, window_size=[2, 2]), "window_size has 2 entries.*3 blocks"),
        (dict(arch=SMALL, drop_path_rate=[0.1]), "drop_path_rate has 1 entries.*3 blocks"),
        (dict(arch=SMALL, frozen_stages=4), "frozen_stages=4.*-1 to 3"),
        (dict(arch=SMALL, window_size=0), "window_size=0: a window has a side of 1"),
        (dict(arch=dict(SMALL, relative_position=True), window_size=-1), "window_size=-1"),
        (dict(arch=dict(SMALL, num_heads=0)), "shared by 0 heads"),
        (dict(arch=SMALL, drop_path_rate=1.0), "drop path rate 1: .*below 1"),
    ],
)
def test_bad_arguments_are_explained(kwargs, message):
    with pytest.raises(ConfigError, match=message):
        VisionTransformer(**kwargs)


def test_bad_images_are_explained():
    vit = build()
    with pytest.raises(DataError, match="15 x 64 pixels is smaller than one patch of 16 x 16"):
        vit(torch.zeros(1, 3, 15, 64))
    channels = r"\(1, 4, 32, 32\) do not fit a ViT that takes \(B, 3, H, W\): in_channels of its arch is 3"
    with pytest.raises(DataError, match=channels):
        vit(torch.zeros(1, 4, 32, 32))


def test_a_checkpoint_of_another_size_is_refused_with_names_and_shapes(tmp_path):
    path = tmp_path / "small.pth"
    save_checkpoint({"state_dict": build().state_dict()}, path)
    other = VisionTransformer(
        dict(name="deit_tiny_patch16", **SMALL | dict(embed_dim=96), pretrain_size=64),
        init_cfg=dict(type="Pretrained", checkpoint=str(path)),
    )
    with pytest.raises(CheckpointError, match=r"small\.pth") as caught:
        other.init_weights()
    assert "patch_embed.proj.weight: [48, 3, 16, 16] in the checkpoint, [96, 3, 16, 16]" in str(caught.value)


@pytest.mark.parametrize("prefix", ["", "backbone.", "backbone.vit."])
def test_weights_load_from_a_backbone_a_detector_and_an_adapter(tmp_path, prefix):
    source, path = build("beit_base_patch16"), tmp_path / "weights.pth"
    state = {f"{prefix}{name}": value for name, value in source.state_dict().items()}
    if prefix:
        state["head.weight"] = torch.zeros(1)
    save_checkpoint({"state_dict": state}, path)
    arch = {"name": "beit_base_patch16", **SMALL, "pretrain_size": 64}
    target = MODELS.build(
        dict(type="VisionTransformer", arch=arch, init_cfg=dict(type="Pretrained", checkpoint=str(path)))
    )
    target.init_weights()
    assert all(torch.equal(v, target.state_dict()[n]) for n, v in source.state_dict().items())


def test_relative_tables_are_resized_to_the_windows():
    source = build("beit_base_patch16")
    target = build("beit_base_patch16", window_size=[6, None, 3], prefix_tokens=False)
    state = fit(target, source.state_dict())
    target.load_state_dict(state)
    assert [len(b.attn.relative_bias.table) for b in target.blocks] == [11 * 11, 7 * 7, 5 * 5]
    assert torch.equal(
        state["blocks.1.attn.relative_bias.table"], source.blocks[1].attn.relative_bias.table[:-3]
    )


def test_missing_layer_scale_is_one():
    source, target = build(), build(arch=dict(layer_scale=0.1))
    target.load_state_dict(fit(target, source.state_dict()))
    images = torch.randn(1, 3, 48, 64)
    with torch.no_grad():
        assert torch.equal(source.eval()(images)[0], target.eval()(images)[0])


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_released_sizes(name):
    arch = architecture(name)
    assert arch.embed_dim // arch.num_heads == (128 if "7b" in name else 80 if "huge_patch14" in name else 64)


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("deit_tiny_patch16", 5.717 - 0.193),
        ("deit_base_patch16", 85.8),
        ("dinov2_vits14", 22.1),
        ("dinov2_vitb14", 86.6),
        ("dinov2_vitl14", 304.4),
        ("dinov2_vitg14", 1136.5),
        ("dinov3_vits16", 21.6),
        ("dinov3_vits16plus", 28.7),
        ("dinov3_vitb16", 85.7),
        ("dinov3_vitl16", 303.1),
        ("dinov3_vith16plus", 840.6),
        ("dinov3_vit7b16", 6716.0),
    ],
)
def test_parameters_as_published(name, millions):
    """Sizes that timm and the model cards of DINOv2 and DINOv3 give, heads left out."""
    with torch.device("meta"):
        count = sum(p.numel() for p in VisionTransformer(name).parameters()) / 1e6
    assert count == pytest.approx(millions, rel=0.004)


@pytest.mark.parametrize(
    ("theirs", "arch", "system", "image"),
    [
        ("vit_tiny_patch16_224", "deit_tiny_patch16", "deit", (64, 96)),
        ("deit_tiny_distilled_patch16_224", "deit_tiny_distilled_patch16", "deit", (224, 224)),
        ("vit_small_patch14_reg4_dinov2", "dinov2_vits14_reg", "dinov2", (70, 112)),
        ("vit_small_patch16_dinov3_qkvb", "dinov3_vits16", "dinov3", (64, 96)),
        ("vit_small_plus_patch16_dinov3_qkvb", "dinov3_vits16plus", "dinov3", (64, 96)),
        ("vit_small_patch16_dinov3", "dinov3_vits16", "dinov3", (64, 96)),
        ("beit_base_patch16_224", "beit_base_patch16", "beit", (224, 224)),
    ],
)
def test_equals_timm_where_timm_equals_the_official_code(theirs, arch, system, image):
    options = {"dynamic_img_size": True} if "beit" not in theirs and "distilled" not in theirs else {}
    peer = timm.create_model(theirs, pretrained=False, num_classes=0, depth=2, **options).eval()
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.normal_(1.0 if parameter.ndim == 1 else 0.0, 0.05)
    vit = VisionTransformer(dict(name=arch, depth=2), final_norm="beit" not in theirs).eval()
    vit.load_state_dict(convert(system, peer.state_dict()))
    images = torch.randn(1, 3, *image)
    features = peer.forward_intermediates(
        images, indices=[1], intermediates_only=True, norm="beit" not in theirs
    )
    with torch.no_grad():
        ours = vit(images)[0]
    if "deit" in system and image != (224, 224):  # timm resizes positions with antialiasing
        vit.arch = architecture(dict(name=arch, depth=2, position_antialias=True))
        with torch.no_grad():
            ours = vit(images)[0]
    torch.testing.assert_close(ours, features[0], rtol=1e-3, atol=1e-4)
