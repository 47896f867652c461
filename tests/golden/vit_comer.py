"""Golden adapter of ViT-CoMer (system ``vit-comer``) and its plain baseline (``vit-baseline``)."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from dense3d.adapters import RescaledPyramid, ViTCoMer
from dense3d.adapters.interaction import CtiStage
from dense3d.checkpoints import convert
from dense3d.errors import DataError
from dense3d.layers import map_to_tokens, tokens_to_map
from tests.golden.beit import beit_architecture
from tests.golden.checks import Run, by_name, config_of, wanted_indices
from tests.golden.kit import GoldenKit
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
    "window_attn": False,
    "window_size": 14,
    "residual_indices": [],
}
# of no effect on evaluation, or on the values that a checkpoint sets
VIT_NEUTRAL = {"img_size", "drop_rate", "attn_drop_rate", "drop_path_rate", "with_cp", "pretrained"}


def open_baseline(kit: GoldenKit) -> Run:
    """Build the network of the kit's config and load its weights."""
    known = {*VIT_DEFAULTS, *VIT_NEUTRAL, "out_indices"}
    config = VIT_DEFAULTS | config_of(kit, known)
    model = RescaledPyramid(plain_vit(config), blocks=config["out_indices"], token_norm=True)
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


def plain_vit(config: dict) -> dict:
    """Our config of the official ViT, which has neither class token nor final norm."""
    depth = config["depth"]
    windowed = _per_block(config["window_attn"], depth)
    sizes = _per_block(config["window_size"], depth)
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
    return dict(
        arch=arch,
        prefix_tokens=False,
        final_norm=False,
        window_size=[size if inside else None for inside, size in zip(windowed, sizes)],
        window_padding="zero",
    )


def _per_block(value, depth: int) -> list:
    return list(value) if isinstance(value, list) else [value] * depth


# argument -> default of the official adapter
_DEFAULTS = {
    "interaction_indexes": None,
    "conv_inplane": 64,
    "n_points": 4,
    "deform_num_heads": 6,
    "cffn_ratio": 0.25,
    "deform_ratio": 1.0,
    "with_cffn": True,
    "use_extra_CTI": True,
    "extra_num": 4,
    "add_vit_feature": True,
}
# arguments of the Co-DETR branch -> those of the main branch
_BRANCH = {
    "use_injector": "use_CTI_toV",
    "use_extractor": "use_CTI_toC",
    "use_extra_extractor": "use_extra_CTI",
}
_BEIT = {"init_values": 0.0, "use_abs_pos_emb": False, "use_rel_pos_bias": True, "version": "new"}
_SWITCHES = {"use_CTI_toV", "use_CTI_toC", "cnn_feature_interaction"}


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
    known = {*VIT_DEFAULTS, *VIT_NEUTRAL, *_DEFAULTS, *_BRANCH, *_BEIT, *_SWITCHES, "dim_ratio"}
    given = config_of(kit, known)
    given = {_BRANCH.get(name, name): value for name, value in given.items()}
    if not given.get("with_cffn", True):
        raise DataError(f"{kit.folder}: with_cffn=False, no feed-forward networks, is not supported")
    names = [name for name, _, _ in kit.meta["params"]]
    is_beit = any(name.endswith("relative_position_bias_table") for name in names)
    segmentation = _is_segmentation(kit, given)
    variant = {"cnn_feature_interaction": segmentation, "dim_ratio": 6.0 if segmentation else 0.5}
    switches = {"use_CTI_toV": True, "use_CTI_toC": True}
    config = VIT_DEFAULTS | _BEIT | _DEFAULTS | switches | variant | given
    return ViTCoMer(
        _beit(config) if is_beit else plain_vit(config),
        stages=config["interaction_indexes"],
        num_heads=config["deform_num_heads"],
        num_points=config["n_points"],
        value_ratio=config["deform_ratio"],
        ffn_ratio=config["cffn_ratio"],
        mrfp_ratio=config["dim_ratio"],
        stem_width=config["conv_inplane"],
        stagewise=segmentation or config["version"] == "old",
        cnn_to_vit=config["use_CTI_toV"],
        vit_to_cnn=config["use_CTI_toC"],
        cnn_interaction=config["cnn_feature_interaction"],
        extra_interactions=config["extra_num"] if config["use_extra_CTI"] else 0,
        add_vit_feature=config["add_vit_feature"],
        gamma_init=config["init_values"],
    )


