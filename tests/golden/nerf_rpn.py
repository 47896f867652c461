"""Golden adapters of NeRF-RPN (system ``nerf-rpn``): both heads, their training, and augmentation."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from dense3d.datasets.radiance_grids.augment import GridAugmentation
from dense3d.detection3d.nerf_rpn import AnchorHead3D, FCOSHead3D, NerfRPN
from dense3d.detection3d.nerf_rpn.anchor_head import AnchorPredictions
from dense3d.detection3d.nerf_rpn.anchors import anchor_strides, assign_anchors, inside, level_anchors
from dense3d.detection3d.nerf_rpn.box_codes import bounds_of, decode_from, encode_from
from dense3d.detection3d.nerf_rpn.fcos_head import LocationPredictions
from dense3d.detection3d.nerf_rpn.selection import Proposals
from dense3d.ops import linear_sum_assignment
from dense3d.radiance.data_preprocessor import GridDataPreprocessor
from dense3d.structures import boxes_of_corners
from tests.golden import UnknownCheckError
from tests.golden.checks import Run, by_name
from tests.golden.kit import GoldenKit
from tests.golden.nerf_mae import encoder_of
from tests.golden.options import Options
from tests.golden.weights import load_kit

Found = dict[str, Tensor]
FCOS_OPTIONS = {  # official argument -> ours, and the official default
    "num_convs": ("num_convs", 4),
    "norm_reg_targets": ("normalised_targets", False),
    "centerness_on_reg": ("centreness_on_boxes", False),
    "rotated_bbox": ("rotated", False),
    "pre_nms_thresh": ("score_threshold", 0.0),
    "pre_nms_top_n": ("pre_nms", 2500),
    "nms_thresh": ("iou_threshold", 0.3),
    "fpn_post_nms_top_n": ("post_nms", 2500),
    "min_size": ("min_size", 0.0),
    "center_sampling_radius": ("centre_radius", 1.5),
    "iou_loss_type": ("box_loss", "iou"),
    "use_additional_l1_loss": ("offset_loss", False),
    "proj2d_loss_weight": ("projection_weight", 0.0),
}
LOSS_NAMES = {"cls": "loss_cls", "reg": "loss_box", "centerness": "loss_centreness"}


def open_fcos(kit: GoldenKit) -> Run:
    """The detector with the anchor-free head, and the head alone."""
    options = kit.options
    encoder, resolution = Options(options.take("backbone"), kit.folder), options.take("resolution", 160)
    head = Options(options.take("head"), kit.folder)
    arguments = {ours: head.take(theirs, value) for theirs, (ours, value) in FCOS_OPTIONS.items()}
    arguments |= {"strides": options.take("fpn_strides", [4, 8, 16, 32])}
    head.refuse_rest()
    backbone = dict(type="Swin3D", in_channels=encoder.take("input_dim", 4), **encoder_of(encoder))
    model = NerfRPN(
        backbone,
        neck=dict(type="FPN3D", out_channels=encoder.take("out_channels", 256)),
        bbox_head=dict(type="FCOSHead3D", **arguments),
        data_preprocessor=GridDataPreprocessor(resolution=resolution),
    )
    encoder.refuse_rest()
    load_kit(model, kit, "nerf-rpn")

    def whole(_check: dict, inputs: Found) -> Found:
        grids = [grid.float() / 255 for grid in numbered(inputs, "grid")]
        batch = model.data_preprocessor({"inputs": {"grids": grids}})["inputs"]
        pyramid = model.pyramid(batch["grids"])
        raw = model.bbox_head(pyramid)
        found = {f"fpn{level}": features for level, features in enumerate(pyramid)} | _maps(raw)
        found |= {f"reg{level}": codes for level, codes in enumerate(model.bbox_head.in_voxels(raw))}
        valid = model.bbox_head.valid(raw, batch["shapes"])
        return found | _boxes(model.bbox_head.proposals(raw, batch["shapes"], valid), model.bbox_head.rotated)

    def head_train(_check: dict, inputs: Found) -> Found:
        raw = model.bbox_head([level.float() / 64 for level in numbered(inputs, "feature")])
        scaled = {f"reg{level}_eval": codes for level, codes in enumerate(model.bbox_head.in_voxels(raw))}
        return _maps(raw) | {f"reg{level}": codes for level, codes in enumerate(raw.codes)} | scaled

    def losses(check: dict, inputs: Found) -> Found:
        return _fcos_losses(check, inputs, arguments)

    def post(check: dict, inputs: Found) -> Found:
        stored = {name: torch.from_numpy(value) for name, value in kit.outputs(check["name"]).items()}
        return _in_order_of(_selected(check, inputs, arguments), stored)

    return by_name({"model": whole, "head_train": head_train, "loss": losses, "post": post})


def numbered(inputs: Mapping[str, Tensor], stem: str, ending: str = "") -> list[Tensor]:
    """Inputs ``<stem>0<ending>``, ``<stem>1<ending>`` and so on."""
    names = [name for name in inputs if re.fullmatch(rf"{stem}\d+{ending}", name)]
    return [inputs[f"{stem}{number}{ending}"] for number in range(len(names))]


def world(boxes: Tensor) -> Tensor:
    """Boxes ``(N, 7)``, also of those that the kit has as opposite corners."""
    return boxes_of_corners(boxes) if boxes.shape[1] == 6 else boxes


def _maps(raw: LocationPredictions) -> Found:
    found = {f"cls{level}": logits for level, logits in enumerate(raw.logits)}
    return found | {f"centerness{level}": logits for level, logits in enumerate(raw.centreness)}


def _boxes(scenes: list[Proposals], rotated: bool) -> Found:
    found = {}
    for scene, proposals in enumerate(scenes):
        boxes = proposals.boxes if rotated else bounds_of(proposals.boxes)
        found[f"boxes{scene}"] = torch.cat([proposals.levels[:, None].to(boxes), boxes], 1)
        found[f"scores{scene}"] = proposals.scores
    return found


def _in_order_of(found: Found, stored: Found) -> Found:
    """The same boxes, those of equal scores in the order in which the kit has them.

    Of many boxes a kit may hold every k-th one, with all scores.
    """
    for name in [name for name in found if name.startswith("scores")]:
        boxes = name.replace("scores", "boxes")
        own, kept = found[boxes], stored[boxes]
        if found[name].shape != stored[name].shape or own.shape[1:] != kept.shape[1:]:
            continue
        steps = (step for step in range(1, len(own) + 1) if len(range(0, len(own), step)) == len(kept))
        places = torch.arange(0, len(own), next(steps, len(own)))
        apart = torch.cdist(kept.double(), own.double())
        apart += 1e6 * (stored[name][places, None] - found[name]).abs().gt(1e-6)
        rows = torch.as_tensor(linear_sum_assignment(apart.numpy())[1])
        order = torch.full((len(own),), -1)
        order[places] = rows
        rest = torch.ones(len(own), dtype=torch.bool)
        rest[rows] = False
        order[order < 0] = rest.nonzero().flatten()
        found |= {boxes: own[order], name: found[name][order]}
    return found


def _raw(inputs: Found) -> LocationPredictions:
    eighths, sixteenths = (lambda x: x.float() / 8), (lambda x: x.float() / 16)
    return LocationPredictions(
        list(map(eighths, numbered(inputs, "cls", "_x8"))),
        list(map(sixteenths, numbered(inputs, "reg", "_x16"))),
        list(map(eighths, numbered(inputs, "centerness", "_x8"))),
    )


def _head(check: dict, arguments: dict, **changes) -> FCOSHead3D:
    """A head for the kind of boxes that a check's name tells; its weights are not used."""
    rotated = "obb" in check["name"].split("_")
    return FCOSHead3D(32, **{**arguments, "num_convs": 0, "rotated": rotated, **changes})


