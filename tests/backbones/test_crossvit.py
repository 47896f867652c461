"""CrossViT: timm as a peer in classification, and the pyramid of its two branches."""

from __future__ import annotations

import math
import re

import pytest
import torch
from timm.models.crossvit import CrossVit

from dense3d.backbones import CrossViT
from dense3d.backbones.crossvit import ARCHITECTURES
from dense3d.checkpoints import convert, convert_head
from dense3d.classification import ImageClassifier
from dense3d.engine.checkpoint import save_checkpoint
from dense3d.errors import CheckpointError, ConfigError, DataError

ARCH = dict(embed_dim=(16, 32), depth=((1, 1, 0), (1, 2, 0)), num_heads=(2, 4), pretrain_size=(60, 64))


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("cross", [0, 2])
@pytest.mark.parametrize("conv_stem", [False, True])
def test_timm_gives_the_same_logits(cross, conv_stem):
    depth = ((1, 2, cross), (1, 1, cross))
    peer = CrossVit(
        img_size=60,
        img_scale=(1.0, 48 / 60),
        patch_size=(12, 16),
        embed_dim=(16, 32),
        depth=depth,
        num_heads=(2, 4),
        mlp_ratio=(3, 3, 1),
        multi_conv=conv_stem,
        num_classes=5,
    ).eval()
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    arch = dict(ARCH, depth=depth, mlp_ratio=(3.0, 3.0), pretrain_size=(60, 48), conv_stem=conv_stem)
    vit = CrossViT(arch).eval()
    vit.load_state_dict(vit.adapt(convert("crossvit", peer.state_dict())))
    head = vit.class_head(5).eval()
    head.load_state_dict(convert_head("crossvit", peer.state_dict()))
    images = torch.randn(2, 3, 60, 60)
    with torch.no_grad():
        torch.testing.assert_close(head(vit.embed(images)), peer(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (65, 97), (7, 5)])
