"""VoteNet of facebookresearch/votenet, and PointNet++ in files of detectors.

Qi et al., "Deep Hough Voting for 3D Object Detection in Point Clouds", ICCV 2019. Official files hold their
weights under ``model_state_dict``. Convolutions of one point become linear layers. Mean sizes, numbers of
points and radii are in no file: the config states them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from dense3d.checkpoints.point_mae import unwrapped
from dense3d.checkpoints.renaming import Renaming
from dense3d.errors import CheckpointError

StateDict = dict[str, Tensor]

NORM = r"(weight|bias|running_mean|running_var|num_batches_tracked)"
WEIGHTS = r"(weight|bias)"
_PLACES = {"1": "0", "2": "3"}  # of layers in a head


def point_layers(theirs: str, ours: str) -> list[tuple[str, str]]:
    """Rules for the layers of a set abstraction or a propagation."""
    return [
        (rf"{theirs}\.layer(\d+)\.conv\.weight", rf"{ours}.\1.0.weight"),
        (rf"{theirs}\.layer(\d+)\.bn\.bn\.{NORM}", rf"{ours}.\1.1.\2"),
    ]


def _head(theirs: str, ours: str) -> list[tuple[str, str]]:
    rules = [(rf"{theirs}\.conv3\.{WEIGHTS}", rf"{ours}.predict.\1")]
    for number, place in _PLACES.items():
        rules += [
            (rf"{theirs}\.conv{number}\.{WEIGHTS}", rf"{ours}.hidden.{place}.\1"),
            (rf"{theirs}\.bn{number}\.{NORM}", rf"{ours}.hidden.{int(place) + 1}.\1"),
        ]
    return rules


_BACKBONE = [
    *(rule for i in range(4) for rule in point_layers(rf"sa{i + 1}\.mlp_module", f"abstractions.{i}.layers")),
    *(rule for i in range(2) for rule in point_layers(rf"fp{i + 1}\.mlp", f"propagations.{i}")),
]
_RULES = (
    *((rf"backbone_net\.{theirs}", f"backbone.{ours}") for theirs, ours in _BACKBONE),
    *_head("vgen", "voting"),
    *point_layers(r"pnet\.vote_aggregation\.mlp_module", "proposals.aggregation.layers"),
    *_head("pnet", "proposals"),
)


def convert(official: Mapping[str, Any]) -> StateDict:
    """Convert a checkpoint for ``VoteNet``.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    return flat(Renaming("votenet", _RULES)(unwrapped(official)))


def backbone_weights(checkpoint: Mapping[str, Any]) -> StateDict:
    """The weights of a ``PointNet2`` in a detector's file, ours or an official one of VoteNet or 3DETR.

    Raises:
        CheckpointError: there is none in it.
    """
    state = unwrapped(checkpoint)
    marker = "abstractions.0.layers.0.0.weight"
    prefix = next((name[: -len(marker)] for name in state if name.endswith(marker)), None)
    if prefix is not None:
        return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    for prefix, rules in (
        ("backbone_net.", _BACKBONE),
        ("pre_encoder.", point_layers("mlp_module", "abstractions.0.layers")),
    ):
        own = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
        if own:
            return flat(Renaming("PointNet++", rules)(own))
    raise CheckpointError("the checkpoint holds no PointNet++: no name like backbone_net.sa1 or pre_encoder")


def flat(state: Mapping[str, Tensor]) -> StateDict:
    """Kernels ``(out, in, 1[, 1])`` of convolutions as matrices."""
    return {name: value.flatten(1) if value.ndim > 2 else value for name, value in state.items()}