def _fcos_losses(check: dict, inputs: Found, arguments: dict) -> Found:
    """Targets, and losses by the ending of an output's name."""
    raw, boxes = _raw(inputs), [world(own) for own in numbered(inputs, "gt")]
    head = _head(check, arguments)
    valid, targets = head.valid(raw, inputs["grid_sizes"]), head.targets(raw, boxes)
    found = {}
    for level, (own, mask) in enumerate(zip(targets, valid)):
        found |= {
            f"labels{level}": own.positive,
            f"pos_targets{level}": own.codes[own.positive],
            f"pos_centerness{level}": own.centreness(),
            f"padding_mask{level}": mask,
        }
    for output in check["outputs"]:
        name, _, variant = output.removeprefix("loss_").partition("_")
        if output.startswith("loss_"):
            found[output] = _variant(raw, boxes, valid, check, arguments, variant)[LOSS_NAMES[name]]
    return found


def _variant(raw, boxes, valid, check: dict, arguments: dict, variant: str) -> Found:
    changes = {"projection_weight": 0.0, "offset_loss": False, "box_loss": "iou"}
    kind = next(
        (kind for kind in ("linear_iou", "giou", "diou", "smooth_l1", "iou") if variant.startswith(kind)), ""
    )
    rest = variant.removeprefix(kind).removeprefix("_")
    if kind:
        changes["box_loss"] = kind
    if rest == "l1":
        changes["offset_loss"] = True
    elif rest == "no_center_sampling":
        changes["centre_radius"] = 0.0
    elif rest == "proj2d":
        changes["projection_weight"] = arguments["projection_weight"] or 1.0
    elif rest == "unpadded":
        valid = None
    elif rest == "no_gt":
        boxes = [own[:0] for own in boxes]
    elif rest:
        raise UnknownCheckError(f"no rule for the losses {variant!r} of {check['name']!r}")
    return _head(check, arguments, **changes).losses(raw, boxes, valid)


