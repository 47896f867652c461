"""Plain families: the contracts of backbones, adapters and classifiers, and what all have in common."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

from dense3d.adapters import RescaledPyramid, SimplePyramid, ViTCoMer
from dense3d.backbones import TNT, ConViT, ResFormer, T2TViT, ViR
from dense3d.checkpoints import convert_head
from dense3d.checkpoints.pretrained import unwrapped
from dense3d.engine.checkpoint import save_checkpoint
from dense3d.errors import CheckpointError, ConfigError, DataError

TINY = dict(embed_dim=32, depth=4, num_heads=4)
TABLE = dict(TINY, pretrain_size=64)
FAMILIES = {
    "tnt": (TNT, dict(TABLE, inner_dim=4, inner_heads=2)),
    "tnt, excited": (TNT, dict(TABLE, inner_dim=4, inner_heads=2, excite=True, qkv_bias=True)),
    "t2t": (T2TViT, dict(TABLE, token_dim=8)),
    "t2t, transformer": (T2TViT, dict(TABLE, token_dim=8, token_layer="transformer", qkv_bias=True)),
    "convit": (ConViT, dict(TABLE, local_layers=3)),
    "resformer": (ResFormer, TINY),
    "vir": (ViR, TABLE),
    "vir, chunkwise": (partial(ViR, form="chunkwise"), dict(TABLE, layer_scale=None)),
    "convit, no table": (ConViT, dict(TABLE, local_layers=1, position=False, qkv_bias=True)),
}
ADAPTERS = {
    "simple": lambda vit: SimplePyramid(vit, out_channels=16),
    "rescaled": lambda vit: RescaledPyramid(vit, token_norm=True),
    "comer": lambda vit: ViTCoMer(vit, stem_width=8, num_heads=4, gamma_init=0.1),
}
# official layout of what the family's converters read: name of the class token's module there
OFFICIAL = {"tnt": "tnt", "t2t": "t2t-vit", "convit": "convit", "resformer": "resformer", "vir": "vir"}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture(params=FAMILIES)
def family(request):
    kind, arch = FAMILIES[request.param]
    return lambda **kwargs: kind(arch, **kwargs)


def loud(model: torch.nn.Module) -> torch.nn.Module:
    """The network with weights that a mistake would show."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.normal_(1.0, 0.3)
            elif "pos" in name or "token" in name:
                parameter.normal_()
            elif parameter.abs().max() < 0.2:
                parameter.mul_(5)
    return model


def test_contract_at_any_size(family):
    vit = loud(family(out_indices=(0, 3))).eval()
    assert vit.out_channels == (32, 32) and vit.out_strides == (16, 16)
    for height, width in ((32, 32), (45, 70), (96, 33)):
        with torch.no_grad():
            maps = vit(torch.randn(2, 3, height, width))
        assert [tuple(m.shape) for m in maps] == [(2, 32, math.ceil(height / 16), math.ceil(width / 16))] * 2
        assert all(bool(m.isfinite().all()) for m in maps)


