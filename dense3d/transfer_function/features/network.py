"""From a checkpoint file to the network that gives keys: official files and converted ones."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import fields

import torch
from torch import Tensor

from dense3d.backbones import VisionTransformer
from dense3d.backbones.vit_architectures import ARCHITECTURES, ViTArchitecture, architecture
from dense3d.backbones.vit_weights import fit
from dense3d.checkpoints import convert
from dense3d.checkpoints.vit_layout import from_transformers, unwrapped
from dense3d.engine.checkpoint import load_checkpoint, load_into, weights_of
from dense3d.errors import CheckpointError, ConfigError, Dense3dError
from dense3d.layers.patch_embed import sincos_position_table
from dense3d.transfer_function.features.keys import KeyNetwork

FAMILIES = ("dino", "dinov2", "dinov3", "mae", "deit", "augreg")
_MARKER = "patch_embed.proj.weight"


def load_key_network(
    checkpoint: str | os.PathLike, arch: str | dict | None = None, part: str = "k"
) -> KeyNetwork:
    """The network of a checkpoint of DINO, DINOv2, DINOv3, MAE or DeiT.

    Args:
        checkpoint: official file, of Hugging Face or timm too, or one that ``dense3d convert`` or a training
            of dense3d wrote.
        arch: as :class:`dense3d.backbones.VisionTransformer` takes it; found by the weights' names and shapes
            unless given.
        part: ``"k"``, ``"q"`` or ``"v"``.

    Raises:
        CheckpointError: the file cannot be read, or is of no plain vision transformer.
        ConfigError: no released architecture has these shapes, and none is given.
    """
    loaded = load_checkpoint(checkpoint)
    meta = loaded.get("meta")
    family = meta.get("converted_from") if isinstance(meta, Mapping) else None
    try:
        state, family = _converted(loaded, checkpoint, family)
        network = VisionTransformer(arch or released_architecture(state, family, checkpoint))
        load_into(network, fit(network, state), source=str(checkpoint))
    except Dense3dError:
        raise
    except Exception as error:  # of any kind: shapes and types that no network of these names has
        raise CheckpointError(
            f"{checkpoint} has the names of a vision transformer, but not its shapes and types "
            f"({type(error).__name__}: {' '.join(str(error).split())[:120]}): copy it again"
        ) from error
    return KeyNetwork(network, part)


def _converted(
    loaded: Mapping, checkpoint: str | os.PathLike, family: str | None
) -> tuple[dict[str, Tensor], str]:
    """Weights in our layout and what they are from."""
    own = weights_of(loaded, checkpoint) if "state_dict" in loaded else {}
    prefix = next((name[: -len(_MARKER)] for name in own if name.endswith(_MARKER)), None)
    if prefix is not None and (family is not None or _is_ours(own, prefix)):
        state = {name.removeprefix(prefix): v for name, v in own.items() if name.startswith(prefix)}
        if prefix == "encoder.":
            state = {name: v for name, v in state.items() if not name.startswith("decoder")}
        return state, (family or _family(state)).removesuffix("-pretrain")
    official = loaded["state_dict"] if isinstance(loaded.get("state_dict"), Mapping) else loaded
    names = unwrapped(from_transformers(official))
    if _MARKER not in names:
        raise CheckpointError(
            f"{checkpoint} holds no plain vision transformer (no {_MARKER}): give one of DINO, DINOv2, "
            "DINOv3, MAE or DeiT"
        )
    family = _family(names)
    return convert(family, official), family


def _is_ours(state: Mapping[str, Tensor], prefix: str) -> bool:
    """Whether the position table has no rows of prefix tokens, as our converters and trainings write it."""
    table = state.get(f"{prefix}pos_embed")
    if table is None:
        return f"{prefix}rope.periods" in state
    return math.isqrt(table.shape[1]) ** 2 == table.shape[1] and f"{prefix}cls_token" in state


def _family(names: Mapping[str, Tensor]) -> str:
    """Which training the weights are from, by what only its networks have."""
    if any(name.startswith(("rope_embed.", "rope.")) for name in names):
        return "dinov3"
    if any(name.startswith("decoder") for name in names):
        return "mae"
    if any(".ls1." in name for name in names):
        return "dinov2"
    if "dist_token" in names or "head.weight" in names:
        return "deit"
    table = names["pos_embed"]
    side, dim = math.isqrt(table.shape[1]), table.shape[2]
    table = table[:, table.shape[1] - side * side :]
    is_fixed = dim % 4 == 0 and torch.allclose(table, sincos_position_table((side, side), dim), atol=1e-3)
    return "mae" if is_fixed else "dino"


def released_architecture(
    state: Mapping[str, Tensor], family: str, source: str | os.PathLike = "the checkpoint"
) -> dict:
    """Name of the released architecture whose shapes weights in our layout have, with their own image size.

    Raises:
        ConfigError: there is none of that family.
    """
    kernel = state[_MARKER]
    shown = dict(
        embed_dim=kernel.shape[0],
        depth=1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks.")),
        num_registers=state["registers"].shape[1] if "registers" in state else 0,
        ffn="swiglu" if any(".mlp.w1." in name for name in state) else "mlp",
    )
    known = {f.name for f in fields(ViTArchitecture)}
    for name in ARCHITECTURES:
        found = architecture(name)
        if name.startswith(f"{family}_") and all(getattr(found, key) == v for key, v in shown.items()):
            own = dict(patch_size=kernel.shape[-1], in_channels=kernel.shape[1])
            if state.get("pos_embed") is not None:
                own["pretrain_size"] = math.isqrt(state["pos_embed"].shape[1]) * kernel.shape[-1]
            return {"name": name} | {key: v for key, v in own.items() if key in known}
    shapes = ", ".join(f"{key}={value}" for key, value in shown.items())
    raise ConfigError(
        f"{source}: no released {family} transformer has {shapes}; say which one it is with arch, for "
        "instance dict(embed_dim=..., depth=..., num_heads=...)"
    )