def _selected(check: dict, inputs: Found, arguments: dict) -> Found:
    """Boxes by the numbers that the check's note tells."""
    note = check["note"]

    def stated(pattern: str) -> float:
        match = re.search(pattern, note)
        if match is None:
            raise UnknownCheckError(f"the note of {check['name']!r} does not state {pattern}")
        return float(match[1].rstrip("."))

    head = _head(
        check,
        arguments,
        score_threshold=stated(r"score threshold ([\d.]+)"),
        pre_nms=int(stated(r"top (\d+) per level")),
        iou_threshold=stated(r"IoU threshold ([\d.]+)"),
        post_nms=int(stated(r"at most (\d+) after")),
        min_size=stated(r"minimum size ([\d.]+)"),
        box_loss="iou",
        offset_loss=False,
        projection_weight=0.0,
    )
    raw, sizes = _raw(inputs), inputs["grid_sizes"]
    return _boxes(head.proposals(raw, sizes, head.valid(raw, sizes)), head.rotated)


def open_anchor(kit: GoldenKit) -> Run:
    """The anchor-based head, and what it is trained by."""
    options = kit.options
    sizes, ratios = options.take("anchor_sizes"), options.take("aspect_ratios")
    head = AnchorHead3D(
        options.take("in_channels"),
        sizes,
        ratios,
        normalised=options.take("is_normalized", False),
        rotated=options.take("rotated", False),
        num_convs=options.take("conv_depth", 1),
        positive_iou=options.take("fg_iou"),
        negative_iou=options.take("bg_iou"),
        box_loss=options.take("reg_loss_type", "smooth_l1"),
        box_weight=1.0,
        projection_weight=1.0,
    )
    load_kit(head, kit, "nerf-rpn-anchor-head")

    def maps(_check: dict, inputs: Found) -> Found:
        found = {}
        for name, value in inputs.items():
            number = re.fullmatch(r"feature(\d+)_x16", name)[1]
            found[f"cls{number}"], found[f"reg{number}"] = head.maps(value.float() / 16)
        return found

    def anchors(_check: dict, inputs: Found) -> Found:
        found, counts = {}, []
        for level, (cells, shape, strides) in enumerate(_levels(head, inputs["side"].item())):
            every = level_anchors(cells, shape, strides)
            counts.append(len(every))
            found |= {
                f"anchors{level}": every[: 6 * len(cells)] if level < 2 else every,
                f"cell{level}": cells,
            }
            found[f"padding{level}"] = inside(shape, strides, inputs["grid_sizes"])
        return found | {"count": torch.tensor(counts)}

    def coder(_check: dict, inputs: Found) -> Found:
        anchors, boxes, raw = inputs["anchors"], world(inputs["boxes"]), inputs["raw"]
        encoded = encode_from(anchors, boxes, head.rotated)
        decoded = {"decoded": decode_from(anchors, encoded), "decoded_raw": decode_from(anchors, raw)}
        return {n: b if head.rotated else bounds_of(b) for n, b in decoded.items()} | {"encoded": encoded}

    def assign(_check: dict, inputs: Found) -> Found:
        found = {}
        empty = _predictions(head, inputs)
        valid = head.valid(empty, inputs["grid_sizes"])
        for scene, boxes in enumerate(numbered(inputs, "gt")):
            limits = head.positive_iou, head.negative_iou
            labels, best = assign_anchors(empty.anchors, world(boxes), *limits, valid[scene])
            positive = (labels == 1).nonzero().flatten()
            found |= {f"pos{scene}": positive, f"matched{scene}": boxes[best[positive]]}
            found[f"num_ignored{scene}"] = (labels == -1).sum()
        return found

    def loss(_check: dict, inputs: Found) -> Found:
        raw = _predictions(head, inputs)
        scene, row = (
            inputs["sample_order"] // raw.logits.shape[1],
            inputs["sample_order"] % raw.logits.shape[1],
        )
        raw.logits[scene, row], raw.codes[scene, row] = inputs["objectness"][:, 0], inputs["deltas"]
        samples = []
        for number, boxes in enumerate(map(world, numbered(inputs, "gt"))):
            positive, negative = inputs[f"sample_pos{number}"], inputs[f"sample_neg{number}"]
            valid = head.valid(raw, inputs["grid_sizes"])[number]
            best = assign_anchors(raw.anchors, boxes, head.positive_iou, head.negative_iou, valid)[1]
            samples.append((positive, negative, boxes[best[positive]]))
        found = head.sampled_losses(raw, samples)
        return {
            "loss_objectness": found["loss_objectness"],
            "loss_box": found["loss_box"],
            "loss_2d": found["loss_projection"],
        }

    return by_name({"head": maps, "anchors": anchors, "coder": coder, "assign": assign, "loss": loss})