def test_a_batch_is_its_images_one_by_one(family):
    vit, images = loud(family()).eval(), torch.randn(3, 3, 48, 80)
    with torch.no_grad():
        together, alone = vit(images)[0], torch.cat([vit(image[None])[0] for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_half_precision_stays_close(family):
    vit, images = family().eval(), torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        exact = vit(images)[0]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = vit(images)[0]
    assert half.isfinite().all()
    torch.testing.assert_close(half.float(), exact, rtol=0.1, atol=0.15)


def test_checkpointing_changes_no_gradient(family):
    images, results = torch.randn(2, 3, 48, 64), []
    plain = loud(family())
    for with_cp in (False, True):
        vit = family(with_cp=with_cp, drop_path_rate=0.3).train()
        vit.load_state_dict(plain.state_dict())
        torch.manual_seed(7)
        vit(images)[0].square().sum().backward()
        results.append({n: p.grad for n, p in vit.named_parameters() if p.requires_grad})
    for name, gradient in results[0].items():
        torch.testing.assert_close(results[1][name], gradient, msg=name)


def test_every_trainable_parameter_has_a_gradient_and_a_depth(family):
    vit = family(out_indices=(2,)).train()
    vit(torch.randn(2, 3, 64, 96))[0].square().sum().backward()
    assert [n for n, p in vit.named_parameters() if p.requires_grad and p.grad is None] == []
    assert not any(p.requires_grad for p in vit.blocks[3].parameters())
    ids = vit.layer_ids()
    assert set(ids) == {name for name, _ in vit.named_parameters()}
    assert {n for n, i in ids.items() if not n.startswith("blocks.") and i} == {"norm.weight", "norm.bias"}
    assert ids["norm.weight"] == 5
    assert all(ids[n] == int(n.split(".")[1]) + 1 for n in ids if n.startswith("blocks."))
    assert "cls_token" in vit.no_weight_decay() <= set(ids)


def test_frozen_stages_are_frozen_and_stay_in_evaluation_mode(family):
    for frozen in (0, 2, 4):
        vit = family(frozen_stages=frozen, drop_path_rate=0.5).train()
        trained = {name for name, p in vit.named_parameters() if p.requires_grad}
        assert {int(n.split(".")[1]) for n in trained if n.startswith("blocks.")} == set(range(frozen, 4))
        assert {n for n in trained if not n.startswith("blocks.")} == (
            set() if frozen == 4 else {"norm.weight", "norm.bias"}
        )
        assert [block.training for block in vit.blocks] == [index >= frozen for index in range(4)]


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_adapters_make_pyramids_of_it(adapter, family):
    vit = family()
    arch = {key: getattr(vit.arch, key) for key in vars(vit.arch)}
    model = ADAPTERS[adapter](dict(type=type(vit), arch=arch)).train()
    images = torch.randn(2, 3, 65, 97)
    maps = model(images)
    assert [tuple(m.shape[2:]) for m in maps] == [
        (math.ceil(65 / s), math.ceil(97 / s)) for s in (4, 8, 16, 32)
    ]
    sum(m.square().sum() for m in maps).backward()
    assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []
    assert set(model.layer_ids()) == {name for name, _ in model.named_parameters()}


def test_an_adapter_between_blocks_sees_what_the_network_computes(family):
    vit = loud(family(out_indices=(0, 1, 2, 3))).eval()
    with torch.no_grad():
        whole = vit(torch.ones(1, 3, 48, 64))
        tokens, grid = vit.embed(torch.ones(1, 3, 48, 64))
        for index, expected in enumerate(whole):
            tokens = vit.run_blocks(tokens, grid, index, index + 1)
            found = vit.normalise(tokens)[:, 1:].transpose(1, 2).unflatten(2, (3, 4))
            torch.testing.assert_close(found, expected)


def test_a_classifier_takes_the_tail_off_and_puts_it_back(family):
    vit = loud(family()).eval()
    head = vit.class_head(7)
    assert head.head.weight.std() < 0.03 and not head.head.bias.any()
    head.norm.load_state_dict(vit.norm.state_dict())
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        tokens = vit.encode(images)
        torch.testing.assert_close(head.norm(tokens)[:, 1:].mT.unflatten(2, (4, 4)), vit(images)[0])
        logits = head(tokens)
    assert logits.shape == (2, 7)
    vit.drop_output_norms()
    assert not any(name.startswith("norm.") for name in vit.state_dict())


def test_averaged_weights_of_a_training_file_are_taken():
    both = {
        "state_dict": {"module.cls_token": torch.zeros(1)},
        "state_dict_ema": {"cls_token": torch.ones(1)},
    }
    assert unwrapped(both) == {"cls_token": torch.ones(1)}


@pytest.mark.parametrize("name", OFFICIAL)
def test_weights_of_a_file(name, tmp_path):
    kind, arch = FAMILIES[name]
    trained = loud(kind(arch))
    file = tmp_path / "ours.pth"
    save_checkpoint({"state_dict": {f"backbone.{n}": v for n, v in trained.state_dict().items()}}, file)
    init_cfg = dict(type="Pretrained", checkpoint=str(file))
    vit = kind(arch, init_cfg=init_cfg)
    vit.init_weights()
    assert all(torch.equal(value, trained.state_dict()[n]) for n, value in vit.state_dict().items())
    kind(arch, final_norm=False, init_cfg=init_cfg).init_weights()  # the file's norm is left out
    wrapped = SimplePyramid(dict(type=kind, arch=arch, init_cfg=init_cfg))
    wrapped.init_weights()
    assert torch.equal(wrapped.vit.cls_token, trained.cls_token)
    with pytest.raises(CheckpointError, match="of another shape"):
        kind(dict(arch, embed_dim=64), init_cfg=init_cfg).init_weights()
    assert convert_head(OFFICIAL[name], {"norm.bias": torch.ones(2), "head.bias": torch.ones(3)}).keys() == {
        "norm.bias",
        "head.bias",
    }


@pytest.mark.parametrize("name", OFFICIAL)
@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("smal", "is called 'smal'"),
        (dict(colour=3), "has no attribute 'colour'"),
        (dict(num_heads=5), "32 channels cannot be shared by 5 heads"),
    ],
)
def test_bad_architectures_are_explained(name, arch, message):
    kind, own = FAMILIES[name]
    with pytest.raises(ConfigError, match=message):
        kind(arch if isinstance(arch, str) else {**own, **arch})


@pytest.mark.parametrize("name", OFFICIAL)
def test_missing_attributes_and_small_tables_are_explained(name):
    kind, arch = FAMILIES[name]
    with pytest.raises(ConfigError, match="lacks 'embed_dim'"):
        kind(dict(depth=2))
    if "pretrain_size" in arch:
        with pytest.raises(ConfigError, match=r"pretrain_size=8 .* holds no patch of 16"):
            kind(dict(arch, pretrain_size=8))


def test_bad_input_is_explained(family):
    with pytest.raises(ConfigError, match=r"out_indices \[4\] of a ViT with the blocks 0\.\.3"):
        family(out_indices=(4,))
    with pytest.raises(ConfigError, match="frozen_stages=5: this ViT has the stages -1 to 4"):
        family(frozen_stages=5)
    with pytest.raises(ConfigError, match="drop_path_rate has 2 entries, but the ViT has 4 blocks"):
        family(drop_path_rate=(0.1, 0.2))
    with pytest.raises(DataError, match="8 x 64 pixels is smaller than one patch"):
        family()(torch.zeros(1, 3, 8, 64))
    with pytest.raises(DataError, match=r"\(1, 4, 64, 64\) do not fit"):
        family()(torch.zeros(1, 4, 64, 64))
