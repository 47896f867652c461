"""Files as they are released, through the function behind tools/convert_checkpoint.py."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch

from dense3d.apis import convert_checkpoint
from dense3d.backbones import ConvNeXt, Swin, VisionTransformer
from dense3d.checkpoints import convert
from dense3d.errors import CheckpointError

ARCH = dict(name="augreg_tiny_patch16", depth=1, embed_dim=24, num_heads=2, pretrain_size=32)


def flax_arrays(vit: VisionTransformer) -> dict[str, np.ndarray]:
    """A network by the names and axes of google-research/vision_transformer."""
    heads, dim = 2, 24
    state = {name: value.detach() for name, value in vit.state_dict().items()}
    block, attention = (
        "Transformer/encoderblock_0/",
        "Transformer/encoderblock_0/MultiHeadDotProductAttention_1/",
    )
    flax = {
        "cls": state["cls_token"],
        "Transformer/posembed_input/pos_embedding": torch.cat(
            [torch.zeros(1, 1, dim), state["pos_embed"]], dim=1
        ),
        "embedding/kernel": state["patch_embed.proj.weight"].permute(2, 3, 1, 0),
        "embedding/bias": state["patch_embed.proj.bias"],
        "Transformer/encoder_norm/scale": state["norm.weight"],
        "Transformer/encoder_norm/bias": state["norm.bias"],
        "head/kernel": torch.ones(dim, 3),
        "head/bias": torch.ones(3),
        f"{attention}out/kernel": state["blocks.0.attn.proj.weight"].t().reshape(heads, dim // heads, dim),
        f"{attention}out/bias": state["blocks.0.attn.proj.bias"],
    }
    for part, weight, bias in zip(
        ("query", "key", "value"),
        state["blocks.0.attn.qkv.weight"].chunk(3),
        state["blocks.0.attn.qkv.bias"].chunk(3),
    ):
        flax[f"{attention}{part}/kernel"] = weight.t().reshape(dim, heads, dim // heads)
        flax[f"{attention}{part}/bias"] = bias.reshape(heads, dim // heads)
    for number, norm in ((0, "norm1"), (2, "norm2")):
        flax[f"{block}LayerNorm_{number}/scale"] = state[f"blocks.0.{norm}.weight"]
        flax[f"{block}LayerNorm_{number}/bias"] = state[f"blocks.0.{norm}.bias"]
    for number, layer in ((0, "fc1"), (1, "fc2")):
        flax[f"{block}MlpBlock_3/Dense_{number}/kernel"] = state[f"blocks.0.mlp.{layer}.weight"].t()
        flax[f"{block}MlpBlock_3/Dense_{number}/bias"] = state[f"blocks.0.mlp.{layer}.bias"]
    return {name: np.ascontiguousarray(value.numpy()) for name, value in flax.items()}


def randomised(module: torch.nn.Module) -> torch.nn.Module:
    """Distinct values everywhere, so that no two tensors can be mixed up."""
    torch.manual_seed(0)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.normal_()
    return module.eval()


def load(cls, arch, path, **kwargs):
    model = cls(arch, init_cfg=dict(type="Pretrained", checkpoint=str(path)), **kwargs)
    model.init_weights()
    return model.eval()


def test_npz_files_of_augreg(tmp_path):
    source = randomised(VisionTransformer(ARCH))
    np.savez(tmp_path / "L_16.npz", **flax_arrays(source))
    convert_checkpoint("augreg", tmp_path / "L_16.npz", tmp_path / "converted.pth")
    image = torch.randn(1, 3, 40, 50)
    converted = load(VisionTransformer, ARCH, tmp_path / "converted.pth")
    torch.testing.assert_close(converted(image), source(image))


def test_npz_files_that_are_damaged_or_missing_are_named(tmp_path):
    path = tmp_path / "cut.npz"
    np.savez(path, cls=np.zeros(100))
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(CheckpointError, match=r"cut\.npz is damaged"):
        convert_checkpoint("augreg", path, tmp_path / "out.pth")
    np.savez(path, cls=np.array([{"code": 1}], dtype=object))
    with pytest.raises(CheckpointError, match=r"cut\.npz .*more than arrays"):
        convert_checkpoint("augreg", path, tmp_path / "out.pth")
    with pytest.raises(CheckpointError, match=r"none\.npz does not exist"):
        convert_checkpoint("augreg", tmp_path / "none.npz", tmp_path / "out.pth")
    assert not (tmp_path / "out.pth").exists()


@pytest.mark.parametrize("system", ["dinov2", "dinov3"])
def test_teachers_of_training_files_are_unwrapped(tmp_path, system):
    name = dict(dinov2="vit_small_patch14_dinov2", dinov3="vit_small_patch16_dinov3_qkvb")[system]
    peer = timm.create_model(name, pretrained=False, num_classes=0, depth=1)
    state = peer.state_dict()
    teacher = {f"backbone.{key}": value for key, value in state.items()}
    torch.save({"teacher": teacher | {"dino_head.mlp.0.weight": torch.ones(1)}}, tmp_path / "teacher.pth")
    convert_checkpoint(system, tmp_path / "teacher.pth", tmp_path / "converted.pth")
    found = torch.load(tmp_path / "converted.pth", weights_only=True)["state_dict"]
    expected = convert(system, state)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def swin_of_transformers(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Microsoft's names as transformers' own conversion script changes them."""
    renamed = {}
    for name, value in state.items():
        name = name.replace("mlp.0", "mlp.fc1").replace("mlp.3", "mlp.fc2")
        for ours, theirs in (
            ("patch_embed.proj", "embeddings.patch_embeddings.projection"),
            ("patch_embed.norm", "embeddings.norm"),
            ("attn.proj", "attention.output.dense"),
            ("attn", "attention.self"),
            ("norm1", "layernorm_before"),
            ("norm2", "layernorm_after"),
            ("mlp.fc1", "intermediate.dense"),
            ("mlp.fc2", "output.dense"),
        ):
            name = name.replace(ours, theirs)
        name = f"encoder.{name}" if name.startswith("layers") else name
        if ".qkv." in name:
            parts = zip(("query", "key", "value"), value.chunk(3))
            renamed |= {"swin." + name.replace("qkv", part): third for part, third in parts}
        else:
            renamed[f"swin.{name}"] = value
    return renamed | {"swin.layernorm.weight": torch.ones(1), "classifier.bias": torch.ones(1)}


