"""Cases of the suite ``backbones``: research backbones beside timm's, or beside their official steps.

Where timm has the network, it is the peer, with the same weights. Else the peer is a copy of ours whose
mixers of tokens go step by step as the official code does (:mod:`.backbone_attentions`,
:mod:`.backbone_filters`); all other parts, and all weights, are the same. Networks have the released widths
and a block or two a stage.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from types import MethodType
from typing import Any

import torch
from timm.models import convit as timm_convit
from timm.models import metaformer as timm_metaformer
from timm.models import tnt as timm_tnt
from torch import Tensor, nn

from dense3d import backbones
from dense3d.backbones import (
    crossformer,
    cvt,
    hornet,
    ppma,
    pyramid_tnt,
    rmt,
    s2aformer,
    sgformer,
    soft,
    spectformer,
    t2t_vit,
    uniformer,
    vit_resnas,
)
from dense3d.benchmarks.backbone_attentions import ATTENTIONS, DROPPING, Steps
from dense3d.benchmarks.backbone_filters import FILTERS
from dense3d.benchmarks.image_workloads import image_workload, last_map, sizes_at_precisions
from dense3d.benchmarks.timing import OURS, Case, Workload
from dense3d.checkpoints import convert

STEPS = "official steps"
_BATCH = 1
_NOISE = 0.05
_DEPTHS, _WIDTHS = (1, 1, 2, 1), (64, 128, 320, 512)

Build = Callable[..., nn.Module]  # of the side of images and options to a network


def straightforward(network: nn.Module, steps: Steps) -> nn.Module:
    """A copy of a network, same weights, in which ``steps`` replace methods of its modules."""
    peer = copy.deepcopy(network)
    for module in peer.modules():
        kind = next((kind for kind in type(module).__mro__ if kind in steps), None)
        if kind is not None:
            name, function = steps[kind]
            setattr(module, name, MethodType(function, module))
    return peer


def vivid(network: nn.Module) -> nn.Module:
    """The network with noise on its weights: else branches that start near zero would differ unseen."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += _NOISE * torch.randn_like(parameter)
    return network


def beside_steps(
    device: torch.device,
    batch: int,
    side: int,
    precision: str,
    build: Build,
    steps: Steps | None = None,
    output: Callable[[nn.Module], Callable[[Tensor], Tensor]] = last_map,
    **options: Any,
) -> Workload:
    """A network of ours and a straightforward copy."""
    torch.manual_seed(0)
    ours = vivid(build(side, **options))
    peer = straightforward(ours, ATTENTIONS | FILTERS | (steps or {}))
    contenders = {OURS: output(ours), STEPS: output(peer)}
    return image_workload(device, batch, side, precision, (ours, peer), contenders)


def beside_timm(
    device: torch.device, batch: int, side: int, precision: str, build: Callable, **options: Any
) -> Workload:
    """A network of ours and timm's, which give the last map without a norm."""
    torch.manual_seed(0)
    ours, peer, converter = build(side, **options)
    vivid(peer)
    official = {name: value for name, value in peer.state_dict().items() if not name.startswith("norm.")}
    ours.load_state_dict(convert(converter, official))
    contenders = {
        OURS: last_map(ours),
        "timm": lambda images: peer.forward_intermediates(images, indices=1, intermediates_only=True)[-1],
    }
    return image_workload(device, batch, side, precision, (ours, peer), contenders)


def _metaformer(side: int, arch: dict, mixers: str, group_norm: bool = False) -> tuple:
    """CAFormer, ConvFormer and PoolFormerV2."""
    kinds = {"pool": timm_metaformer.Pooling, "conv": timm_metaformer.SepConv}
    kinds["attention"] = timm_metaformer.Attention
    names = {"pool": ["pool"] * 4, "conv": ["conv"] * 4, "conv, attention": ["conv"] * 2 + ["attention"] * 2}
    norms = [timm_metaformer.GroupNorm1NoBias] * 4 if group_norm else None
    norms = norms or [
        timm_metaformer.LayerNormNoBias if name == "attention" else timm_metaformer.LayerNorm2dNoBias
        for name in names[mixers]
    ]
    peer = timm_metaformer.MetaFormer(
        num_classes=0, token_mixers=[kinds[name] for name in names[mixers]], norm_layers=norms, **arch
    )
    norm = "group" if group_norm else "channel"
    return backbones.MetaFormer(dict(arch, mixers=tuple(names[mixers]), norm=norm)), peer, "metaformer"


def _poolformer(side: int, arch: dict) -> tuple:
    peer = timm_metaformer.MetaFormer(
        num_classes=0,
        downsample_norm=None,
        mlp_act=nn.GELU,
        mlp_bias=True,
        norm_layers=timm_metaformer.GroupNorm1,
        layer_scale_init_values=1e-5,
        res_scale_init_values=None,
        use_mlp_head=False,
        **arch,
    )
    return backbones.PoolFormer(arch, output_norm=False), peer, "poolformer"


