"""Golden adapter of 3DETR and 3DETR-m (system ``threedetr``): network, matching, losses, decoding."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dense3d.detection3d.box_decoding import BoxDecoder
from dense3d.detection3d.threedetr import BoxPredictions, SetCriterion, SetTargets, ThreeDETR
from dense3d.detection3d.threedetr.position import SceneBounds
from dense3d.ops import gather_points
from tests.golden.checks import Run, by_name
from tests.golden.indoor_boxes import boxes_of, corners_of, entries
from tests.golden.kit import GoldenKit
from tests.golden.options import Options
from tests.golden.weights import Recorder, load_kit

DATASETS = {"sunrgbd": (10, 12), "scannet": (18, 1)}  # classes, bins of headings
RADII = (0.16, 0.64, 1.44)
CRITERION = {
    "matcher_giou_cost": ("cost_giou", 2.0),
    "matcher_cls_cost": ("cost_class", 1.0),
    "matcher_center_cost": ("cost_centre", 0.0),
    "matcher_objectness_cost": ("cost_objectness", 0.0),
    "loss_giou_weight": ("giou", 0.0),
    "loss_sem_cls_weight": ("classes", 1.0),
    "loss_no_object_weight": ("no_object", 0.2),
    "loss_angle_cls_weight": ("heading_bin", 0.1),
    "loss_angle_reg_weight": ("heading", 0.5),
    "loss_center_weight": ("centre", 5.0),
    "loss_size_weight": ("size", 1.0),
}
LOSSES = {
    "giou": "giou",
    "classes": "sem_cls",
    "heading_bin": "angle_cls",
    "heading": "angle_reg",
    "centre": "center",
    "size": "size",
}


def _encoder(options: Options, dim: int, points: int) -> dict:
    kind = options.take("enc_type", "vanilla")
    if kind not in ("vanilla", "masked"):
        raise options.refusal("enc_type", kind, "supported are vanilla and masked")
    layers = options.take("enc_nlayers", 3)
    common = dict(
        num_heads=options.take("enc_nhead", 4),
        feedforward_dim=options.take("enc_ffn_dim", 128),
        dropout=options.take("enc_dropout", 0.1),
        activation=options.take("enc_activation", "relu"),
    )
    if kind == "vanilla":
        return dict(common, num_layers=layers)
    halved = dict(num_points=points // 2, radius=0.4, num_neighbours=32, channels=(256, 256, dim))
    return dict(common, num_layers=len(RADII), radii=RADII, downsampling=halved)


def open_kit(kit: GoldenKit) -> Run:
    """The network with the kit's weights, and what stands alone."""
    options = kit.options
    num_classes, bins = options.choose("dataset", DATASETS)
    if options.take("nsemcls", -1) > 0:
        num_classes = options.take("nsemcls")
    dim, points = options.take("enc_dim", 256), options.take("preenc_npoints", 2048)
    for name in ("pos_embed", "position_embedding"):
        options.only(name, "fourier")
    options.only("enc_pos_embed", None)
    options.neutral("model_name")
    inner = Options(options.take("criterion", {}), options.source)
    weights = {ours: inner.take(theirs, default) for theirs, (ours, default) in CRITERION.items()}
    inner.refuse_rest()
    model = ThreeDETR(
        backbone=dict(
            type="PointNet2",
            in_channels=3 * int(options.take("use_color", False)),
            num_points=(points,),
            radii=(0.2,),
            num_neighbours=(64,),
            channels=((64, 128, dim),),
            propagation=(),
        ),
        num_classes=num_classes,
        num_heading_bins=bins,
        num_queries=options.take("nqueries", 256),
        encoder=_encoder(options, dim, points),
        decoder=dict(
            dim=options.take("dec_dim", 256),
            num_layers=options.take("dec_nlayers", 8),
            num_heads=options.take("dec_nhead", 4),
            feedforward_dim=options.take("dec_ffn_dim", 256),
            dropout=options.take("dec_dropout", 0.1),
        ),
        head_dropout=options.take("mlp_dropout", 0.3),
        criterion=weights,
    )
    load_kit(model, kit, "threedetr")
    recorded = Recorder({"decoder": model.decoder, "query_embed": model.query_projection})

    def predictions(inputs: dict[str, Tensor]) -> BoxPredictions:
        return model.predictions(*_split(inputs["point_clouds"]), None, _bounds(inputs))

    def stages(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        cloud, features = _split(inputs["point_clouds"])
        bounds = _bounds(inputs)
        seeds = model.backbone.seeds(cloud, features)
        encoded = model.encoder(seeds)
        memory = model.projection(encoded.features.flatten(0, 1)).unflatten(0, encoded.features.shape[:2])
        places = gather_points(encoded.points, model.query_indices(encoded.points))
        predictions(inputs)
        found = {
            "pre_features": seeds.features,
            "enc_features": encoded.features,
            "memory": memory,
            "memory_pos": model.position(encoded.points, bounds),
            "query_pos": model.position(places, bounds),
            "query_embed": recorded["query_embed"],
        }
        return {name: value.transpose(1, 2) for name, value in found.items()} | {
            "pre_inds": seeds.indices,
            "enc_inds": encoded.indices,
            "query_xyz": places,
            "decoder": recorded["decoder"].transpose(1, 2),
        }

    def outputs(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return _named(predictions(inputs), -1)

    def aux_outputs(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return _named(predictions(inputs), slice(0, -1, 2))

    def losses(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return _losses(inputs, model.criterion, bins)

    def postprocess(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        bare = "nonms" in check["name"]
        decoder = BoxDecoder(suppression=None if bare else "class", entries="class" if bare else "per-class")
        scenes = zip(
            boxes_of(inputs["box_corners"]),
            inputs["objectness_prob"],
            inputs["sem_cls_prob"],
            inputs["point_clouds"][..., :3],
        )
        return entries([decoder(*scene) for scene in scenes])

    return by_name(
        dict(stages=stages, outputs=outputs, aux_outputs=aux_outputs, losses=losses, postprocess=postprocess)
    )


def _split(clouds: Tensor) -> tuple[Tensor, Tensor | None]:
    return clouds[..., :3], clouds[..., 3:] if clouds.shape[2] > 3 else None


def _bounds(inputs: dict[str, Tensor]) -> SceneBounds:
    return SceneBounds(*(inputs[f"point_cloud_dims_{end}"][:, :3] for end in ("min", "max")))


def _named(found: BoxPredictions, layers: int | slice) -> dict[str, Tensor]:
    """Predictions of one layer, or of several, by the official names."""
    probabilities, objectness = found.probabilities()
    boxes = found.boxes
    named = {
        "angle_continuous": -boxes[..., 6],
        "angle_logits": found.heading_logits,
        "angle_residual": found.heading_rests * (math.pi / found.heading_rests.shape[-1]),
        "angle_residual_normalized": found.heading_rests,
        "box_corners": corners_of(boxes),
        "center_normalized": found.centres,
        "center_unnormalized": boxes[..., :3],
        "objectness_prob": objectness,
        "sem_cls_logits": found.class_logits,
        "sem_cls_prob": probabilities,
        "size_normalized": found.sizes,
        "size_unnormalized": boxes[..., 3:6],
    }
    return {name: value[layers] for name, value in named.items()}


def _losses(inputs: dict[str, Tensor], criterion: SetCriterion, bins: int) -> dict[str, Tensor]:
    """Of one layer of the decoder."""
    found = BoxPredictions(
        class_logits=inputs["o_sem_cls_logits"][None],
        centres=inputs["o_center_normalized"][None],
        sizes=inputs["o_size_normalized"][None],
        heading_logits=inputs["o_angle_logits"][None],
        heading_rests=inputs["o_angle_residual_normalized"][None],
        boxes=boxes_of(inputs["o_box_corners"])[None],
    )
    targets = SetTargets(
        boxes=boxes_of(inputs["t_gt_box_corners"]),
        centres=inputs["t_gt_box_centers_normalized"],
        sizes=inputs["t_gt_box_sizes_normalized"],
        labels=inputs["t_gt_box_sem_cls_label"],
        heading_bins=inputs["t_gt_angle_class_label"],
        heading_rests=inputs["t_gt_angle_residual_label"] / (math.pi / bins),
        counts=inputs["t_gt_box_present"].sum(dim=1).long().tolist(),
    )
    rotated = bool((inputs["t_gt_box_angles"] > 0).any())  # as the official code has it
    pairs = criterion.match(found, targets, rotated)
    terms = criterion.terms(found, targets, pairs, rotated)
    weights = criterion.weights()
    named = {f"loss_{LOSSES[name]}": value[0] * (weights[name] or 1.0) for name, value in terms.items()}
    most = max(targets.counts)
    matched = torch.zeros(found.centres.shape[1:3])
    matched[pairs.image, pairs.query] = 1
    target = torch.zeros_like(matched, dtype=torch.long)
    target[pairs.image, pairs.query] = pairs.target
    return named | {
        "center_dist": torch.cdist(found.centres[0], targets.centres, p=1)[..., :most],
        "gious": criterion.overlaps(found, targets, rotated)[0, ..., :most],
        "loss_cardinality": criterion(found, targets)["count_error"],
        "per_prop_gt_inds": target,
        "proposal_matched_mask": matched,
        "total": sum(weights[name] * value[0] for name, value in terms.items()),
    }