def test_contract_at_any_size(height, width):
    vit = CrossViT(ARCH).eval()
    images = torch.randn(2, 3, height, width)
    with torch.no_grad():
        maps, alone = vit(images), [vit(image[None]) for image in images]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = vit(images)
    assert vit.out_strides == (4, 8, 16, 32) and vit.out_channels == (16, 16, 32, 32)
    for level, (m, c, s) in enumerate(zip(maps, vit.out_channels, vit.out_strides)):
        assert m.shape == (2, c, math.ceil(height / s), math.ceil(width / s))
        torch.testing.assert_close(m, torch.cat([a[level] for a in alone]), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(half[level].float(), m, rtol=0.1, atol=0.15)


def test_branches_stand_on_one_another():
    """14 coarse patches lie on 20 fine ones in pre-training, and in any image by the same ratio."""
    vit = CrossViT(dict(ARCH, pretrain_size=(240, 224)))
    assert vit._fine_size(torch.zeros(1, 3, 224, 448)) == (240, 480)
    assert vit.arch.table_grids == ((20, 20), (14, 14))


def test_training_reaches_everything_with_and_without_checkpointing():
    results = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        vit = CrossViT(ARCH, with_cp=with_cp, drop_path_rate=0.3).train()
        torch.manual_seed(1)
        sum(m.square().sum() for m in vit(torch.randn(2, 3, 64, 64))).backward()
        assert [n for n, p in vit.named_parameters() if p.grad is None] == []
        results.append({n: p.grad for n, p in vit.named_parameters()})
    for name, gradient in results[0].items():
        torch.testing.assert_close(results[1][name], gradient, msg=name)


def test_chosen_maps_are_those_of_all():
    whole, part = CrossViT(ARCH).eval(), CrossViT(ARCH, out_indices=(1, 3)).eval()
    part.load_state_dict(whole.state_dict())
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        every, chosen = whole(images), part(images)
    assert part.out_strides == (8, 32) and part.out_channels == (16, 32)
    assert all(torch.equal(a, b) for a, b in zip(chosen, (every[1], every[3])))
    for indices in ((1, 3), (0, 1), (2,)):
        vit = CrossViT(ARCH, out_indices=indices)
        sum(m.square().sum() for m in vit(images)).backward()
        assert [n for n, p in vit.named_parameters() if p.requires_grad and p.grad is None] == []


def test_frozen_parts_and_depths():
    vit = CrossViT(ARCH, frozen_stages=1, drop_path_rate=0.5).train()
    trained = {n for n, p in vit.named_parameters() if p.requires_grad}
    assert {n.split(".")[0] for n in trained} == {"blocks", "norm", "up"}
    assert all(n.startswith("blocks.1.") for n in trained if n.startswith("blocks"))
    assert not vit.blocks[0].training and vit.blocks[1].training
    ids = vit.layer_ids()
    assert set(ids) == {n for n, _ in vit.named_parameters()}
    assert ids["cls_token.1"] == 0 and ids["blocks.1.projs.0.0.weight"] == 2 and ids["up.weight"] == 3
    assert vit.no_weight_decay() == {f"{n}.{i}" for n in ("cls_token", "pos_embed") for i in (0, 1)}


def test_weights_of_files(tmp_path):
    trained, file = CrossViT(ARCH), tmp_path / "official.pth"
    state = {n: v for n, v in trained.state_dict().items() if not n.startswith("up.")}
    official = {re.sub(r"^(patch_embed\.\d)", r"\1.proj", name): value for name, value in state.items()}
    save_checkpoint({"model": official}, file)
    vit = CrossViT(ARCH, init_cfg=dict(type="Pretrained", checkpoint=str(file)))
    vit.init_weights()
    assert all(torch.equal(vit.state_dict()[name], value) for name, value in state.items())
    with pytest.raises(CheckpointError, match="lacks the class tokens of two branches"):
        convert("crossvit", {"head.0.bias": torch.ones(1)})
    vit.drop_output_norms()
    assert not any(name.startswith(("norm", "up")) for name in vit.adapt(dict(trained.state_dict())))
    model = ImageClassifier(dict(type="CrossViT", arch=ARCH), num_classes=5)
    classifier = {f"norm.{i}.{p}": getattr(trained.norm[i], p) for i in (0, 1) for p in ("weight", "bias")}
    linear = vit.class_head(5).state_dict()
    official |= classifier | {n: v for n, v in linear.items() if n.startswith("head.")}
    loaded = model.adapt_checkpoint({"model": official}, "official.pth")["state_dict"]
    assert set(loaded) == set(model.state_dict())
    assert torch.equal(loaded["head.norm.1.weight"], trained.norm[1].weight)


def test_released_sizes_have_the_published_number_of_parameters():
    published = {"tiny": 6.9, "small": 26.7, "base": 104.7, "9": 8.6}
    published |= {"9_dagger": 8.8, "15_dagger": 28.2, "18": 43.3}
    assert published.keys() <= ARCHITECTURES.keys()
    for name, millions in published.items():
        with torch.device("meta"):
            vit = CrossViT(name, final_norm=False)
            count = sum(p.numel() for m in (vit, vit.class_head(1000)) for p in m.parameters())
        count -= sum(p.numel() for p in vit.up.parameters())
        assert count / 1e6 == pytest.approx(millions, rel=0.02), name


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("16_dagger", "no CrossViT is called '16_dagger'"),
        (dict(ARCH, embed_dim=(16,)), "give one value for each branch"),
        (dict(ARCH, depth=((1, 1),)), "give three numbers for each multi-scale block"),
        (dict(ARCH, depth=((0, 1, 0),)), "each branch has a block in each"),
        (dict(ARCH, num_heads=(3, 4)), "16 channels cannot be shared by 3 heads"),
        (dict(ARCH, conv_stem=True, patch_size=(8, 16)), "is for patches of 12 and 16"),
        (dict(ARCH, patch_size=(12, 8)), "that of the coarse branch is 16"),
    ],
)
def test_bad_architectures_are_explained(arch, message):
    with pytest.raises(ConfigError, match=message):
        CrossViT(arch)


def test_bad_input_is_explained():
    with pytest.raises(ConfigError, match=r"frozen_stages=3, but it can be -1\.\.2"):
        CrossViT(ARCH, frozen_stages=3)
    with pytest.raises(DataError, match=r"this batch is \(1, 4, 32, 32\)"):
        CrossViT(ARCH)(torch.zeros(1, 4, 32, 32))
    with pytest.raises(DataError, match="0 x 32 pixels"):
        CrossViT(ARCH)(torch.zeros(1, 3, 0, 32))
