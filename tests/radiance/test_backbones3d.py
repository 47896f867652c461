"""ResNet and VGG in three dimensions, and their pyramid, against functions over the official names."""

import re

import pytest
import torch
import torch.nn.functional as F

from dense3d.checkpoints import convert
from dense3d.checkpoints.nerf_rpn import convert_anchor_head, convert_backbone, convert_fcos_head
from dense3d.detection3d.nerf_rpn import AnchorHead3D, FCOSHead3D, NerfRPN
from dense3d.errors import CheckpointError, ConfigError, DataError
from dense3d.radiance.fpn3d import FPN3D
from dense3d.radiance.resnet3d import ResNet3D
from dense3d.radiance.vgg3d import VGG3D


class Official(dict):
    """A state dict in the official layout that makes up a weight when it is first asked for."""

    def conv(self, x, name, out, kernel, stride=1, bias=True):
        weight = self.setdefault(f"{name}.weight", torch.randn(out, x.shape[1], *[kernel] * 3) / kernel**1.5)
        shift = self.setdefault(f"{name}.bias", torch.randn(out) * 0.1) if bias else None
        return F.conv3d(x, weight, shift, stride, kernel // 2)

    def norm(self, x, name):
        made = {
            "weight": torch.rand,
            "bias": torch.randn,
            "running_mean": torch.randn,
            "running_var": torch.rand,
        }
        values = {
            key: self.setdefault(f"{name}.{key}", draw(x.shape[1]) + (key != "bias"))
            for key, draw in made.items()
        }
        self.setdefault(f"{name}.num_batches_tracked", torch.tensor(1))
        return F.batch_norm(
            x, values["running_mean"], values["running_var"], values["weight"], values["bias"]
        )


def _bottleneck(state, x, name, width, stride):
    """Three convolutions, the stride in the first, beside a shortcut."""
    y = state.norm(state.conv(x, f"{name}.conv1", width, 1, stride, False), f"{name}.bn1").relu()
    y = state.norm(state.conv(y, f"{name}.conv2", width, 3, 1, False), f"{name}.bn2").relu()
    y = state.norm(state.conv(y, f"{name}.conv3", 4 * width, 1, 1, False), f"{name}.bn3")
    if stride != 1 or x.shape[1] != 4 * width:
        x = state.norm(
            state.conv(x, f"{name}.downsample.0", 4 * width, 1, stride, False), f"{name}.downsample.1"
        )
    return (y + x).relu()


def _resnet(state, x, depths, width, stride, pool, names):
    x = state.norm(state.conv(x, "conv1", width, 7, stride, False), "bn1").relu()
    x = F.max_pool3d(x, 3, 2, 1) if pool else x
    levels = []
    for stage, depth in enumerate(depths):
        for block in range(depth):
            step = 2 if stage and not block else 1
            x = _bottleneck(state, x, f"{names[stage]}.{block}", width * 2**stage, step)
        levels.append(x)
    return levels


@pytest.mark.parametrize("kind", ["256", "64"])
@torch.no_grad()
def test_resnet_with_its_pyramid(kind):
    """The official files count laterals from the top, and the small network has names of its own."""
    torch.manual_seed(0)
    state, x, large = Official(), torch.rand(1, 4, 19, 16, 13), kind == "256"
    width, out, depths = (64, 256, (1, 2)) if large else (16, 64, (1, 1, 1, 1))
    names = ["layers.0", "layers.1"] if large else [f"layer{n}" for n in (1, 2, 3, 4)]
    levels = _resnet(state, x, depths, width, 2 if large else 1, large, names)
    last, count = levels[-1], len(levels)
    laterals = ["latlayers.0", "latlayers.1"] if large else ["toplayer", *(f"latlayer{n}" for n in (1, 2, 3))]
    smooths = ["smooths.0"] if large else [f"smooth{n}" for n in (1, 2, 3)]
    pyramid = [state.conv(last, laterals[0], out, 1)]
    for lateral, level in zip(laterals[1:], reversed(levels[:-1])):
        mode = dict(mode="nearest") if large else dict(mode="trilinear", align_corners=True)
        coarse = F.interpolate(pyramid[-1], size=level.shape[2:], **mode)
        pyramid.append(coarse + state.conv(level, lateral, out, 1))
    pyramid[1:] = [state.conv(level, name, out, 3) for name, level in zip(smooths, pyramid[1:])]
    options = dict(max_pool=large, stem_stride=2 if large else 1, base_channels=width, depths=depths)
    neck = dict(out_channels=out, smooth_last=False, upsample="nearest" if large else "trilinear")
    model = NerfRPN(
        dict(type="ResNet3D", **options),
        dict(type="AnchorHead3D", sizes=((8,),) * count, num_convs=0),
        neck=dict(type="FPN3D", **neck),
    ).eval()
    found = model.load_state_dict(convert_backbone(state), strict=False)
    assert all(name.startswith("bbox_head.") for name in found.missing_keys) and not found.unexpected_keys
    for ours, theirs in zip(model.pyramid(x), reversed(pyramid)):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4 * theirs.abs().max().item())
    assert model.backbone.out_strides == ((4, 8) if large else (1, 2, 4, 8))


