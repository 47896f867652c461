"""Golden adapters of NeRF-MAE (system ``nerf-mae``): its encoder, pre-training, what it is fine-tuned for."""

from __future__ import annotations

import re

import numpy as np
import torch
from torch import Tensor, nn

from dense3d.checkpoints import convert
from dense3d.evaluation.grids import VoxelIoU, voxel_counts
from dense3d.pretraining.nerf_mae import NeRFMAE
from dense3d.pretraining.nerf_mae.masking import repeated
from dense3d.pretraining.nerf_mae.objective import reconstruction_losses
from dense3d.radiance.data_preprocessor import GridDataPreprocessor, padded
from dense3d.radiance.fpn3d import FPN3D
from dense3d.radiance.grid_errors import rgb_error
from dense3d.radiance.positions import position_table
from dense3d.radiance.swin3d import Swin3D
from dense3d.radiance.voxels import VoxelSegmenter, VoxelSuperResolution
from dense3d.radiance.voxels.segmenter import soft_iou, voxel_cross_entropy
from dense3d.structures.radiance_grid import alpha_of
from tests.golden.checks import Run, by_name
from tests.golden.kit import GoldenKit
from tests.golden.options import Options
from tests.golden.weights import Recorder, load_kit, load_strictly, tensors_of

SUPER_RESOLUTION = {256: 1.6, 384: 2.4}  # official sides of the finer grid, of 160, to factors
Found = dict[str, Tensor]


def encoder_of(options: Options) -> dict:
    """Arguments of ``Swin3D`` from those that the official classes share."""
    arch = {name: options.take(name) for name in ("embed_dim", "depths", "num_heads")}
    names = {"mlp_ratio": ("mlp_ratio", 4.0), "stochastic_depth_prob": ("drop_path_rate", 0.1)}
    names |= {name: (name, 0.0) for name in ("dropout", "attention_dropout")}
    found = {ours: options.take(theirs, default) for theirs, (ours, default) in names.items()}
    for name in ("dropout", "attention_dropout"):
        if found[name]:
            raise options.refusal(name, found[name], "the official code then drops in evaluation, too")
    found |= {name: options.take(name) for name in ("patch_size", "window_size")}
    return dict(arch=arch, expand_dim=options.take("expand_dim", True), **found)


def grids_of(inputs: Found) -> Tensor:
    """``(B, 4, W, L, H)`` of 8-bit grids."""
    return inputs["grid"].float() / 255


def open_encoder(kit: GoldenKit) -> Run:
    """The encoder and the pyramid behind it."""
    options = kit.options
    network = Swin3D(**encoder_of(options), in_channels=options.take("input_dim", 4))
    load_kit(network, kit, "nerf-mae-encoder")
    pyramid = FPN3D(network.out_channels, options.take("out_channels", 256))
    prefix = "fpn_neck."
    neck = {n.removeprefix(prefix): v for n, v in tensors_of(kit).items() if n.startswith(prefix)}
    load_strictly(pyramid, neck, kit)
    first, merge = network.stages[0].blocks, network.stages[1].merge
    seen = Recorder({"attn0": first[0].attn, "attn1_shifted": first[1].attn, "merge1": merge})

    def features(_check: dict, inputs: Found) -> Found:
        tokens = network.embed(grids_of(inputs))
        maps = network.encode(tokens)
        found = {name: seen[name] for name in ("attn0", "attn1_shifted", "merge1")} | {"tokens": tokens}
        found |= {f"stage{i}": map_.permute(0, 2, 3, 4, 1) for i, map_ in enumerate(maps, 1)}
        return found | {f"fpn{i}": map_ for i, map_ in enumerate(pyramid(maps), 1)}

    return by_name({"features": features})


def batch_of(inputs: Found, stem: str = "grid", sides: int | None = None) -> tuple[Tensor, Tensor]:
    """8-bit grids ``<stem>0``, ``<stem>1`` ... as a padded batch, and their shapes."""
    grids = [inputs[f"{stem}{i}"].float() / 255 for i in range(len(inputs)) if f"{stem}{i}" in inputs]
    found = GridDataPreprocessor(sides)({"inputs": {"grids": grids}})["inputs"]
    return found["grids"], found["shapes"]


