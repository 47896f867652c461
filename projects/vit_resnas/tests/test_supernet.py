"""The supernet: masks are slices, sorting changes nothing, groups of a batch have networks of their own."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from dense3d.classification import ImageClassifier
from dense3d.errors import ConfigError, DataError
from projects.vit_resnas.masking import draw, masked_layer_norm
from projects.vit_resnas.slicing import sliced_classifier
from projects.vit_resnas.sorting import sort_channels
from projects.vit_resnas.space import SearchSpace, Stage, as_space
from projects.vit_resnas.tests.tiny import SPACE, supernet

IMAGES = torch.randn(4, 3, 56, 56, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def model():
    return supernet().eval()


@torch.no_grad()
def test_a_masked_network_is_its_slices(model):
    """Every choice of every gene, in some network: the slices load strictly and give the same logits."""
    space = model.backbone.space
    networks = [space.smallest, space.largest, *draw(space, 6)]
    for network in networks:
        model.backbone.network = network
        alone = sliced_classifier(model.backbone, model.state_dict(), network, 5)
        torch.testing.assert_close(alone(IMAGES), model(IMAGES), rtol=1e-4, atol=1e-5)
        arch = dict(type="ViTResNAS", arch=space.arch(network), pretrain_size=56, pyramid=False)
        fresh = ImageClassifier(arch, 5).eval()
        fresh.load_state_dict(alone.state_dict())
        torch.testing.assert_close(fresh(IMAGES), model(IMAGES), rtol=1e-4, atol=1e-5)
    model.backbone.network = None
    assert len({round(float(n), 3) for n in model(IMAGES).flatten()}) > 10  # not all alike


@torch.no_grad()
def test_without_a_network_it_is_the_largest(model):
    model.backbone.network = model.backbone.space.largest
    masked = model(IMAGES)
    model.backbone.network = None
    torch.testing.assert_close(masked, model(IMAGES), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.head(model.backbone.embed(IMAGES)), model(IMAGES))


def test_images_take_turns_with_the_networks_of_a_step(monkeypatch):
    """Each image has the tokens of its own network, and gradients go to the slices of that alone."""
    model = supernet(images_per_network=2, warm_up_epochs=0).train()
    backbone = model.backbone.requires_grad_(True)
    for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.eval()
    small, space = backbone.space.smallest, backbone.space
    networks = [space.largest, small]
    monkeypatch.setattr("projects.vit_resnas.supernet.draw", lambda *_: networks)
    mixed = model.normed(IMAGES)
    for first, network in enumerate(networks):
        backbone.network = network
        torch.testing.assert_close(mixed[first::2], model.normed(IMAGES[first::2]), rtol=1e-4, atol=1e-5)
    backbone.network = small
    model.normed(IMAGES).square().sum().backward()
    assert backbone.stages[0][1].mlp.fc1.weight.grad.count_nonzero() == 0  # a block that small lacks
    grad = backbone.stages[0][0].mlp.fc1.weight.grad
    assert grad[:8, :8].count_nonzero() == 64 and grad.count_nonzero() == 64


@torch.no_grad()
def test_sorting_changes_nothing_but_the_order(model):
    sorted_model = copy.deepcopy(model)
    sort_channels(block for stage in sorted_model.backbone.stages for block in stage)
    torch.testing.assert_close(sorted_model(IMAGES), model(IMAGES), rtol=1e-4, atol=1e-5)
    block, before = sorted_model.backbone.stages[0][0], model.backbone.stages[0][0]
    assert not torch.equal(block.mlp.fc1.weight, before.mlp.fc1.weight)
    norms = block.mlp.fc1.weight.abs().sum(1) + block.mlp.fc1.bias.abs() + block.mlp.fc2.weight.abs().sum(0)
    assert norms.tolist() == sorted(norms.tolist(), reverse=True)
    heads = block.attn.qkv.weight.abs().sum(1) + block.attn.qkv.bias.abs()
    heads = heads.view(3, 3, 4).sum(dim=(0, 2)) + block.attn.proj.weight.abs().sum(0).view(3, 4).sum(1)
    assert heads.tolist() == sorted(heads.tolist(), reverse=True)


def test_training_of_the_largest_goes_on_as_if_channels_were_not_sorted():
    """The optimiser's moments move with their weights."""
    results = []
    for sorts in (False, True):
        model = supernet().eval()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        for step in range(3):
            if sorts and step:
                sort_channels((b for stage in model.backbone.stages for b in stage), optimizer)
            model(IMAGES).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        results.append(model(IMAGES))
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-4)


