"""Golden adapters of HyenaND: operators alone, and plain vision transformers with them."""

from __future__ import annotations

import re
from collections.abc import Collection

from torch import nn

from dense3d.backbones import HyenaViT
from dense3d.checkpoints import convert
from dense3d.checkpoints.hyena import convert_head, convert_operator
from dense3d.layers.hyena import HyenaOperator
from tests.golden.checks import Run, by_name
from tests.golden.kit import GoldenKit
from tests.golden.options import Options, square
from tests.golden.weights import load_strictly, tensors_of

_DIRECTIONS = {name: name for name in ("standard", "seq", "parallel", "4dir", "4dirp")}
_WINDOWS = {name: name for name in ("standard", "learn", "symettric", "no")}


def open_operators(kit: GoldenKit) -> Run:
    """Build the operators that ``modules`` of the config name, each with arguments of its own."""
    official = tensors_of(kit)
    shared = ("d_model", "l_max", "filter_order")  # unless a module says otherwise
    common = {name: kit.options.take(name) for name in shared if name in kit.options}
    operators: dict[str, HyenaOperator] = {}
    for name, arguments in kit.options.take("modules").items():
        options = Options({**common, **arguments}, f"{kit.folder}, module {name}")
        operators[name] = _operator(options)
        options.refuse_rest()
        state = {k.removeprefix(f"{name}."): v for k, v in official.items() if k.startswith(f"{name}.")}
        load_strictly(operators[name], convert_operator(state), kit)

    def operator(check: dict) -> HyenaOperator:
        return operators[check["name"].partition(".")[2]]

    def filter_of(check: dict, x: dict) -> dict:
        side = int(x["l"])
        kernels = operator(check).filter((side, side)).flatten(0, 1)  # (K C, l, l)
        return {"filter": kernels.permute(1, 2, 0)}

    return by_name({"mixer": lambda check, x: {"y": operator(check)(x["map"])}, "filter": filter_of})


def _operator(options: Options) -> HyenaOperator:
    options.neutral("dropout", "filter_dropout", "lr", "lr_pos_emb", "wd", "modulation_lr", "channels")
    # what the buffers of the window follow from
    options.neutral("fast_decay_pct", "slow_decay_pct", "target")
    return HyenaOperator(
        options.take("d_model"),
        options.take("l_max"),
        order=options.take("order", 2),
        direction=options.choose("directional_mode", _DIRECTIONS, "standard"),
        **_filter(options, {"separable": "hyena2d_filter", "hidden_dim": "filter_order"}),
    )


def _filter(options: Options, names: dict[str, str]) -> dict:
    """Arguments of the filter, some of which have other names in a network's config."""
    joint = options.take(names["separable"], False)
    hidden = options.take(names["hidden_dim"], 64)
    window = options.choose("window_mode", _WINDOWS, "standard")
    root = options.take("hyena2d_sqrt_decay" if "hyena2d_sqrt_decay" in options else "sqrt_decay", False)
    found = dict(
        separable=not joint,
        hidden_dim=hidden,
        window=window,
        sqrt_decay=bool(root and joint),  # the official code does not read it otherwise
        position_dim=options.take("emb_dim", 3),
        hidden_layers=options.take("num_inner_mlps", 2),
    )
    options.neutral("w")  # where the frequency starts
    options.only("shift", 0.0)
    options.only("modulate", True)
    if options.take("direct_paramtrization", False):
        return {"free_filter": True}
    return found


def _network_with_hyena_in(numbers: Collection[int]) -> type[HyenaViT]:
    """The network that has Hyena in the blocks of these numbers, as the kit's parameters show."""

    class Network(HyenaViT):
        def has_hyena(self, number: int) -> bool:
            return number in numbers

    return Network


def open_vit(kit: GoldenKit) -> Run:
    """Build the network with the kit's weights."""
    options, official = kit.options, tensors_of(kit)
    options.neutral("grad_cp", "drop_rate", "attn_drop_rate", "drop_path_rate", "weight_init")
    options.only("use_cls_token", False)
    options.only("distilled", False)
    options.only("representation_size", None)
    filter_options = _filter(options, {"separable": "hyena2d_filter", "hidden_dim": "hyena_filter_order"})
    found = {int(m[1]) for name in official if (m := re.match(r"blocks\.(\d+)\.attn\.in_proj\.", name))}
    model = _network_with_hyena_in(found)(
        dict(
            embed_dim=options.take("embed_dim", 768),
            depth=options.take("depth", 12),
            num_heads=options.take("num_heads", 12),
            mlp_ratio=options.take("mlp_ratio", 4.0),
            qkv_bias="full" if options.take("qkv_bias", True) else "none",
            patch_size=options.take("patch_size", 16),
            pretrain_size=square(options, "img_size", 224),
            in_channels=options.take("in_chans", 3),
        ),
        method=options.take("method"),
        direction=options.choose("directional_mode", _DIRECTIONS),
        order=options.take("hyena_order", 2),
        free_filter=filter_options.pop("free_filter", False),
        filter_options=filter_options,
    )
    head = model.class_head(options.take("num_classes", 1000))
    load_strictly(model, convert("hyena", official), kit)
    load_strictly(head, convert_head(official), kit)
    grid = model.arch.table_grid

    def block(check: dict) -> nn.Module:
        number = re.search(r"block (\d+)", check["note"])
        return model.blocks[int(number[1]) if number else -1]

    return by_name(
        {
            "features": lambda _, x: {"f1": model(x["image"])[0]},
            "logits": lambda _, x: {"logits": head(model.encode(x["image"]))},
            "block": lambda check, x: {"y": block(check)(x["tokens"], grid)},
        }
    )
