"""Activator checkpoints -> :class:`dense3d.backbones.Activator`; the classifier is left out."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from dense3d.checkpoints.renaming import Renaming

_LEAF = r"(weight|bias)"
_BLOCK = r"model\.(\d+)\."
_OURS = r"stages.0.blocks.\1."

_official = Renaming(
    "Activator",
    rules=(
        (rf"patcher\.{_LEAF}", r"stages.0.embed.\1"),
        (rf"{_BLOCK}norm\.{_LEAF}", _OURS + r"norm.\2"),
        (rf"{_BLOCK}actgu\.(proj_[123]|norm)\.{_LEAF}", _OURS + r"unit.\2.\3"),
        (rf"{_BLOCK}ffn\.net\.0\.{_LEAF}", _OURS + r"mlp.fc1.\2"),
        (rf"{_BLOCK}ffn\.net\.3\.{_LEAF}", _OURS + r"mlp.fc2.\2"),
    ),
    dropped=(r"classifier\..*",),
    required=False,
)


def convert(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official layout to ours.

    Raises:
        CheckpointError: a name is not Activator's.
    """
    return _official(official)


def convert_head(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The classifier of an official file."""
    prefix = "classifier."
    return {f"head.{n.removeprefix(prefix)}": v for n, v in official.items() if n.startswith(prefix)}
