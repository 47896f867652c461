"""Golden adapter of VoteNet (system ``votenet``): network, decoding, losses."""

from __future__ import annotations

import math
import re

import torch
from torch import Tensor

from dense3d.detection3d.box_decoding import BoxDecoder
from dense3d.detection3d.votenet import BoxTargets, Proposals, VoteCriterion, VoteNet
from dense3d.detection3d.votenet.criterion import vote_loss
from tests.golden.checks import Run, by_name
from tests.golden.indoor_boxes import entries
from tests.golden.kit import GoldenKit
from tests.golden.weights import load_kit

LEAST_POINTS = 5


def open_kit(kit: GoldenKit) -> Run:
    """The network with the kit's weights, and what stands alone."""
    options = kit.options
    bins, mean_sizes = options.take("num_heading_bin"), options.take("mean_size_arr")
    options.agree("num_size_cluster", len(mean_sizes))
    options.only("dataset", "sunrgbd" if bins > 1 else "scannet")
    sampling = options.take("sampling", "vote_fps")
    if sampling == "random":
        raise options.refusal("sampling", sampling, "what is drawn at random is not compared")
    model = VoteNet(
        backbone=dict(type="PointNet2", in_channels=options.take("input_feature_dim", 0)),
        num_classes=options.take("num_class"),
        mean_sizes=mean_sizes,
        num_heading_bins=bins,
        vote_factor=options.take("vote_factor", 1),
        proposals=dict(num_proposals=options.take("num_proposal", 128), sampling=sampling),
    )
    load_kit(model, kit, "votenet")

    def backbone(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        levels = model.backbone.levels(*_split(inputs["point_clouds"]))
        found = {}
        for number, level in enumerate(levels, start=1):
            found |= {
                f"sa{number}_features": level.features.transpose(1, 2),
                f"sa{number}_inds": level.indices,
            }
        seeds = model.backbone.seeds(*_split(inputs["point_clouds"]))
        return found | {"fp2_features": seeds.features.transpose(1, 2)}

    def votes(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        found = model.predictions(*_split(inputs["point_clouds"]), None).votes
        features = found.features.transpose(1, 2)
        return {"seed_inds": found.seeds.indices, "vote_xyz": found.points, "vote_features": features}

    def proposals(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        found = model.predictions(*_split(inputs["point_clouds"]), None).proposals
        return {
            "aggregated_vote_inds": found.indices,
            "aggregated_vote_xyz": found.clusters,
            "center": found.centres,
            "heading_residuals": found.heading_rests * (math.pi / bins),
            "heading_residuals_normalized": found.heading_rests,
            "heading_scores": found.heading_logits,
            "objectness_scores": found.objectness,
            "sem_cls_scores": found.class_logits,
            "size_residuals": found.size_rests * found.mean_sizes,
            "size_residuals_normalized": found.size_rests,
            "size_scores": found.size_logits,
        }

    def decode(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        found = _proposals(inputs, model.proposals.mean_sizes)
        return decoded(check["name"], inputs, *model.scored(type("Output", (), {"proposals": found})))

    def losses(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return _losses(inputs, model.proposals.mean_sizes)

    rules = dict(backbone=backbone, votes=votes, proposals=proposals, decode=decode, losses=losses)
    return by_name(rules)


def decoded(
    name: str, inputs: dict[str, Tensor], boxes: Tensor, objectness: Tensor, probabilities: Tensor
) -> dict[str, Tensor]:
    """Detections by the options that a check's name is made of."""
    words = name.split("_")[1:]
    kind = next(word.removesuffix("nms") for word in words if re.fullmatch(r"(class|cls|3d|2d|no)nms", word))
    decoder = BoxDecoder(
        min_points=LEAST_POINTS if "point_clouds" in inputs else 0,
        suppression={"cls": "class", "no": None}.get(kind, kind),
        over_own="oldiou" in words,
        entries="per-class" if "perclass" in words else "objectness",
    )
    clouds = inputs["point_clouds"][..., :3] if "point_clouds" in inputs else [None] * len(boxes)
    scenes = list(zip(boxes, objectness, probabilities, clouds))
    mask = torch.stack([decoder.kept(*scene) for scene in scenes])
    return entries([decoder(*scene) for scene in scenes]) | {"pred_mask": mask.float()}


def _split(clouds: Tensor) -> tuple[Tensor, Tensor | None]:
    return clouds[..., :3], clouds[..., 3:] if clouds.shape[2] > 3 else None


def _proposals(inputs: dict[str, Tensor], mean_sizes: Tensor) -> Proposals:
    """From the kit's names; residuals that are not normalised are."""
    rests, sizes = inputs.get("heading_residuals_normalized"), inputs.get("size_residuals_normalized")
    if rests is None:
        rests = inputs["heading_residuals"] / (math.pi / inputs["heading_scores"].shape[2])
        sizes = inputs["size_residuals"] / mean_sizes
    return Proposals(
        clusters=inputs.get("aggregated_vote_xyz"),
        indices=None,
        objectness=inputs["objectness_scores"],
        centres=inputs["center"],
        heading_logits=inputs["heading_scores"],
        heading_rests=rests,
        size_logits=inputs["size_scores"],
        size_rests=sizes,
        class_logits=inputs["sem_cls_scores"],
        mean_sizes=mean_sizes,
    )


def _losses(inputs: dict[str, Tensor], mean_sizes: Tensor) -> dict[str, Tensor]:
    """As the official code has them: padding takes part in the search for the nearest box."""
    criterion, proposals = VoteCriterion(match_padding=True), _proposals(inputs, mean_sizes)
    kinds = inputs["size_class_label"]
    sizes = mean_sizes[kinds] + inputs["size_residual_label"]
    centres = inputs["center_label"][..., :3]
    targets = BoxTargets(
        boxes=torch.cat([centres, sizes, torch.zeros_like(sizes[..., :1])], dim=2),
        real=inputs["box_label_mask"] > 0,
        labels=inputs["sem_cls_label"],
        kinds=kinds,
        heading_bins=inputs["heading_class_label"],
        heading_rests=inputs["heading_residual_label"],
    )
    seeds, places = inputs["seed_inds"], inputs["seed_xyz"]
    offsets = inputs["vote_label"].gather(1, seeds[..., None].expand(-1, -1, inputs["vote_label"].shape[2]))
    wanted = places[:, :, None] + offsets.unflatten(2, (-1, 3))  # (B, S, 3, 3)
    voting = inputs["vote_label_mask"].gather(1, seeds) > 0
    votes = inputs["vote_xyz"].unflatten(1, (seeds.shape[1], -1))
    assignment = criterion.assign(proposals.clusters, targets)
    terms = criterion.terms(proposals, assignment, targets)
    found = criterion(proposals, votes, wanted, voting, targets)
    box = terms["loss_centre"] + 0.1 * (terms["loss_heading_bin"] + terms["loss_size_class"])
    return {
        "vote_loss": vote_loss(votes, wanted, voting),
        "objectness_loss": terms["loss_objectness"],
        "center_loss": terms["loss_centre"],
        "heading_cls_loss": terms["loss_heading_bin"],
        "heading_reg_loss": terms["loss_heading"],
        "size_cls_loss": terms["loss_size_class"],
        "size_reg_loss": terms["loss_size"],
        "sem_cls_loss": terms["loss_class"],
        "box_loss": box + terms["loss_heading"] + terms["loss_size"],
        "loss": sum(value for name, value in found.items() if name.startswith("loss")),
        "pos_ratio": found["positive_share"],
        "neg_ratio": found["negative_share"],
        "obj_acc": found["objectness_accuracy"],
        "objectness_label": assignment.positive.long(),
        "objectness_mask": assignment.counted.float(),
        "object_assignment": assignment.target,
    }
