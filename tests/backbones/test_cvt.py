"""CvT: its contract, its projections, its memory."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from dense3d.backbones import CvT
from dense3d.checkpoints import cvt as converters
from dense3d.errors import CheckpointError, ConfigError
from dense3d.layers.convolutional_projection import ConvolutionalAttention
from tests.backbones import contract

ARCH = dict(dims=(16, 24, 32), depths=(1, 1, 2), num_heads=(1, 2, 2))
VARIANTS = {
    "released": {},
    "without a class token": dict(class_token=False),
    "averages": dict(projection="avg", activation="gelu"),
    "linear": dict(projection="linear", qkv_bias=(False, True, True)),
}


def build(variant: str = "released", **kwargs) -> CvT:
    torch.manual_seed(0)
    return CvT(dict(ARCH, **VARIANTS[variant]), **kwargs)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_batch_is_its_images_one_by_one(variant):
    contract.check_batch(build(variant).eval())
    contract.check_gradients(lambda **kw: build(variant, **kw))


@pytest.mark.parametrize("size", [(32, 32), (65, 97), (7, 5), (76, 103)])
def test_any_size(size):
    contract.check_sizes(build().eval(), *size)


def test_contract():
    contract.check_checkpointing(build)
    contract.check_frozen(build)
    contract.check_bfloat16(build().eval())
    contract.check_depths(build())
    contract.check_starts(build())


def test_four_stages_have_no_pooled_map():
    arch = dict(dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2))
    backbone = CvT(arch)
    assert backbone.channels == (8, 8, 16, 16)
    assert len(backbone.blocks(3)) == 1
    contract.check_sizes(backbone.eval(), 64, 64)


def test_the_fourth_map_is_the_third_pooled():
    backbone = build(output_norm=False).eval()
    with torch.no_grad():
        maps = backbone(torch.randn(1, 3, 90, 70))
    assert torch.equal(maps[3], nn.functional.max_pool2d(maps[2], 2, ceil_mode=True))


def test_attention_is_the_softmax_of_its_definition():
    torch.manual_seed(0)
    attention = ConvolutionalAttention(8, 2, kernel=3, key=(2, 1)).eval()
    for parameter in attention.parameters():
        nn.init.normal_(parameter)
    tokens, grid = torch.randn(2, 1 + 20, 8), (4, 5)
    features = tokens[:, 1:].mT.unflatten(2, grid)  # (B, C, h, w)
    query, key, value = (
        linear(torch.cat([tokens[:, :1], convolution(features).flatten(2).mT], dim=1)).unflatten(2, (2, 4))
        for convolution, linear in (
            (attention.conv_proj_q, attention.proj_q),
            (attention.conv_proj_k, attention.proj_k),
            (attention.conv_proj_v, attention.proj_v),
        )
    )
    weights = (torch.einsum("bqhd,bkhd->bhqk", query, key) * 8**-0.5).softmax(-1)
    assert weights.shape == (2, 2, 21, 1 + 6)
    expected = attention.proj(torch.einsum("bhqk,bkhd->bqhd", weights, value).flatten(2))
    torch.testing.assert_close(attention(tokens, grid, 1), expected, rtol=1e-4, atol=1e-4)


def test_drop_path_grows_inside_a_stage():
    rates = [[block.drop_path.rate for block in stage.blocks] for stage in build(drop_path_rate=0.3).stages]
    assert rates == [[0.0], [0.0], [0.0, 0.3], []]
    rates = [block.drop_path.rate for block in build(drop_path_rate=(0.0, 0.0, 0.2)).stages[2].blocks]
    assert rates == [0.0, 0.2]


@pytest.mark.parametrize("variant", ["released", "without a class token"])
def test_classification(variant):
    backbone = build(variant, output_norm=False).eval()
    head = backbone.class_head(5)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        logits, alone = head(backbone.embed(images)), head(backbone.embed(images[:1]))
    assert logits.shape == (2, 5)
    torch.testing.assert_close(logits[:1], alone, rtol=1e-4, atol=1e-4)
    assert not head.head.bias.any()


def test_the_released_sizes_have_the_published_parameters():
    for name, millions in (("13", 20), ("21", 32), ("w24", 277)):
        with torch.device("meta"):
            backbone = CvT(name, output_norm=False)
            head = backbone.class_head(1000)
        count = sum(p.numel() for module in (backbone, head) for p in module.parameters())
        assert round(count / 1e6) == millions


def official() -> dict[str, torch.Tensor]:
    state = build(output_norm=False).state_dict()
    names = {name: name.replace("stages.", "stage") for name in state}
    head = {"norm.weight": torch.ones(32), "norm.bias": torch.ones(32), "head.weight": torch.ones(4, 32)}
    return {names[n]: torch.randn_like(v.float()).to(v.dtype) for n, v in state.items()} | head


def test_an_official_classifier_goes_into_the_backbone(tmp_path):
    state = official()
    torch.save({"module." + name: value for name, value in state.items()}, tmp_path / "cvt.pth")
    backbone = build(init_cfg=dict(type="Pretrained", checkpoint=str(tmp_path / "cvt.pth")))
    backbone.init_weights()
    assert torch.equal(backbone.stages[2].cls_token, state["stage2.cls_token"])
    assert (backbone.norm2.weight == 1).all()
    assert set(converters.convert_head(state | {"head.bias": torch.ones(4)})) == {
        "norm.weight",
        "norm.bias",
        "head.weight",
        "head.bias",
    }
    with pytest.raises(CheckpointError, match=r"unexpected names: layers\.0"):
        converters.convert({"layers.0.weight": torch.ones(1)})


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(arch="14"), "no size '14'"),
        (dict(arch=dict(dims=(8,), depths=(1,))), "needs dims, depths and num_heads"),
        (dict(arch=dict(ARCH, class_tokens=True)), "no key 'class_tokens'; did you mean 'class_token'"),
        (dict(arch=dict(ARCH, depths=(1, 1))), "2 depths, but 3 dims"),
        (dict(arch=dict(ARCH, stride=(4, 2, 1))), r"stride=\(4, 2, 1\), but all after the first one are 2"),
        (dict(arch=dict(ARCH, query_stride=2)), "queries of a kernel of 3, stride 2"),
        (dict(arch=dict(ARCH, projection="bn")), "projection='bn' of an attention: use one of conv"),
        (dict(arch=dict(ARCH, num_heads=(1, 5, 2))), "24 channels cannot be shared by 5 heads"),
        (dict(arch=dict(ARCH, activation="relu")), "activation='relu', but there are quick_gelu, gelu"),
        (dict(arch=ARCH, drop_path_rate=(0.1, 0.2)), "2 drop path rates, but 3 stages"),
    ],
)
def test_bad_arguments_are_explained(kwargs, message):
    with pytest.raises(ConfigError, match=message):
        CvT(**kwargs)


class Largest(TorchDispatchMode):
    """Numbers in the largest tensor that an operator gives."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.count = max(self.count, tensor.numel())
        return result


@pytest.mark.parametrize("training", [False, True])
def test_no_tensor_holds_all_pairs_of_queries_and_keys(training):
    backbone = build().train(training)
    with Largest() as largest:
        maps = backbone(torch.randn(1, 3, 256, 256))
        if training:
            sum(m.sum() for m in maps).backward()
    assert largest.count < 64**2 * 32**2 / 4
