"""What a CroCo checkpoint says of its network: arguments for a config, read without running anything.

The constructor's arguments are in an official file in one of three forms: a dict ``croco_kwargs`` (released
checkpoints of the second version), the model string of the training command (own pre-training with the
official code), or not at all (the first version, which has the default ones). The official code evaluates the
string; here it is parsed. Shapes of weights tell most arguments too, and have to agree.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from dense3d.checkpoints.vit_layout import unwrapped
from dense3d.errors import CheckpointError

# the official constructor's, in its order
DEFAULTS: dict[str, Any] = {
    "img_size": 224,
    "patch_size": 16,
    "mask_ratio": 0.9,
    "enc_embed_dim": 768,
    "enc_depth": 12,
    "enc_num_heads": 12,
    "dec_embed_dim": 512,
    "dec_depth": 8,
    "dec_num_heads": 16,
    "mlp_ratio": 4,
    "norm_layer": None,
    "norm_im2_in_dec": True,
    "pos_embed": "cosine",
}
NORM_EPS = 1e-6


def settings_of(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of ``CroCo`` for the network of an official checkpoint.

    Args:
        checkpoint: the whole file: ``model`` or named tensors, and what else it holds.

    Returns:
        ``network``, arguments of ``CrocoNetwork``, and ``mask_ratio``.

    Raises:
        CheckpointError: the arguments in the file cannot be read, or its weights are of others.
    """
    given = constructor_arguments(checkpoint)
    arguments = network_arguments(given, unwrapped(checkpoint))
    return {"network": arguments, "mask_ratio": given.get("mask_ratio", DEFAULTS["mask_ratio"])}


def constructor_arguments(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """What the official constructor was given, from whichever of the three forms; empty for the defaults.

    Raises:
        CheckpointError: the string is no call of CroCoNet with plain values, or an argument is unknown.

    Example:
        >>> constructor_arguments({"args": {"model": "CroCoNet(pos_embed='RoPE100', enc_depth=24)"}})
        {'pos_embed': 'RoPE100', 'enc_depth': 24}
    """
    if isinstance(checkpoint.get("croco_kwargs"), Mapping):
        given = dict(checkpoint["croco_kwargs"])
    else:
        options = checkpoint.get("args")
        options = options if isinstance(options, Mapping) else getattr(options, "__dict__", {})
        text = options.get("model")
        given = parse_call(text) if isinstance(text, str) and text.startswith("CroCoNet") else {}
    unknown = [name for name in given if name not in DEFAULTS]
    if unknown:
        raise CheckpointError(
            f"the checkpoint's CroCoNet was given the unknown argument {unknown[0]!r}; known are "
            f"{', '.join(DEFAULTS)}"
        )
    return given


def parse_call(text: str, name: str = "CroCoNet") -> dict[str, Any]:
    """The keyword arguments of a call that is written out, as values; nothing is evaluated.

    Args:
        text: such as ``"CroCoNet(enc_depth=24, norm_layer=partial(nn.LayerNorm, eps=1e-6))"``; the second
            gives the number 1e-6.
        name: what has to be called.

    Raises:
        CheckpointError: it is something else.
    """
    try:
        call = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        call = None
    is_call = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == name
    if not is_call or call.args or any(word.arg is None for word in call.keywords):
        raise CheckpointError(
            f"the checkpoint's model string {text[:80]!r} is no call {name}(argument=value, ...)"
        )
    return {word.arg: _value(word.value, text) for word in call.keywords}


def _value(node: ast.expr, text: str) -> Any:
    """A literal, or the epsilon of ``partial(nn.LayerNorm, eps=...)``."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("partial", "functools.partial"):
        layer = [ast.unparse(argument).rpartition(".")[2] for argument in node.args]
        words = {word.arg: word.value for word in node.keywords}
        if layer == ["LayerNorm"] and set(words) == {"eps"}:
            node = words["eps"]
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise CheckpointError(
            f"{ast.unparse(node)[:80]!r} in the checkpoint's model string {text[:80]!r} is no plain value"
        ) from None


def network_arguments(given: Mapping[str, Any], state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Arguments of ``CrocoNetwork``: what the weights show, and beside it what was given.

    Args:
        given: arguments of the official constructor; those that are left out are its defaults.
        state: the weights, in official names.

    Raises:
        CheckpointError: weights are missing, or of other arguments.
    """
    arguments = _shown(state)
    for name, value in arguments.items():
        if name in given and given[name] != value:
            raise CheckpointError(
                f"the checkpoint says {name}={given[name]!r}, but its weights are of {value!r}: it is damaged"
            )
    if given or all(DEFAULTS[name] == value for name, value in arguments.items()):
        for name in ("enc_num_heads", "dec_num_heads"):  # which no weight shows
            arguments[name] = given.get(name, DEFAULTS[name])
    tables = "enc_pos_embed" in state
    arguments["pos_embed"] = given.get("pos_embed", DEFAULTS["pos_embed"] if given or tables else "RoPE100")
    if tables != (arguments["pos_embed"] == "cosine"):
        raise CheckpointError(
            f"the checkpoint says pos_embed={arguments['pos_embed']!r}, but "
            f"{'has' if tables else 'lacks'} enc_pos_embed: it is damaged"
        )
    if tables:
        arguments["img_size"] = _img_size(given, len(state["enc_pos_embed"]), arguments["patch_size"])
    if isinstance(given.get("norm_layer"), float) and given["norm_layer"] != NORM_EPS:
        arguments["norm_eps"] = given["norm_layer"]
    return {name: arguments[name] for name in (*DEFAULTS, "norm_eps") if name in arguments}


def _img_size(given: Mapping[str, Any], count: int, patch_size: int) -> int | list[int]:
    """Size of the images that a table of ``count`` positions is for."""
    size = given.get("img_size", round(count**0.5) * patch_size)
    height, width = (size, size) if isinstance(size, int) else size
    if (height // patch_size) * (width // patch_size) != count:
        raise CheckpointError(
            f"the checkpoint's {count} positions are not those of img_size={size}: it is damaged"
        )
    return size if isinstance(size, int) else list(size)


def _shown(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Arguments that the shapes of weights tell."""
    try:
        patches, embed = state["patch_embed.proj.weight"], state["decoder_embed.weight"]
        width = state["enc_blocks.0.mlp.fc1.weight"].shape[0]
    except KeyError as error:
        raise CheckpointError(f"this is no official croco checkpoint: it has no {error.args[0]!r}") from None
    (dec_dim, enc_dim), ratio = embed.shape, width / embed.shape[1]
    return {
        "patch_size": patches.shape[-1],
        "enc_embed_dim": enc_dim,
        "enc_depth": _depth(state, "enc_blocks"),
        "dec_embed_dim": dec_dim,
        "dec_depth": _depth(state, "dec_blocks"),
        "mlp_ratio": int(ratio) if ratio == int(ratio) else ratio,
        "norm_im2_in_dec": "dec_blocks.0.norm_y.weight" in state,
    }


def _depth(state: Mapping[str, Tensor], part: str) -> int:
    numbers = {int(match[1]) for match in (re.match(rf"{part}\.(\d+)\.", name) for name in state) if match}
    return max(numbers, default=-1) + 1