@pytest.mark.parametrize("start", [False, True])
@torch.no_grad()
def test_vgg_with_its_pyramid(start):
    torch.manual_seed(0)
    state, grid = Official(), torch.rand(1, 4, 21, 16, 9)
    x = grid

    def layer(x, name, number, out, kernel=3, stride=1):
        x = state.conv(x, f"{name}.{number}", out, kernel, stride)
        return state.norm(x, f"{name}.{number + 1}").relu()

    beside = None
    if start:
        x = layer(layer(x, "starting_layers", 0, 32), "starting_layers", 3, 32)
        beside = layer(layer(x, "ds_layers", 0, 32, 3, 2), "ds_layers", 3, 32, 3, 2)
        beside = layer(beside, "ds_layers", 6, 128, 1)
    y = F.max_pool3d(layer(x, "layers", 0, 64, 7, 2), 3, 2, 1)
    levels = []
    for number, widths in enumerate(((64, 128), (256, 256), (512, 512), (512, 512)), start=4):
        for place, width in enumerate(widths):
            y = layer(y, f"layers.{number}", 3 * place, width)
        y = F.max_pool3d(y, 2, 2, ceil_mode=True) if number > 4 else y
        levels.append(y)
    if start:
        levels[0] = levels[0] + beside
    laterals = [state.conv(level, f"fpn_neck.lateral_convs.{i}", 256, 1) for i, level in enumerate(levels)]
    for i in (2, 1, 0):
        laterals[i] = laterals[i] + F.interpolate(laterals[i + 1], size=laterals[i].shape[2:])
    pyramid = [state.conv(level, f"fpn_neck.fpn_convs.{i}", 256, 3) for i, level in enumerate(laterals)]
    backbone = dict(type="VGG3D", conv_at_start=start)
    model = NerfRPN(backbone, dict(type="AnchorHead3D", sizes=((8,),) * 4, num_convs=0)).eval()
    found = model.load_state_dict(convert_backbone(state), strict=False)
    assert all(name.startswith("bbox_head.") for name in found.missing_keys) and not found.unexpected_keys
    for ours, theirs in zip(model.pyramid(grid), pyramid):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4 * theirs.abs().max().item())


def test_pyramids_with_further_levels():
    levels = [torch.rand(2, 3, 8, 7, 5), torch.rand(2, 5, 4, 4, 3)]
    for source in (False, True, "on_input", "on_lateral", "on_output"):
        neck = FPN3D([3, 5], 4, num_outs=4, add_extra_convs=source, relu_before_extra_convs=True)
        shapes = [tuple(level.shape[1:]) for level in neck(levels)]
        assert shapes == [(4, 8, 7, 5), (4, 4, 4, 3), (4, 2, 2, 2), (4, 1, 1, 1)]
    assert neck.out_strides((4, 8)) == (4, 8, 16, 32)
    assert len(FPN3D([3, 5], 4, start_level=1)(levels)) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FPN3D([3], upsample="cubic"), "upsample='cubic'"),
        (lambda: FPN3D([3, 5], num_outs=1), "num_outs=1"),
        (lambda: FPN3D([3], add_extra_convs="inputs"), "add_extra_convs='inputs'"),
        (lambda: VGG3D("A"), "has no levels for a pyramid"),
        (lambda: VGG3D("EG"), "architecture='EG'"),
        (lambda: VGG3D(stem_stride=1, conv_at_start=True), "stem_stride=1"),
        (lambda: ResNet3D(initialisation="xavier"), "initialisation='xavier'"),
    ],
)
def test_options(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_small_vgg_keeps_the_size_and_bad_grids_are_refused():
    model = VGG3D(stem_stride=1).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 4, 4, 3, 2))[0].shape == (1, 128, 4, 3, 2)
    assert model.out_strides == (1, 2, 4, 8)
    with pytest.raises(DataError, match="batch of grids"):
        model(torch.zeros(1, 3, 8, 8, 8))