def _levels(head: AnchorHead3D, side: int) -> list[tuple[Tensor, tuple[int, ...], tuple[int, ...]]]:
    """Anchors of a location, shape and strides of each level of a cube, from stride 4 on."""
    shapes = [(side // 2 ** (level + 2),) * 3 for level in range(len(head.cells))]
    return [(cells, shape, anchor_strides((side,) * 3, shape)) for cells, shape in zip(head.cells, shapes)]


def _predictions(head: AnchorHead3D, inputs: Found) -> AnchorPredictions:
    """Predictions of nothing, for grids of a kit's sizes in a cube whose side is their longest."""
    sizes = inputs["grid_sizes"]
    side = int(sizes.max())
    cells, shapes, strides = zip(*_levels(head, side))
    anchors = [level_anchors(*level) for level in zip(cells, shapes, strides)]
    counts, every = [len(part) for part in anchors], torch.cat(anchors)
    logits = torch.zeros(len(sizes), len(every))
    codes = torch.zeros(len(sizes), len(every), head.code_size)
    return AnchorPredictions(logits, codes, every, counts, list(shapes), list(strides), side)


def open_augmentation(_kit: GoldenKit) -> Run:
    """Augmentation by decisions that are given."""

    def run(_check: dict, inputs: Found) -> Found:
        quarter, flip_x, flip_y, turned = (bool(one) for one in inputs["decisions"])
        angle, scale = inputs["angle_scale"].tolist()
        turn = (angle, scale) if turned else None
        augment = GridAugmentation()
        grid, found = inputs["grid"].float() / 255, {}
        for name in ("boxes", "boxes_aabb"):
            boxes = inputs[name]
            if boxes.shape[1] == 6 and turned:
                continue
            moved, own = augment.apply(grid, world(boxes), quarter, (flip_x, flip_y), turn)
            found[name] = bounds_of(own) if boxes.shape[1] == 6 else own
        return found | {"grid": moved, "shape": torch.tensor(moved.shape)}

    return by_name(dict.fromkeys(("rot90", "flip", "rot", "all"), run))