def test_swin_of_transformers(tmp_path):
    arch = dict(embed_dim=12, depths=(1, 2), num_heads=(1, 2))
    options = dict(window_size=4, out_indices=(0, 1), output_norm=False)
    source = randomised(Swin(arch, **options))
    torch.save(swin_of_transformers(source.state_dict()), tmp_path / "pytorch_model.bin")
    image = torch.randn(1, 3, 40, 50)
    found = load(Swin, arch, tmp_path / "pytorch_model.bin", **options)(image)
    torch.testing.assert_close(found, source(image))


@pytest.mark.parametrize("version", [1, 2])
def test_convnext_of_transformers(tmp_path, version):
    arch = dict(dims=(8, 12, 16, 20), depths=(1, 1, 2, 1))
    options = dict(version=version, output_norm="none")
    source = randomised(ConvNeXt(arch, **options))
    theirs = {}
    for name, value in source.state_dict().items():
        for ours, other in (
            ("body.stem.0", "embeddings.patch_embeddings"),
            ("body.stem.1", "embeddings.layernorm"),
            ("body.stages", "encoder.stages"),
            ("downsample", "downsampling_layer"),
            ("blocks", "layers"),
            ("conv_dw", "dwconv"),
            (".norm.", ".layernorm."),
            ("mlp.fc", "pwconv"),
            ("mlp.grn", "grn"),
            ("gamma", "layer_scale_parameter"),
        ):
            name = name.replace(ours, other)
        theirs[f"convnext.{name}"] = value.reshape(1, 1, 1, -1) if ".grn." in name else value
    torch.save(theirs | {"classifier.bias": torch.ones(1)}, tmp_path / "pytorch_model.bin")
    image = torch.randn(1, 3, 64, 96)
    found = load(ConvNeXt, arch, tmp_path / "pytorch_model.bin", **options)(image)
    torch.testing.assert_close(found, source(image))


def test_the_official_file_is_never_replaced(tmp_path) -> None:
    path = tmp_path / "official.pth"
    torch.save({"model": {}}, path)
    before = path.read_bytes()
    (tmp_path / "link.pth").symlink_to(path)
    with pytest.raises(CheckpointError, match="is the official checkpoint itself"):
        convert_checkpoint("swin", path, tmp_path / "link.pth")
    assert path.read_bytes() == before