def open_pretrain(kit: GoldenKit) -> Run:
    """Masked auto-encoding: tables, losses, the whole network."""
    options = kit.options
    ratio, side = options.take("masking_prob", 0.5), options.take("resolution", 160)
    model = load_kit(NeRFMAE(encoder_of(options), mask_ratio=ratio), kit, "nerf-mae")
    names = {f"decoder{number}": getattr(model.decoder, f"up{number}") for number in (4, 2)}
    seen = Recorder(names | {"decoder1": model.finest})

    def forward(_check: dict, inputs: Found) -> Found:
        grids, shapes = batch_of(inputs, sides=side)
        tokens = model.encoder.embed(grids)
        hidden = model.hidden_tokens(tuple(tokens.shape[1:4]), len(grids), inputs["block_mask"])
        masked = torch.where(hidden[..., None], model.mask_token, tokens)
        found = {"tokens": tokens, "masked_tokens": masked}
        found |= {
            f"stage{i}": m.permute(0, 2, 3, 4, 1) for i, m in enumerate(model.encoder.encode(masked), 1)
        }
        made = model.reconstruct(grids, shapes, inputs["block_mask"])
        found |= {name: seen[name] for name in ("decoder1", "decoder2", "decoder4")}
        losses = reconstruction_losses(made.predicted, grids, made.valid, made.removed)
        mse, psnr = rgb_error(made.predicted, grids)
        found |= losses | {"loss": sum(losses.values()), "pred": made.predicted}
        return found | {"eval_mse": mse, "eval_psnr": psnr}

    def unmasked(_check: dict, inputs: Found) -> Found:
        maps = model(batch_of(inputs, sides=side)[0])
        return {f"stage{i}": map_ for i, map_ in enumerate(maps, 1)}

    def losses(_check: dict, inputs: Found) -> Found:
        target = inputs["target"].float() / 255
        factors = tuple(n // m for n, m in zip(target.shape[2:], inputs["block_mask"].shape))
        removed = repeated(inputs["block_mask"], factors, tuple(target.shape[2:]))[None]
        predicted = inputs["pred_x16"].float() / 16
        found = reconstruction_losses(predicted, target, inputs["valid"], removed)
        return found | {"loss": sum(found.values())}

    def opacity(_check: dict, inputs: Found) -> dict[str, np.ndarray]:
        density = inputs["density"].numpy()
        kinds = {"exp_activation": "raw_exp", "relu_activation": "relu"}
        return {name: alpha_of(density, kind) for name, kind in kinds.items()}

    return by_name(
        {
            "forward": forward,
            "features_unmasked": unmasked,
            "loss_fixed_pred": losses,
            "pos_embed": table_rows,
            "density_to_alpha": opacity,
        }
    )


def table_rows(check: dict, inputs: Found) -> Found:
    """Rows of a position table whose size the check's note tells."""
    channels, side = (int(n) for n in re.search(r"embed_dim (\d+) and (\d+)\^3", check["note"]).groups())
    table, index = position_table((side,) * 3, channels), inputs["index"]
    return {"table": table[index][:, index][:, :, index]}


def open_downstream(kit: GoldenKit) -> Run:
    """Voxel semantics, voxel super-resolution, and the features of detection."""
    options = kit.options
    encoder, side = encoder_of(options), options.take("resolution")
    factor = SUPER_RESOLUTION[options.take("nominal_out_resolution", 256)]
    segmenter = VoxelSegmenter(encoder, options.take("num_classes"))
    load_part(segmenter, kit, "semantics", "nerf-mae-semantics")
    finer = VoxelSuperResolution(encoder, factor)
    load_part(finer, kit, "super_resolution", "nerf-mae-super-resolution")
    backbone = Swin3D(**encoder, position_table=True)
    load_part(backbone, kit, "detection_backbone", "nerf-mae-encoder")
    pyramid = FPN3D(backbone.out_channels, options.take("fpn_channels", 256))
    prefix = "detection_backbone.fpn_neck."
    neck = {n.removeprefix(prefix): v for n, v in tensors_of(kit).items() if n.startswith(prefix)}
    load_strictly(pyramid, neck, kit)

    def semantics(_check: dict, inputs: Found) -> Found:
        grids, _ = batch_of(inputs, sides=side)
        labels = torch.stack([padded(inputs[f"labels{i}"].long(), grids.shape[2:]) for i in (0, 1)])
        logits = segmenter(grids)
        metric = VoxelIoU([f"class{i}" for i in range(segmenter.num_classes)])
        for truth, predicted in zip(labels, logits.argmax(1)):
            metric.process(None, [dict(gt_voxel_labels=truth, pred_voxel_labels=predicted)])
        counts, figures = voxel_counts(metric.results), metric.compute_metrics(metric.results)
        shares = {"mean_iou": "mIoU", "mean_acc": "mAcc", "all_acc": "aAcc"}
        return {
            "logits": logits,
            "loss": voxel_cross_entropy(logits, labels, inputs["class_weights"]),
            "soft_iou": soft_iou(logits, labels),
            **{name: torch.tensor(counts[name], dtype=torch.float32) for name in counts},
            **{name: torch.tensor(figures[ours] / 100) for name, ours in shares.items()},
        }

    def semantics_loss(_check: dict, inputs: Found) -> Found:
        logits = inputs["logits_x8"].float() / 8
        labels = padded(inputs["labels"].long(), logits.shape[2:])[None]
        loss = voxel_cross_entropy(logits, labels, inputs["class_weights"])
        return {"loss": loss, "soft_iou": soft_iou(logits, labels)}

    def super_resolution(_check: dict, inputs: Found) -> Found:
        made = finer(batch_of(inputs, sides=side)[0])
        target, _ = batch_of(inputs, "target", made.shape[2])
        mse, psnr = rgb_error(made, target)
        return {"pred": made, "loss": finer.loss(made, target), "mse": mse, "psnr": psnr}

    def detection(_check: dict, inputs: Found) -> Found:
        maps = pyramid(backbone(batch_of(inputs, sides=side)[0]))
        return {f"fpn{i}": map_ for i, map_ in enumerate(maps, 1)}

    return by_name(
        {
            "semantics": semantics,
            "semantics_loss": semantics_loss,
            "super_resolution": super_resolution,
            "detection_backbone": detection,
        }
    )


def load_part(model: nn.Module, kit: GoldenKit, part: str, system: str) -> None:
    """The weights behind a prefix, converted and loaded strictly."""
    prefix = f"{part}."
    state = {n.removeprefix(prefix): v for n, v in tensors_of(kit).items() if n.startswith(prefix)}
    load_strictly(model, convert(system, state), kit)