def _tnt(side: int, **sizes: Any) -> tuple:
    arch = dict(sizes, pretrain_size=side)
    names = {"inner_heads": "num_heads_inner", "num_heads": "num_heads_outer"}
    peer = timm_tnt.TNT(
        img_size=side, num_classes=0, **{names.get(name, name): value for name, value in sizes.items()}
    )
    return backbones.TNT(arch, final_norm=False), peer, "tnt"


def _convit(side: int, **sizes: Any) -> tuple:
    sizes = dict(sizes, num_heads=sizes.get("num_heads", 4))
    peer = timm_convit.ConVit(
        img_size=side,
        num_classes=0,
        embed_dim=sizes["embed_dim"] // sizes["num_heads"],
        depth=sizes["depth"],
        num_heads=sizes["num_heads"],
        local_up_to_layer=sizes["local_layers"],
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
    )
    return backbones.ConViT(dict(sizes, pretrain_size=side), final_norm=False), peer, "convit"


def _class_token(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """What is left of the tokens is the business of ours alone; the class token sees the same."""
    return lambda images: network.encode(images)[:, 0]


def _t2t_vit(side: int, arch: dict) -> nn.Module:
    network = backbones.T2TViT(dict(arch, pretrain_size=side))
    for module in network.modules():
        if isinstance(module, t2t_vit.TokenPerformer):
            module.dropout = 0.0  # else no two passes are alike
    return network


def _steps(
    name: str,
    kind: type[nn.Module],
    timed: dict,
    tiny: str | dict = "",
    sized: str | None = None,
    tiny_side: int = 64,
    build: Build | None = None,
    **how: Any,
) -> Case:
    """A family beside its official steps.

    Args:
        name: of the case.
        kind: class of the backbone.
        timed: its arguments for timings.
        tiny: name among its tiny variants, or arguments for a run that costs nothing.
        sized: the argument that is the side of the images.
        tiny_side: of the images of that run.
        build: makes the network, if not ``kind`` with those arguments.
        how: ``steps`` and ``output``, see :func:`beside_steps`.
    """

    def of_kind(side: int, **arguments: Any) -> nn.Module:
        still = {} if kind is backbones.Activator else {"drop_path_rate": 0.0}
        return kind(**{**arguments, **still, **({sized: side} if sized else {})})

    arguments = kind.tiny_variants[tiny] if isinstance(tiny, str) else tiny
    run = partial(beside_steps, build=build or of_kind, **how)
    return Case(
        name,
        run,
        sizes_at_precisions(_BATCH, **timed),
        dict(arguments, batch=1, side=tiny_side, precision="float32"),
    )


def _timm(name: str, build: Callable, timed: dict, tiny: dict) -> Case:
    run = partial(beside_timm, build=build)
    sizes = sizes_at_precisions(_BATCH, **timed)
    return Case(name, run, sizes, dict(tiny, batch=1, side=64, precision="float32"))


def _cut(arch: dict, depths: tuple[int, ...] = _DEPTHS, **changes: Any) -> dict:
    """A released size with fewer blocks, as the argument ``arch``."""
    return dict(arch=dict(arch, depths=depths, **changes))


_DEIT = dict(name="deit_small_patch16", depth=6)
_HYENA = dict(name="deit_tiny_patch16", depth=3)
_SMALL = dict(dims=(32, 64, 96, 128), depths=(1, 1, 1, 1))
_RESNAS = vit_resnas.ARCHITECTURES["tiny"]

CASES = [
    _timm("PoolFormer", _poolformer, dict(arch=dict(dims=_WIDTHS, depths=_DEPTHS)), dict(arch=_SMALL)),
    _timm(
        "PoolFormerV2",
        _metaformer,
        dict(arch=dict(dims=_WIDTHS, depths=_DEPTHS), mixers="pool", group_norm=True),
        dict(arch=_SMALL, mixers="pool", group_norm=True),
    ),
    _timm(
        "CAFormer",
        _metaformer,
        dict(arch=dict(dims=_WIDTHS, depths=_DEPTHS), mixers="conv, attention"),
        dict(arch=_SMALL, mixers="conv, attention"),
    ),
    _timm(
        "ConvFormer",
        _metaformer,
        dict(arch=dict(dims=_WIDTHS, depths=_DEPTHS), mixers="conv"),
        dict(arch=_SMALL, mixers="conv"),
    ),
    _timm(
        "TNT",
        _tnt,
        dict(embed_dim=384, depth=2, num_heads=6, inner_dim=24, inner_heads=4),
        dict(embed_dim=32, depth=2, num_heads=2, inner_dim=4, inner_heads=2),
    ),
    _timm(
        "ConViT",
        _convit,
        dict(embed_dim=192, depth=4, num_heads=4, local_layers=3),
        dict(embed_dim=32, depth=3, num_heads=4, local_layers=2),
    ),
    _steps("RMT", backbones.RMT, _cut(rmt.ARCHITECTURES["tiny"])),
    _steps("PPMA", backbones.PPMA, _cut(ppma.ARCHITECTURES["tiny"])),
    _steps("S2AFormer", backbones.S2AFormer, _cut(s2aformer.ARCHITECTURES["small"])),
    _steps(
        "SG-Former",
        backbones.SGFormer,
        _cut(sgformer.ARCHITECTURES["small"], (2, 2, 2, 1)),
        sized="img_size",
        tiny_side=224,
    ),
    _steps("HorNet", backbones.HorNet, _cut(dict(base_dim=64)), "7x7"),
    _steps(
        "HorNet-GF",
        backbones.HorNet,
        _cut(dict(base_dim=64), filters=hornet.ARCHITECTURES["tiny_gf"]["filters"]),
        "global filter",
    ),
    _steps(
        "SpectFormer",
        backbones.SpectFormer,
        _cut(spectformer.ARCHITECTURES["small"]),
        sized="pretrain_size",
    ),
    _steps("SVT", backbones.SVT, _cut(spectformer.ARCHITECTURES["small"]), sized="pretrain_size"),
    _steps(
        "HyenaViT",
        backbones.HyenaViT,
        dict(arch=_HYENA),
        build=lambda side, arch, **options: backbones.HyenaViT(dict(arch, pretrain_size=side), **options),
    ),
    _steps(
        "HyenaSwin",
        backbones.HyenaSwin,
        dict(arch=dict(embed_dim=96, depths=_DEPTHS, num_heads=(1, 1, 1, 1))),
        sized="pretrain_size",
    ),
    _steps("UniFormer", backbones.UniFormer, _cut(uniformer.ARCHITECTURES["small"]), "conv stem"),
    _steps("CrossFormer", backbones.CrossFormer, _cut(crossformer.ARCHITECTURES["small"], (2, 2, 2, 1))),
    _steps(
        "CrossFormer++",
        backbones.CrossFormer,
        _cut(crossformer.ARCHITECTURES["pp_small"], (2, 2, 4, 1)),
        "++",
    ),
    _steps(
        "CoSwin",
        backbones.CoSwin,
        dict(arch=dict(embed_dim=96, depths=(2, 2, 2), num_heads=(3, 6, 12)), window_size=7),
        dict(arch=dict(embed_dim=16, depths=(2, 1, 2), num_heads=(1, 2, 2))),
    ),
    _steps(
        "Activator",
        backbones.Activator,
        dict(arch=dict(dims=(256,), hidden_dims=(512,), depths=(4,)), patch_size=16),
        "published",
    ),
    _steps(
        "PyramidTNT", backbones.PyramidTNT, _cut(pyramid_tnt.ARCHITECTURES["small"]), sized="pretrain_size"
    ),
    _steps(
        "T2T-ViT",
        backbones.T2TViT,
        dict(arch=dict(name="14", depth=3)),
        dict(arch=dict(embed_dim=32, depth=2, num_heads=2, token_dim=8)),
        build=_t2t_vit,
    ),
    _steps("ResFormer", backbones.ResFormer, dict(arch=dict(name="small", depth=3))),
    _steps(
        "ViR", backbones.ViR, dict(arch=dict(name="small_patch16", depth=3), form="chunkwise"), "chunkwise"
    ),
    _steps("CvT", backbones.CvT, dict(arch=dict(cvt.ARCHITECTURES["13"], depths=(1, 1, 2)))),
    _steps("SOFT", backbones.SOFT, _cut(soft.ARCHITECTURES["tiny"]) | dict(normalised=False), "plain"),
    _steps("SOFT-Norm", backbones.SOFT, _cut(soft.ARCHITECTURES["tiny"]), "normalised"),
    _steps(
        "DuoFormer",
        backbones.DuoFormer,
        dict(
            arch=dict(
                block="basic",
                layers=(1, 1, 1, 1),
                channels=(64, 128, 256, 512),
                embed_dim=384,
                depth=1,
                num_heads=6,
            )
        ),
        "random",
    ),
    _steps(
        "ViT-ResNAS",
        backbones.ViTResNAS,
        dict(arch=dict(_RESNAS, blocks=tuple(blocks[:2] for blocks in _RESNAS["blocks"])), pyramid=False),
        dict(backbones.ViTResNAS.tiny_variants[""], pyramid=False),
        tiny_side=112,
    ),
    _steps(
        "IA-RED2",
        backbones.IARed2,
        dict(arch=_DEIT, group_sizes=(2, 2, 2)),
        dict(backbones.IARed2.tiny_variants[""], out_indices=(-1,)),
        build=lambda side, **options: backbones.IARed2(**options),
        steps=DROPPING,
        output=_class_token,
    ),
    Case("CrossViT", beside_steps, {}, note="its blocks are timm's own; there is nothing to compare"),
]
