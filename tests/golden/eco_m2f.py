"""Golden checks of ECO-M2F: pixel decoder with exits, gate, derived data set and losses of the gate."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from mmengine import ConfigDict
from torch import Tensor, nn

from dense3d.checkpoints.mask2former import rename_head
from dense3d.early_exit import EarlyExitEncoder, Gate, best_depths, gate_loss, utilities
from tests.golden.checks import Arrays, Run, first_inputs, tensors_of_inputs, wanted
from tests.golden.detectron2 import STAGES, blocks
from tests.golden.options import Options
from tests.golden.weights import load_strictly, tensors_of

ENCODER = "transformer.encoder.layers"
GATE = "transformer.encoder.gt."
FINEST = 4  # stride of the mask features
POINTS = 4  # the official code has this number for every config


def open_kit(kit) -> Run:
    """Build the kit's pixel decoder and gate and load their weights."""
    official = tensors_of(kit)
    kit.options.only("norm", "GN")
    kit.options.only("common_stride", FINEST)
    kit.options.neutral("transformer_dropout")
    decoder = load_strictly(_GatedDecoder(kit.options, official), _renamed(official), kit)
    first = first_inputs(kit)
    derived = next((kit.inputs(c["name"]) for c in kit.checks if "pq" in c["inputs"]), {})

    @torch.no_grad()
    def run(check: dict, inputs: Arrays) -> Arrays:
        given = inputs or first
        found: dict = {}
        if "pq" in given:
            found = _derived(given, decoder.gate.exits)
        elif "gate_logits" in given:
            found = _losses(given | derived, decoder.gate.exits)
        elif "res5" in given:
            tensors = tensors_of_inputs(given)
            found = decoder.outputs([tensors[name] for name in STAGES])
        return wanted(check, found)

    return run


class _GatedDecoder(nn.Module):
    """What the official pixel decoder holds, of the sizes that its weights have."""

    def __init__(self, options: Options, official: dict[str, Tensor]) -> None:
        from dense3d.segmentation.mask2former import FINEST_STRIDE, Mask2FormerPixelDecoder

        super().__init__()
        levels, width = official["transformer.level_embed"].shape
        layers = options.agree("transformer_enc_layers", blocks(official, ENCODER.replace(".", r"\.")))
        heads = len(official[f"{ENCODER}.0.self_attn.attention_weights.weight"]) // (levels * POINTS)
        heads = options.agree("transformer_nheads", heads)
        hidden = options.agree("transformer_dim_feedforward", len(official[f"{ENCODER}.0.linear1.weight"]))
        channels = options.take("channels")
        attention = dict(embed_dims=width, num_heads=heads, num_levels=levels, num_points=POINTS, dropout=0.0)
        layer = dict(
            self_attn_cfg=dict(attention, batch_first=True),
            ffn_cfg=dict(embed_dims=width, feedforward_channels=hidden, num_fcs=2, ffn_drop=0.0),
        )
        self.pixel_decoder = Mask2FormerPixelDecoder(
            in_channels=list(channels),
            strides=[FINEST_STRIDE * 2**i for i in range(len(channels))],
            feat_channels=options.agree("conv_dim", width),
            out_channels=options.agree("mask_dim", len(official["mask_features.weight"])),
            encoder=ConfigDict(num_layers=layers, layer_cfg=layer),
            positional_encoding=dict(num_feats=width // 2, normalize=True),
        )
        self.pixel_decoder.encoder = EarlyExitEncoder(self.pixel_decoder.encoder)
        number = len(official[f"{GATE}head.weight"])
        self.gate = Gate(width, range(layers - number + 1, layers + 1))

    def outputs(self, maps: list[Tensor]) -> dict[str, Tensor]:
        """Gated outputs, and those of each exit with its depth as suffix."""
        gates = self.gate(self.pixel_decoder.project_coarsest(maps[-1]))
        depths = self.gate.depths(gates)
        found = {"gates": gates, "exit_layers": torch.tensor(depths, dtype=torch.int32)}
        encoder = self.pixel_decoder.encoder
        with encoder.leaving_at(depths):
            found |= self._maps(maps, "")
        for depth in encoder.walk(self.gate.exits):
            found |= self._maps(maps, f"_{depth}")
        return found

    def _maps(self, maps: list[Tensor], suffix: str) -> dict[str, Tensor]:
        mask_features, scales = self.pixel_decoder(maps)
        named = {f"stride{s}{suffix}": scale for s, scale in zip((32, 16, 8), scales)}
        return named | {f"mask_features{suffix}": mask_features}


def _renamed(official: dict[str, Tensor]) -> dict[str, Tensor]:
    """The names of :class:`_GatedDecoder`, by the rules for whole checkpoints."""
    gate = {n.replace(GATE, "gate."): value for n, value in official.items() if n.startswith(GATE)}
    rest = {f"sem_seg_head.pixel_decoder.{n}": v for n, v in official.items() if not n.startswith(GATE)}
    return gate | {n.removeprefix("panoptic_head."): value for n, value in rename_head(rest).items()}


def _derived(given: Arrays, exits: tuple[int, ...]) -> Arrays:
    """Utilities, best exits and their numbers, for each trade-off."""
    best = np.stack([best_depths(given["pq"], exits, beta) for beta in given["beta"]])
    return {
        "utility": np.stack([utilities(given["pq"], beta) for beta in given["beta"]]),
        "best_exit": best,
        "counts": np.stack([(best == depth).sum(1) for depth in exits], axis=1),
    }


def _losses(given: Arrays, exits: tuple[int, ...]) -> Arrays:
    """Losses of the gate for the first images under the first trade-off."""
    logits = torch.from_numpy(given["gate_logits"])
    utility = torch.from_numpy(utilities(given["pq"][: len(logits)], given["beta"][0])).float()
    # The released code takes both soft-maxes over the images; nothing here trains with that.
    released = F.mse_loss(logits.softmax(0), utility.softmax(0))
    found = {"paper_cross_entropy": gate_loss(logits, utility.argmax(1)), "released_mse": released}
    return {name: value[None].numpy() for name, value in found.items()}
