"""Golden adapter of ViT-CoMer (system ``vit-comer``) and its plain baseline (``vit-baseline``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from dense3d.adapters import RescaledPyramid, ViTCoMer
from dense3d.checkpoints import convert
from dense3d.errors import DataError
from dense3d.layers import map_to_tokens, tokens_to_map
from dense3d.layers.patch_embed import Grid
from tests.golden import UnknownCheckError
from tests.golden.beit import beit_architecture
from tests.golden.checks import Run, by_name, wanted_indices
from tests.golden.kit import GoldenKit
from tests.golden.notes import stated_grid, stated_numbers
from tests.golden.options import Options
from tests.golden.weights import load_kit

# argument -> default of the official ViT
VIT_DEFAULTS = {
    "pretrain_size": 224,
    "patch_size": 16,
    "in_chans": 3,
    "embed_dim": 768,
    "depth": 12,
    "num_heads": 12,
    "mlp_ratio": 4.0,
    "qkv_bias": True,
    "layer_scale": True,
    "residual_indices": [],
}
# of no effect on evaluation, or on the values that a checkpoint sets
NEUTRAL = ("img_size", "drop_rate", "attn_drop_rate", "drop_path_rate", "with_cp", "pretrained")
# argument of the main branch -> that of the Co-DETR branch, default of the official adapter
_ADAPTER = {
    "interaction_indexes": ("interaction_indexes", None),
    "conv_inplane": ("conv_inplane", 64),
    "n_points": ("n_points", 4),
    "deform_num_heads": ("deform_num_heads", 6),
    "cffn_ratio": ("cffn_ratio", 0.25),
    "deform_ratio": ("deform_ratio", 1.0),
    "with_cffn": ("with_cffn", True),
    "use_CTI_toV": ("use_injector", True),
    "use_CTI_toC": ("use_extractor", True),
    "use_extra_CTI": ("use_extra_extractor", True),
    "extra_num": ("extra_num", 4),
    "add_vit_feature": ("add_vit_feature", True),
    "version": ("version", "new"),
}
_VERSIONS = ("new", "old")


def open_baseline(kit: GoldenKit) -> Run:
    """Build the network of the kit's config and load its weights."""
    blocks_taken = kit.options.take("out_indices")
    model = RescaledPyramid(plain_vit(kit.options), blocks=blocks_taken, token_norm=True)
    load_kit(model, kit, "vit-baseline")

    def backbone(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        maps = model(inputs["image"])
        # the official pooling leaves out a last odd row or column
        sides = [n // 32 for n in inputs["image"].shape[-2:]]
        maps = (*maps[:3], maps[3][..., : sides[0], : sides[1]])
        return {f"f{i + 1}": m for i, m in enumerate(maps)}

    def blocks(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        tokens, grid = model.vit.embed(inputs["image"])
        outputs, start = {}, 0
        for index in wanted_indices(check, "block"):
            tokens = model.vit.run_blocks(tokens, grid, start, index + 1)
            outputs[f"block{index}"], start = tokens, index + 1
        return outputs

    return by_name({"backbone": backbone, "blocks": blocks})


def plain_vit(options: Options) -> dict:
    """Our config of the official ViT, which has neither class token nor final norm."""
    options.neutral(*NEUTRAL)
    for argument in ("embed_layer", "norm_layer", "act_layer"):
        options.only(argument, None)
    config = options.take_all(VIT_DEFAULTS)
    depth = config["depth"]
    windowed = _per_block(options.take("window_attn", False), depth)
    arch = dict(
        embed_dim=config["embed_dim"],
        depth=depth,
        num_heads=config["num_heads"],
        patch_size=config["patch_size"],
        pretrain_size=config["pretrain_size"],
        in_channels=config["in_chans"],
        mlp_ratio=config["mlp_ratio"],
        qkv_bias="full" if config["qkv_bias"] else "none",
        layer_scale=1.0 if config["layer_scale"] else None,
        residual_blocks=config["residual_indices"],
    )
    sizes = _per_block(options.take("window_size", 14), depth)
    return dict(
        arch=arch,
        prefix_tokens=False,
        final_norm=False,
        window_size=[size if inside else None for inside, size in zip(windowed, sizes)],
        window_padding="zero",
    )


def _beit(options: Options, names: list[str]) -> dict:
    """A BEiT in windows; where the official code attends globally, one window is the whole image."""
    options.neutral("pretrain_size", "window_attn", "with_cp", "pretrained")
    arch = beit_architecture(options, names, 224)
    tables = any(name.endswith("attn.relative_position_bias_table") for name in names)
    options.agree("use_rel_pos_bias", tables)
    options.only("use_shared_rel_pos_bias", False)
    return dict(
        arch=arch | dict(relative_position=tables),
        prefix_tokens=False,
        final_norm=False,
        window_size=_per_block(options.take("window_size", 14), arch["depth"]),
        window_padding="bias",
    )


def _per_block(value, depth: int) -> list:
    return list(value) if isinstance(value, list) else [value] * depth


def open_kit(kit: GoldenKit) -> Run:
    """Build the network of the kit's config and load its weights."""
    model = load_kit(_build(kit), kit, "vit-comer")
    checks = _Checks(model, kit)
    return by_name(
        {
            "backbone": checks.backbone,
            "stages": checks.stages,
            "pos_embed": checks.position,
            "modules": checks.modules,
            "small_inputs": checks.modules,
            "layer_decay": checks.layer_decay,
        }
    )


def _build(kit: GoldenKit) -> ViTCoMer:
    options, names = kit.options, [name for name, _, _ in kit.meta["params"]]
    is_beit = any(name.endswith(("relative_position_bias_table", ".attn.q_bias")) for name in names)
    source = kit.meta.get("source", {})
    entry = source.get("entry", "") if isinstance(source, dict) else str(source)
    segmentation = "dim_ratio" in options or "segmentation" in entry
    vit = _beit(options, names) if is_beit else plain_vit(options)
    given = {
        main: options.take(branch if branch in options else main, default)
        for main, (branch, default) in _ADAPTER.items()
    }
    if given["version"] not in _VERSIONS:
        raise options.refusal("version", given["version"], f"supported are {', '.join(_VERSIONS)}")
    return ViTCoMer(
        vit,
        stages=given["interaction_indexes"] and [(s[0], s[-1]) for s in given["interaction_indexes"]],
        num_heads=given["deform_num_heads"],
        num_points=given["n_points"],
        value_ratio=given["deform_ratio"],
        ffn_ratio=given["cffn_ratio"],
        mrfp_ratio=options.take("dim_ratio", 6.0 if segmentation else 0.5),
        stem_width=given["conv_inplane"],
        stagewise=segmentation or given["version"] == "old",
        cnn_to_vit=given["use_CTI_toV"],
        vit_to_cnn=given["use_CTI_toC"],
        cnn_interaction=options.take("cnn_feature_interaction", segmentation),
        extra_interactions=given["extra_num"] if given["use_extra_CTI"] else 0,
        cnn_feed_forward=given["with_cffn"],
        add_vit_feature=given["add_vit_feature"],
        gamma_init=options.take("init_values", 0.0) or 0.0,
    )


class _Checks:
    def __init__(self, model: ViTCoMer, kit: GoldenKit) -> None:
        self.model, self.vit, self.kit = model, model.vit, kit

    def backbone(self, _check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        model = self.model
        c1, outputs, grid = model.interact(inputs["image"])
        patches = [p for p, _ in outputs]
        maps = model.merge(c1, outputs[-1][1], patches, grid)
        as_tokens = (self.kit.meta.get("config") or {}).get("version") == "old"
        return {"x": patches[-1] if as_tokens else tokens_to_map(patches[-1], grid)} | {
            f"f{i + 1}": m for i, m in enumerate(maps)
        }

    def stages(self, _check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        model, image = self.model, inputs["image"]
        stem = model.spm(image)
        results = {"patches": self.vit.patch_embed(image)[0]}
        results |= {f"spm_c{i + 1}": map_to_tokens(m) if i else m for i, m in enumerate(stem)}
        for index, (x, c) in enumerate(model.interact(image)[1]):
            results |= {f"x{index}": x, f"c{index}": c}
        return results

    def position(self, _check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"pos": self.vit.position_table((int(inputs["height"]), int(inputs["width"])))}

    def modules(self, check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Single modules, those that the notes name, on the grid that they name."""
        grid = stated_grid(self.kit, check, inputs["x"].shape[1])
        return {
            name: module(inputs["x"], inputs["c"], grid)
            for name in check["outputs"]
            if (module := self._module(check, name)) is not None
        }

    def _module(self, check: dict, output: str) -> Callable[[Tensor, Tensor, Grid], Tensor] | None:
        """What gives an output, as a function of patches, pyramid and grid; None for an unknown one."""
        block = re.fullmatch(r"block(?:_([a-z]+)|(\d+))", output)
        if block:
            number = self._block(check, output, *block.groups())
            return lambda x, _c, grid: self.vit.run_blocks(x, grid, number, number + 1)
        part = re.fullmatch(r"([a-z_]+?)(\d+)", output)
        if part is None or part[1] not in _PARTS:
            return None
        names, run = _PARTS[part[1]]
        stages = self.model.interactions
        if part[1] in ("extra_cti", "extra_extractor"):
            path = r"(?:extra_CTIs|extra_extractors)\.(\d+)"
            number = self._stated(check, output, path, int(part[2]))
            return lambda x, c, grid: run(self._item(check, self._extras(), number), x, c, grid)
        # "interactions.1.mrfp(c), .cti_tov(x, c)": what begins with a point is of the same stage
        path = rf"interactions\.(\d+)\.(?:\w+\([^()]*\),\s*\.)*?(?:{names})"
        number = self._stated(check, output, path, int(part[2]))
        return lambda x, c, grid: run(self._item(check, stages, number), x, c, grid)

    def _extras(self) -> list[nn.Module]:
        """The extra exchanges, which stand behind the ordinary one of the last stage."""
        pattern = re.compile(r"interactions\.\d+\.(?:extra_CTIs|extra_extractors)\.(\d+)\.")
        matches = (pattern.match(name) for name, _, _ in self.kit.meta["params"])
        extras = {match[1] for match in matches if match}
        exchanges = list(self.model.interactions[-1].to_cnn)
        return exchanges[len(exchanges) - len(extras) :]

    def _stated(self, check: dict, output: str, path: str, default: int) -> int:
        """The number that the notes give to an output, or to those of its kind."""
        numbers = stated_numbers(self.kit, check, path, output) or stated_numbers(self.kit, check, path)
        return default if not numbers or default in numbers else numbers[0]

    def _item(self, check: dict, modules: Sequence, number: int):
        if number >= len(modules):
            raise DataError(f"the check {check['name']!r} is of module {number} of {len(modules)}")
        return modules[number]

    def _block(self, check: dict, output: str, kind: str | None, number: str | None) -> int:
        """The block of an output: as its clause of the notes says, else the one of its kind among them."""
        stated = stated_numbers(self.kit, check, r"blocks\.(\d+)", output)
        if stated:
            return stated[0]
        named = stated_numbers(self.kit, check, r"blocks\.(\d+)")
        if number is not None:
            return int(number) if not named or int(number) in named else named[0]
        if kind in ("window", "global"):
            fitting = [i for i in named or range(len(self.vit.blocks)) if self._is(kind, i)]
            if not fitting:
                raise DataError(f"the ViT of {self.kit.folder} has no block for {output!r}")
            return fitting[0]
        others = sorted(o for o in check["outputs"] if re.fullmatch(r"block_[a-z]", o))
        if output not in others:
            raise UnknownCheckError(f"no note says which block {output!r} of {check['name']!r} is")
        position = others.index(output)
        return named[position] if position < len(named) else position

    def _is(self, kind: str, index: int) -> bool:
        return hasattr(self.vit.blocks[index].attn, "window_size") == (kind == "window")

    def layer_decay(self, _check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Learning rate and weight decay of every official parameter, in the official order."""
        ids = _official_ids(self.kit, self.model)
        top = int(inputs["num_layers"]) + 1
        rate, base = float(inputs["layer_decay_rate"]), float(inputs["lr"])
        decay = float(inputs["weight_decay"])
        lr = [base * rate ** (top - layer) for _, _, layer in ids]
        decays = [0.0 if len(shape) == 1 or name.endswith(".bias") else decay for name, shape, _ in ids]
        return {"lr": torch.tensor(lr), "weight_decay": torch.tensor(decays)}


# beginning of an output's name -> names in the official code, what it gives of its stage or exchange
_PARTS: dict[str, tuple[str, Callable]] = {
    "mrfp": ("mrfp|multiconv", lambda stage, _x, c, grid: stage.mrfp(c, grid)),
    "cti_tov": ("cti_tov|injector", lambda stage, x, c, grid: stage.to_vit(x, c, grid)),
    "msda": ("cti_tov|injector", lambda stage, _x, c, grid: stage.to_vit.attn(c, c, grid)),
    "cti_toc": ("cti_toc|extractor", lambda stage, x, c, grid: stage.to_cnn[0](c, x, grid)),
    "extra_cti": ("", lambda exchange, x, c, grid: exchange(c, x, grid)),
}
_PARTS |= {
    "multiconv": _PARTS["mrfp"],
    "injector": _PARTS["cti_tov"],
    "extractor": _PARTS["cti_toc"],
    "extra_extractor": _PARTS["extra_cti"],
}


def _official_ids(kit: GoldenKit, model: ViTCoMer) -> list[tuple[str, list[int], int]]:
    """Name, shape and layer id of every official parameter, found through the converter."""
    buffers = ("running_mean", "running_var", "num_batches_tracked", "relative_position_index")
    parameters = [(name, shape) for name, shape, _ in kit.meta["params"] if not name.endswith(buffers)]
    layer_ids = model.layer_ids()
    top = model.num_layers + 1
    # each official tensor is marked by its number, which the converter carries to our name
    marked = {name: torch.full(shape, float(i)) for i, (name, shape) in enumerate(parameters)}
    marked |= {name: torch.zeros(shape) for name, shape, _ in kit.meta["params"] if name not in marked}
    converted = convert("vit-comer", marked).items()
    ours = {int(value.flatten()[0]): name for name, value in converted if name in layer_ids}
    return [(name, shape, layer_ids.get(ours.get(i, ""), top)) for i, (name, shape) in enumerate(parameters)]
