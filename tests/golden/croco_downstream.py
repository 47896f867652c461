"""Golden adapter of CroCo-Stereo and CroCo-Flow (system ``croco``, kits with ``num_channels``)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.checkpoints.croco_downstream import loss_of
from dense3d.layers import DenseL1Loss, LaplacianLoss, LaplacianLossBounded, LaplacianLossBounded2
from dense3d.registry import MODELS
from dense3d.stereo.croco_stereo import (
    CrocoFlow,
    CrocoMonocular,
    CrocoStereo,
    TileWeight,
    covering_size,
    resize_displacements,
    tile_starts,
)
from tests.golden.checks import Run, by_name
from tests.golden.croco import network_of
from tests.golden.kit import GoldenKit
from tests.golden.weights import Recorder, load_kit

LIMIT = 30.0  # of the checks *_max
LOSSES = {
    "l1": DenseL1Loss,
    "laplacian": LaplacianLoss,
    "laplacian_bounded": LaplacianLossBounded,
    "laplacian_bounded2": LaplacianLossBounded2,
}
WEIGHTS = {
    "stereo_15_3": "conf_expsigmoid_15_3",
    "flow_10_5": "conf_expsigmoid_10_5",
    "beta3": "conf_expbeta3",
}


def open_kit(kit: GoldenKit) -> Run:
    """Build the model of the kit's config and load its weights; without decoder blocks it is monocular."""
    if not any(name.startswith("dec_blocks.") for name, *_ in kit.meta["params"]):
        return _open_monocular(kit)
    model = load_kit(_build(kit), kit, "croco-stereo")
    parts = {f"adapt{i}": model.head.dpt.resizers[i] for i in range(4)}
    parts |= {f"path{i + 1}": model.head.dpt.fusions[i] for i in range(4)}
    recorder = Recorder(parts)

    def forward(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        left, right = inputs["left"], inputs["right"]
        tokens, _ = model.tokens(left, right)
        values, raw = model.regress(left, right)
        return {
            "encoder_left": model.network.encode(left)[1],
            "encoder_right": model.network.encode(right)[1],
            "decoder_first_hook": tokens[model.head.hooks[1]],
            "decoder_last": tokens[-1],
            "output": values if raw is None else torch.cat([values, raw], dim=1),
            **{name: recorder[name] for name in parts},
        }

    def tiled(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        left, right = inputs["left"], inputs["right"]
        size = tuple(left.shape[-2:])
        values, raw = model.predict_tiles(left, right)
        found = {"confidence": raw[:, 0], "pred": resize_displacements(values, size)}
        if "gt" in inputs:
            target = resize_displacements(inputs["gt"], tuple(values.shape[-2:]))
            found["mean_tile_loss"] = _mean_loss(model, left, right, target)
        return found

    def losses(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        found = {}
        for name, kind in LOSSES.items():
            arguments = inputs["pred"], inputs["gt"], inputs["conf"]
            found[name] = kind()(*arguments)
            found[f"{name}_max"] = kind(max_gtnorm=LIMIT)(*arguments)
        return found

    def offsets(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        cases = zip(inputs["total"].tolist(), inputs["window"].tolist(), inputs["overlap"].tolist())
        return {f"offsets{i}": torch.tensor(tile_starts(*case)) for i, case in enumerate(cases)}

    def weights(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        modes = {name: WEIGHTS.get(name, name) for name in check["outputs"]}
        return {name: TileWeight(mode)(inputs["raw"]) for name, mode in modes.items()}

    return by_name(
        {
            "forward": forward,
            "losses": losses,
            "tiled": tiled,
            "tiled_upscaled": tiled,
            "tile_offsets": offsets,
            "tile_weight": weights,
        }
    )


def _open_monocular(kit: GoldenKit) -> Run:
    network, loss, head = _parts(kit)
    channels = kit.options.take("num_channels") - MODELS.build(loss).with_confidence
    hooks = kit.options.take("hooks", None)
    kit.options.neutral("tile_conf_mode", "overlap")  # of pairs
    model = load_kit(CrocoMonocular(network, channels, hooks, head, loss), kit, "croco-monocular")

    def forward(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        (image,) = inputs.values()
        found = [maps for maps in model(image) if maps is not None]
        return {"output": torch.cat(found, dim=1), "encoder": model.network.encode(image)[1]}

    return by_name({"forward": forward})


def _parts(kit: GoldenKit) -> tuple[dict, dict, dict]:
    """Arguments of the network, of the loss and of the head."""
    options = kit.options
    options.only("head_type", "regression")
    options.only("output_width_ratio", 1)
    options.only("use_bn", False)
    head = {
        "hidden_channels": options.take("layer_dims", [96, 192, 384, 768]),
        "channels": options.take("feature_dim", 256),
        "last_channels": options.take("last_dim", 32),
    }
    return network_of(options), loss_of(options.take("criterion")), head


def _build(kit: GoldenKit) -> CrocoStereo | CrocoFlow:
    options = kit.options
    network, loss, head = _parts(kit)
    with_confidence = MODELS.build(loss).with_confidence
    channels = options.take("num_channels")
    kind = {1: CrocoStereo, 2: CrocoFlow}.get(channels - with_confidence)
    if kind is None:
        raise options.refusal("num_channels", channels, "disparity has one and flow two beside a confidence")
    size = network["img_size"]
    return kind(
        network,
        hooks=options.take("hooks", None),
        head=head,
        loss=loss,
        crop_size=(size, size) if isinstance(size, int) else tuple(size),
        test_cfg=dict(
            mode="tiles" if with_confidence else "whole",
            tile_conf_mode=options.take("tile_conf_mode", None),
            overlap=options.take("overlap", 0.7),
            tile_batch_size=3,
            small_images="official",
        ),
    )


def _mean_loss(model: CrocoStereo | CrocoFlow, left: Tensor, right: Tensor, target: Tensor) -> Tensor:
    """Mean of the criterion over the tiles, each of them by itself."""
    size = covering_size(tuple(left.shape[-2:]), model.tiles.size, "official")
    left, right = (
        image if tuple(image.shape[-2:]) == size else F.interpolate(image, size, mode="bicubic")
        for image in (left, right)
    )
    losses = []
    for places, *parts in model.tiles.batches(left, right):
        values, raw = model.regress(*parts)
        for i, place in enumerate(places):
            truth = model.tiles.cut(target, *place)[None]
            losses.append(model.loss_function(values[i : i + 1], truth, raw[i : i + 1]))
    return torch.stack(losses).mean()