def _is_segmentation(kit: GoldenKit, given: dict) -> bool:
    source = kit.meta.get("source", {})
    entry = source.get("entry", "") if isinstance(source, dict) else str(source)
    return "dim_ratio" in given or "segmentation" in entry


def _beit(config: dict) -> dict:
    """A BEiT in windows; where the official code attends globally, one window is the whole image."""
    vit = plain_vit(config | {"window_attn": True})
    config = {"img_size": 224} | config | {"use_rel_pos_bias": True}
    return vit | {"arch": beit_architecture(config), "window_padding": "bias"}


class _Checks:
    def __init__(self, model: ViTCoMer, kit: GoldenKit) -> None:
        self.model, self.vit, self.kit = model, model.vit, kit

    def backbone(self, _check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        model = self.model
        c1, outputs, grid = model.interact(inputs["image"])
        patches = [p for p, _ in outputs]
        maps = model.merge(c1, outputs[-1][1], patches, grid)
        return {"x": tokens_to_map(patches[-1], grid)} | {f"f{i + 1}": m for i, m in enumerate(maps)}

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
        """Single modules on a grid that the note of the check gives, 6 x 10 where it gives none."""
        x, c = inputs["x"], inputs["c"]
        grid = _grid(check, x.shape[1])
        first, last = self.model.interactions[0], self.model.interactions[-1]
        ways = {
            ("mrfp0", "multiconv0"): lambda: first.mrfp(c, grid),
            ("cti_tov0", "injector0"): lambda: first.to_vit(x, c, grid),
            ("msda0",): lambda: first.to_vit.attn(c, c, grid),
            ("cti_toc0", "extractor0"): lambda: first.to_cnn[0](c, x, grid),
            ("extra_cti0", "extra_extractor0"): lambda: _first_extra(last)(c, x, grid),
            ("block_window", "block_a"): lambda: self._block(0, x, grid),
            ("block_b",): lambda: self._block(1, x, grid),
            ("block_global",): lambda: self._block(self._global_block(), x, grid),
        }
        return {name: way() for names, way in ways.items() for name in names if name in check["outputs"]}

    def _block(self, index: int, x: Tensor, grid: tuple[int, int]) -> Tensor:
        return self.vit.run_blocks(x, grid, index, index + 1)

    def _global_block(self) -> int:
        """The first block without windows."""
        return next(i for i, b in enumerate(self.vit.blocks) if not hasattr(b.attn, "window_size"))

    def layer_decay(self, _check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Learning rate and weight decay of every official parameter, in the official order."""
        ids = _official_ids(self.kit, self.model)
        top = int(inputs["num_layers"]) + 1
        rate, base = float(inputs["layer_decay_rate"]), float(inputs["lr"])
        decay = float(inputs["weight_decay"])
        lr = [base * rate ** (top - layer) for _, _, layer in ids]
        decays = [0.0 if len(shape) == 1 or name.endswith(".bias") else decay for name, shape, _ in ids]
        return {"lr": torch.tensor(lr), "weight_decay": torch.tensor(decays)}


def _first_extra(stage: CtiStage):
    return next(exchange for exchange in stage.to_cnn if exchange.ffn is not None)


def _grid(check: dict, count: int) -> tuple[int, int]:
    match = re.search(r"grid (\d+)x(\d+)", check.get("note", ""))
    if match:
        return int(match.group(1)), int(match.group(2))
    if count == 60:
        return 6, 10
    raise DataError(f"the check {check['name']!r} does not say on which grid its {count} tokens lie")


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