def test_masked_norm_is_the_norm_of_the_channels_in_the_mask():
    norm = nn.LayerNorm(6, eps=1e-6)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = torch.randn(2, 3, 6)
    mask = (torch.arange(6) < torch.tensor([[4], [6]]))[:, None]
    x = (x * mask).requires_grad_()
    found = masked_layer_norm(x, norm, mask)
    part = nn.functional.layer_norm(x[:1, :, :4], (4,), norm.weight[:4], norm.bias[:4], 1e-6)
    torch.testing.assert_close(found[:1, :, :4], part)
    torch.testing.assert_close(found[1:], norm(x[1:]))
    assert not found[0, :, 4:].any()
    ours, theirs = (
        torch.autograd.grad(y[..., :4].square().sum(), x, retain_graph=True)[0][0, :, :4]
        for y in (found[:1], part)
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_draws_are_balanced_and_grow_with_warm_up():
    space = as_space(SPACE)
    torch.manual_seed(0)
    assert set(draw(space, 6, 0.0)) == {space.largest}
    rows = list(zip(*draw(space, 6)))
    for gene, column in zip(space.genes, rows):
        if gene.kind != "exists":
            assert sorted(column) == sorted(gene.choices * (6 // len(gene.choices)))
    half = {row[0] for row in draw(space, 6, 0.5)}
    assert half == {16, 12}
    exists = [i for i, gene in enumerate(space.genes) if gene.kind == "exists"][1:3]
    assert all(network[exists[0]] >= network[exists[1]] for network in draw(space, 64))


def test_an_epoch_begins_once_and_sorts_in_warm_up_alone():
    backbone = supernet(warm_up_epochs=1).backbone
    weight = backbone.stages[0][0].mlp.fc1.weight
    before = weight.clone()
    backbone.start_epoch(0)
    first = weight.clone()
    assert not torch.equal(before, first)
    with torch.no_grad():
        weight[-1] += 100.0
    changed = weight.clone()
    backbone.start_epoch(0)  # a run that goes on inside of the epoch
    backbone.start_epoch(2)
    assert torch.equal(weight, changed) and int(backbone.state_dict()["epoch"]) == 2


@torch.no_grad()
def test_bfloat16_is_close():
    model = supernet(images_per_network=2, warm_up_epochs=0).eval()
    model.backbone.network = model.backbone.space.smallest
    full = model(IMAGES)
    with torch.autocast("cpu", torch.bfloat16):
        half = model(IMAGES)
    assert half.isfinite().all() and (half - full).abs().max() < 0.1 * full.abs().max()


def test_bad_settings_and_batches_are_refused():
    with pytest.raises(DataError, match=r"3 images .* 2 each: set batch_size"):
        supernet(images_per_network=2, warm_up_epochs=0).train().normed(IMAGES[:3])
    with pytest.raises(ConfigError, match="SupernetHook"):
        supernet(images_per_network=2).train().normed(IMAGES)
    with pytest.raises(ConfigError, match="images_per_network=0"):
        supernet(images_per_network=0)
    with pytest.raises(ConfigError, match="did you mean 'tiny'"):
        as_space("tinny")
    with pytest.raises(ConfigError, match="embed_channels"):
        as_space(dict(stages=[dict(dims=(8,))]))
    with pytest.raises(ConfigError, match=r"heads=\(1, 2\).*largest first"):
        Stage((8,), (1, 2), (8,), 4, (False,))
    with pytest.raises(ConfigError, match="first block has to stay"):
        Stage((8,), (1,), (8,), 4, (True,))
    with pytest.raises(ConfigError, match="up to 16 channels before one with 8"):
        SearchSpace([Stage((16,), (1,), (8,), 4, (False,)), Stage((24, 8), (1,), (8,), 4, (False,))])
