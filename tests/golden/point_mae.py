"""Golden adapters of Point-MAE (system ``point-mae``): pre-training, classification, part segmentation."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from dense3d.checkpoints import convert
from dense3d.checkpoints.point_mae import StateDict
from dense3d.engine.point_mae_training import LateCosineLR
from dense3d.evaluation.pointcloud import PartIoU, accuracies, part_scores, restricted_labels, vote
from dense3d.ops import farthest_point_sample, gather_points, interpolate_nearest
from dense3d.pointcloud import PartSegmenter, PointClassifier
from dense3d.pointcloud.classification_head import cloud_feature
from dense3d.pointcloud.grouping import Patches
from dense3d.pointcloud.patch_masks import block_mask, random_patch_mask
from dense3d.pointcloud.sampling import scale_and_shift
from dense3d.pretraining import PointMAE
from tests.golden.checks import Run, by_name
from tests.golden.kit import GoldenKit
from tests.golden.options import Options
from tests.golden.weights import Recorder, load_kit, tensors_of

# parts of ShapeNetPart's categories, as many each and in this order
PARTS = (4, 2, 2, 4, 4, 3, 3, 2, 4, 2, 6, 2, 3, 3, 3, 3)
EPOCHS, WARM_UP = 300, 10


def transformer_of(options: Options, num_group: int, group_size: int, defaults: Mapping) -> dict:
    """Arguments of ``PointTransformer`` from those that the official classes share."""
    dim = options.take("trans_dim", defaults.get("trans_dim"))
    options.only("encoder_dims", dim)  # there is no projection between embedding and blocks
    return dict(
        embed_dim=dim,
        depth=options.take("depth", defaults.get("depth")),
        num_heads=options.take("num_heads", defaults.get("num_heads")),
        drop_path_rate=options.take("drop_path_rate", 0.1),
        num_groups=num_group,
        group_size=group_size,
    )


def our_names(kit: GoldenKit, system: str) -> dict[str, str]:
    """Official names of parameters and buffers to ours."""
    official = {name: torch.full_like(v, i) for i, (name, v) in enumerate(tensors_of(kit).items())}
    names = list(official)
    converted: StateDict = convert(system, {name: value.double() for name, value in official.items()})
    return {names[int(value.flatten()[0])]: ours for ours, value in converted.items()}


def grouped(patches: Patches) -> dict[str, Tensor]:
    """What the checks ``group`` want."""
    return {
        "center": patches.centres,
        "fps_idx": patches.centre_indices,
        "knn_idx": patches.indices,
        "neighborhood": patches.points,
    }


def block_recorder(blocks: nn.ModuleList) -> Recorder:
    """Outputs of all blocks by their number."""
    return Recorder({str(i): block for i, block in enumerate(blocks)})


def open_pretrain(kit: GoldenKit) -> Run:
    """Point-MAE itself."""
    options = kit.options
    inner = Options(options.take("transformer_config"), options.source)
    encoder = transformer_of(inner, options.take("num_group"), options.take("group_size"), {})
    decoder = {"depth": inner.take("decoder_depth"), "num_heads": inner.take("decoder_num_heads")}
    ratio, kind = inner.take("mask_ratio"), inner.take("mask_type")
    loss = options.take("loss")
    options.neutral("NAME")
    inner.refuse_rest()
    model = load_kit(PointMAE(encoder, decoder, ratio, kind, loss), kit, "point-mae")
    names = our_names(kit, "point-mae")
    encoded, decoded = block_recorder(model.encoder.blocks), block_recorder(model.decoder.blocks)
    depth = len(model.encoder.blocks)

    def embed_in_training(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        found, before = {}, deepcopy(model.state_dict())
        model.train()
        found["tokens"] = model.encoder.patch_embed(inputs["neighborhood"])
        model.eval()
        found |= {name: model.state_dict()[ours].clone() for name, ours in names.items()}
        model.load_state_dict(before)
        return found

    def encode(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        visible = ~inputs["mask"]
        centres = inputs["center"][visible].unflatten(0, (len(visible), -1))
        tokens = model.encoder.patch_embed(inputs["neighborhood"], visible)
        latent = model.encoder.encode(tokens, centres)[0]
        return {
            "pos": model.encoder.pos_embed(centres),
            "block_first": encoded["0"],
            "block_last": encoded[str(depth - 1)],
            "latent": latent,
        }

    def decode(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        visible, hidden = (
            inputs["center"][chosen].unflatten(0, (len(chosen), -1))
            for chosen in (~inputs["mask"], inputs["mask"])
        )
        points = model.decoder(inputs["latent"], visible, hidden)
        tokens = model.decoder.decode(inputs["latent"], visible, hidden)[0]
        return {
            "block_first": decoded["0"],
            "mask_tokens_normed": tokens,
            "reconstruction": points.flatten(0, 1),
        }

    def losses(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        found, chosen = {}, model.loss_type
        for kind in ("cdl1", "cdl2"):
            model.loss_type = kind
            predicted = inputs["reconstruction"].clone().requires_grad_()
            with torch.enable_grad():
                found[kind] = model.loss(predicted[None], inputs["target"][None])
                found[f"grad_{kind}"] = torch.autograd.grad(found[kind], predicted)[0]
        model.loss_type = chosen
        return found

    def full(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        with torch.enable_grad():
            found = model.reconstruct(inputs["points"], mask=inputs["mask"])
            loss = model.loss(found.predicted, found.hidden(found.patches.points))
            model.zero_grad()
            loss.backward()
        parameters = dict(model.named_parameters())
        gradients = {f"grad/{n}": parameters[ours].grad for n, ours in names.items() if ours in parameters}
        sizes = {f"grad/{name}": tuple(shape) for name, shape, _ in kit.meta["params"]}
        return {"loss": loss} | {name: g.view(sizes[name]) for name, g in gradients.items() if g is not None}

    def visualise(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        found = model.reconstruct(inputs["points"], mask=inputs["mask"])
        samples = model.samples(found, None)
        visible = torch.cat([sample.visible_points for sample in samples])
        painted = torch.cat([sample.reconstructed_points for sample in samples])
        centres = found.patches.centres
        return {
            "dense": torch.cat([visible, painted])[None],
            "visible": visible[None],
            "centers": torch.cat([centres[found.mask], centres[~found.mask]]),
        }

    def random_mask(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        random = np.random.RandomState(int(inputs["seed"]))
        return {"mask": random_patch_mask(*inputs["center"].shape[:2], ratio, random)}

    return by_name(
        {
            "group": lambda _check, inputs: grouped(model.encoder.group(inputs["points"])),
            "patch-embed": lambda _check, i: {"tokens": model.encoder.patch_embed(i["neighborhood"])},
            "patch-embed-train": embed_in_training,
            "mask-random": random_mask,
            "mask-block": lambda _check, i: {"mask": block_mask(i["center"], ratio, i["seed_patch"])},
            "encoder": encode,
            "decoder": decode,
            "loss": losses,
            "full": full,
            "visualise": visualise,
        }
    )


def open_classify(kit: GoldenKit) -> Run:
    """The classifier."""
    options = kit.options
    backbone = transformer_of(options, options.take("num_group"), options.take("group_size"), {})
    options.neutral("NAME", "no_weight_decay", "weight_decay_although_embedding")
    model = load_kit(PointClassifier(backbone, options.take("cls_dim")), kit, "point-mae-classify")
    network = model.backbone
    blocks, hidden = block_recorder(network.blocks), Recorder(dict(enumerate(model.head.hidden)))
    depth = len(network.blocks)

    def transform(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        normed = network.encode(inputs["tokens"], inputs["center"])[0]
        found = {"first": blocks["0"], "mid": blocks[str(depth // 2)], "last": blocks[str(depth - 1)]}
        return {"normed": normed} | {f"block_{name}": tokens for name, tokens in found.items()}

    def head(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        feature = cloud_feature(inputs["normed"])
        logits = model.head(feature)
        return {"feature": feature, "logits": logits, **_numbered("head_hidden_", hidden, 2)}

    def voted(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        mean, prediction = vote(inputs["logits"])
        accuracy = accuracies(prediction.numpy(), inputs["labels"].numpy())[0]
        return {"mean_logits": mean, "prediction": prediction, "accuracy": torch.tensor(accuracy)}

    def resample(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        places = farthest_point_sample(inputs["points"], int(inputs["num_fps"]), skip_origin=True)
        return {"points": gather_points(inputs["points"], places)[:, inputs["choice"]]}

    def move(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"points": scale_and_shift(inputs["points"], inputs["scale"], inputs["shift"])}

    return by_name(
        {
            "group": lambda _check, inputs: grouped(network.group(inputs["points"])),
            "embed": lambda _check, inputs: {"tokens": network.patch_embed(inputs["neighborhood"])},
            "transformer": transform,
            "head": head,
            "full": lambda _check, inputs: {"logits": model(inputs["points"])},
            "loss": lambda _check, inputs: model.loss(inputs["logits"], inputs["labels"]),
            "vote": voted,
            "scale-translate": move,
            "normalise": lambda _check, inputs: {"points": _unit_sphere(inputs["points"])},
            "resample": resample,
            "lr-schedule": lambda _check, inputs: {"lr": _rates(inputs["base_lr"], inputs["epoch"])},
        }
    )


def open_partseg(kit: GoldenKit) -> Run:
    """The part segmentor."""
    options = kit.options
    backbone = transformer_of(
        options,
        options.take("num_group"),
        options.take("group_size"),
        dict(trans_dim=384, depth=12, num_heads=6),
    )
    shapes = {name: shape for name, shape, _ in kit.meta["params"]}
    layers = sorted(
        name for name in shapes if name.startswith("propagation_0.mlp_convs") and "weight" in name
    )
    channels, categories = shapes["label_conv.0.weight"][:2]
    model = PartSegmenter(
        backbone,
        num_parts=options.take("num_part"),
        num_categories=categories,
        category_channels=channels,
        fetch_blocks=options.take("fetch_blocks", (3, 7, 11)),
        propagation_channels=[shapes[name][0] for name in layers],
    )
    load_kit(model, kit, "point-mae-partseg")
    network = model.backbone

    def encode(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        tokens = network.patch_embed(inputs["neighborhood"])
        levels = network.encode(tokens, inputs["center"], model.fetch_blocks)[1]
        return {"tokens": tokens} | {f"level_{i}": level for i, level in enumerate(levels)}

    def interpolate(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        features = inputs["features"].transpose(1, 2)
        return {"features": interpolate_nearest(inputs["points"], inputs["center"], features, 3, 2, 1e-8)}

    def whole(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        found = model.layers(inputs["points"], inputs["onehot"].argmax(dim=1))
        return {
            "label_feature": model.category_embed(inputs["onehot"])[..., None],
            "max": found["max"],
            "mean": found["mean"],
        }

    def full(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        points, categories = inputs["points"], inputs["onehot"].argmax(dim=1)
        found = model.layers(points, categories)
        each = {
            name: found[name].unflatten(0, points.shape[:2]) for name in ("propagated", "first", "second")
        }
        return {
            "log_prob": model.log_probabilities(points, categories),
            "propagated": each["propagated"].transpose(1, 2),
            "seg_hidden_1": each["first"].transpose(1, 2),
            "seg_hidden_2": each["second"].transpose(1, 2),
        }

    def loss(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"loss": nn.functional.nll_loss(inputs["log_prob"], inputs["target"])}

    return by_name(
        {
            "group": lambda _check, inputs: grouped(network.group(inputs["points"])),
            "encode": encode,
            "interpolate": interpolate,
            "global": whole,
            "full": full,
            "loss": loss,
            "evaluate": _evaluated,
        }
    )


def _numbered(stem: str, recorder: Recorder, count: int) -> dict[str, Tensor]:
    return {f"{stem}{i + 1}": recorder[i] for i in range(count) if i in recorder}


def _unit_sphere(points: Tensor) -> Tensor:
    centred = points - points.mean(dim=0)
    return centred / centred.norm(dim=1).max()


def _rates(base: Tensor, epochs: Tensor) -> Tensor:
    """Learning rates in force during epochs."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=float(base))
    schedule, rates = LateCosineLR(optimizer, total=EPOCHS, warmup=WARM_UP), []
    for _ in range(int(epochs.max()) + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return torch.tensor(rates)[epochs]


def _evaluated(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Through the metric, with ShapeNetPart's categories."""
    ends = np.cumsum(PARTS)
    parts = {str(i): list(range(end - count, end)) for i, (end, count) in enumerate(zip(ends, PARTS))}
    metric = PartIoU(parts)
    samples = [
        BaseDataElement(gt_point_labels=truth, pred_point_scores=scores)
        for truth, scores in zip(inputs["target"], inputs["logits"])
    ]
    metric.process(None, [sample.to_dict() for sample in samples])
    shapes, figures = metric.results, part_scores(metric.results)
    predicted = [
        restricted_labels(sample.pred_point_scores.numpy(), parts[shape.category])
        for sample, shape in zip(samples, shapes)
    ]
    names = {"accuracy": "accuracy", "class_miou": "class_miou", "instance_miou": "instance_miou"}
    names |= {"mean_part_accuracy": "part_accuracy"}
    return {
        "prediction": torch.from_numpy(np.stack(predicted)),
        "shape_iou": torch.tensor([shape.iou for shape in shapes]),
    } | {theirs: torch.tensor(figures[ours] / 100) for theirs, ours in names.items()}