def test_heads_of_official_files():
    """Every name finds its place; a scale of a fifth level, which nothing uses, goes; others are listed."""
    fcos = FCOSHead3D(32, (4, 8, 16, 32), num_convs=1)
    official = {
        f"head.{name}": value.reshape(-1) if "scale" in name else value
        for name, value in fcos.state_dict().items()
    }
    official["head.scales.4.scale"] = torch.ones(1)
    fcos.load_state_dict(convert_fcos_head(official))
    with pytest.raises(CheckpointError, match="extra"):
        convert_fcos_head(official | {"head.extra": torch.ones(1)})
    anchors = AnchorHead3D(8, num_convs=1)
    anchors.load_state_dict(convert_anchor_head(anchors.state_dict()))


@pytest.mark.parametrize("head", ["fcos_state_dict", "rpn_head_state_dict"])
def test_files_of_whole_detectors(head):
    """As the official scripts write them: backbone and head apart, other entries beside them."""
    kind = "FCOSHead3D" if head.startswith("fcos") else "AnchorHead3D"
    options = dict(num_convs=1) if kind == "FCOSHead3D" else dict(num_convs=1, sizes=((8,),) * 4)
    arch = dict(embed_dim=12, depths=(1, 1, 1, 1), num_heads=(1, 2, 2, 2))
    model = NerfRPN(
        dict(type="Swin3D", arch=arch),
        dict(type=kind, **options),
        neck=dict(type="FPN3D", out_channels=32),
    )
    state, parts = model.state_dict(), {"backbone_state_dict": {}, head: {}}
    for name, value in state.items():
        part, _, rest = name.partition(".")
        if part == "neck":
            parts["backbone_state_dict"][f"fpn_neck.{rest}"] = value
        elif part == "bbox_head":
            prefix = "head." if kind == "FCOSHead3D" else ""
            parts[head][prefix + rest] = value.reshape(1) if rest.endswith(".scale") else value
        else:
            parts["backbone_state_dict"][official_swin(rest)] = value
    found = convert("nerf-rpn", {**parts, "epoch": 200, "train_args": {"lr": 3e-4}})
    assert found.keys() == state.keys() and all(torch.equal(found[name], state[name]) for name in state)
    alone = convert("nerf-rpn-backbone", parts)
    assert alone.keys() == {name for name in state if not name.startswith("bbox_head.")}
    with pytest.raises(CheckpointError, match="has no head"):
        convert("nerf-rpn", {"backbone_state_dict": parts["backbone_state_dict"]})


def official_swin(name: str) -> str:
    """The name of a weight of ``Swin3D`` in official files: merging is block 0 of a later stage."""
    name = name.replace("patch_embed.proj", "patch_partition.0").replace(
        "patch_embed.norm", "patch_partition.2"
    )
    name = re.sub(r"^stages\.(\d+)\.merge\.", r"stages.\1.0.", name)
    later = re.fullmatch(r"stages\.(\d+)\.blocks\.(\d+)\.(.+)", name)
    return f"stages.{later[1]}.{int(later[2]) + (later[1] != '0')}.{later[3]}" if later else name


@pytest.mark.parametrize("kind", ["resnet", "pyramid"])
def test_weights_that_are_loaded_are_not_drawn_again(kind, tmp_path):
    def made(**options):
        if kind == "resnet":
            return ResNet3D(depths=(1,), base_channels=4, **options)
        return FPN3D([4], 4, initialisation="kaiming", **options)

    first, file = made(), tmp_path / "weights.pth"
    torch.save(first.state_dict(), file)
    second = made(init_cfg=dict(type="Pretrained", checkpoint=str(file)))
    second.init_weights()
    second.init_weights()
    for name, value in second.state_dict().items():
        assert torch.equal(value, first.state_dict()[name]), name
