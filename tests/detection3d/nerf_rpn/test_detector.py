"""The detector as a whole: losses and boxes of both heads, batches, bad input, training."""

import math

import pytest
import torch

from dense3d.detection3d.nerf_rpn import AnchorHead3D, FCOSHead3D, LocationPredictions, NerfRPN
from dense3d.detection3d.nerf_rpn.box_codes import encode_at
from dense3d.detection3d.nerf_rpn.detector import check_boxes
from dense3d.detection3d.nerf_rpn.location_targets import inside, level_locations
from dense3d.errors import ConfigError, DataError
from dense3d.evaluation.boxes3d import SceneBoxes, get_protocol
from tests.detection3d.nerf_rpn.scenes import HEADS, batch, detector, scene


def _losses(model, data):
    return model(**model.data_preprocessor(data, True), mode="loss")


@pytest.mark.parametrize("head", ["fcos", "anchor"])
@pytest.mark.parametrize("rotated", [True, False])
def test_losses_and_gradients(head, rotated):
    model = detector(head, rotated=rotated).train()
    losses = _losses(model, batch(scene(0), scene(1, (24, 32, 17))))
    assert all(loss.isfinite() and loss > 0 for loss in losses.values()), losses
    sum(losses.values()).backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert missing == []


@pytest.mark.parametrize("head", ["fcos", "anchor"])
def test_scenes_without_objects(head):
    model = detector(head).train()
    empty = torch.zeros(4, 16, 16, 16), torch.zeros(0, 7)
    losses = _losses(model, batch(empty, scene(0)))
    assert all(loss.isfinite() for loss in losses.values())
    alone = _losses(model, batch(empty))
    assert alone["loss_box"] == 0 and all(loss.isfinite() for loss in alone.values())
    sum(alone.values()).backward()
    found = detector(head).eval()(torch.zeros(1, 4, 16, 16, 16), mode="predict")[0]
    assert found.pred_boxes.shape[1] == 7 and found.pred_boxes.isfinite().all()


@pytest.mark.parametrize("head", ["fcos", "anchor"])
def test_a_batch_gives_what_single_scenes_give(head):
    """Padded alike, since norms see the padding; whatever the neighbours are."""
    model = detector(head, pre_nms=50, iou_threshold=1.0).eval()
    model.data_preprocessor.resolution = 32
    for layer in (model.bbox_head.cls_logits, model.bbox_head.bbox_pred):
        torch.nn.init.normal_(layer.weight, std=0.3)  # without which scores nearly tie
    scenes = scene(0), scene(1, (20, 32, 17)), scene(2, (31, 9, 32))
    together = model.test_step(batch(*scenes))
    for one, sample in zip(scenes, together):
        (alone,) = model.test_step(batch(one))
        found = []
        for result in (alone, sample):
            solid = result.pred_boxes[:, 3:6].amin(1) > 0.5  # of flat ones rounding decides
            found.append((result.pred_boxes[solid][:8], result.pred_box_scores[solid][:8]))
        assert len(found[0][0]) == 8
        assert torch.allclose(found[0][1], found[1][1], atol=1e-5)
        assert torch.allclose(found[0][0], found[1][0], atol=1e-2)


def test_padding_proposes_nothing():
    model = detector("fcos").eval()
    model.data_preprocessor.resolution = 64
    grid, boxes = scene(0, (20, 24, 9))
    found = model(**model.data_preprocessor(batch((grid, boxes))), mode="tensor")
    valid = model.bbox_head.valid(found, torch.tensor([[20, 24, 9]]))
    assert [int(level.sum()) for level in valid] == [5 * 6 * 2, 2 * 3 * 1]  # i * stride + stride // 2 < side
    losses = model.bbox_head.losses(found, [boxes], valid)
    for level, mask in zip(found.logits, valid):
        level.view(-1)[~mask[0]] = 50.0
    changed = model.bbox_head.losses(found, [boxes], valid)
    assert torch.equal(losses["loss_cls"], changed["loss_cls"])
    assert all(one.pred_boxes.isfinite().all() for one in model.test_step(batch((grid, boxes))))


@pytest.mark.parametrize("rotated", [True, False])
def test_ground_truth_as_prediction_finds_everything(rotated):
    """Codes of the assigned boxes, decoded and suppressed, are the boxes: AP 1 at 0.75."""
    head = FCOSHead3D(32, (4, 8), rotated=rotated, level_ranges=((-1, 12), (12, math.inf)))
    boxes = torch.tensor([[10.0, 10, 8, 9, 5, 8, 0.4], [24, 20, 10, 8, 10, 7, -1.2], [8, 24, 6, 7, 7, 9, 0]])
    boxes[:, 6] *= rotated
    shapes = [(8, 8, 5), (4, 4, 3)]
    blank = [torch.zeros(1, 1, *shape) for shape in shapes]
    raw = LocationPredictions(blank, [torch.zeros(1, 8 if rotated else 6, *s) for s in shapes], blank)
    logits, codes = [], []
    for shape, target in zip(shapes, head.targets(raw, [boxes])):
        logits.append(torch.where(target.positive, 9.0, -9.0).view(1, 1, *shape))
        codes.append(target.codes.T.reshape(1, -1, *shape))
    (found,) = head.proposals(LocationPredictions(logits, codes, logits), torch.tensor([[32, 32, 20]]), None)
    kept = found[found.scores > 0.5]
    entry = {"boxes": kept.boxes.numpy(), "labels": [0] * len(kept.boxes), "scores": kept.scores.numpy()}
    truth = SceneBoxes.of({"room": {"boxes": boxes.numpy(), "labels": [0] * 3}}, ["object"])
    figures = get_protocol("nerf-rpn").evaluate(truth, SceneBoxes.of({"room": entry}, ["object"])).flat()
    assert figures["AP75"] == figures["recall50_top300"] == figures["AR_top300"] == 1.0


def test_the_smallest_box_gets_a_location_that_several_hold():
    head = FCOSHead3D(32, (4,), level_ranges=((-1, math.inf),))
    boxes = torch.tensor([[8.0, 8, 8, 16, 16, 16, 0], [8, 8, 8, 8, 8, 8, 0]])
    raw = LocationPredictions([torch.zeros(1, 1, 4, 4, 4)], [torch.zeros(1, 8, 4, 4, 4)], [])
    (target,) = head.targets(raw, [boxes])
    locations = level_locations((4, 4, 4), 4, torch.device("cpu"))
    near = (locations - 8).abs().amax(1) < 4
    expected = encode_at(locations[near], boxes[1:].expand(int(near.sum()), -1))
    assert torch.allclose(target.codes[near][:, :6] * 4, expected[:, :6])
    far = ~near & target.positive  # within 1.5 strides of the centre, and only in the large one
    assert not far.any() or (target.codes[far][:, :6].sum(1) * 4).eq(48).all()
    assert inside(locations, torch.tensor([[16, 16, 16]])).all()


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[5.0, 5, 5, 0, 2, 2, 0]], "without volume"),
        ([[5.0, 5, 5, 2, math.nan, 2, 0]], "number that is none"),
        ([[90.0, 5, 5, 2, 2, 2, 0]], "boxes are in voxels"),
        ([[5.0, 5, 5, 2, 2]], "boxes are"),
    ],
)
def test_boxes_that_cannot_be_meant_are_refused(boxes, message):
    with pytest.raises(DataError, match=message):
        check_boxes(torch.tensor(boxes), torch.tensor([20, 20, 20]), "room 3")


def test_bad_grids_are_refused():
    model = detector().eval()
    grid, boxes = scene(0)
    grid[0, 3, 3, 3] = math.nan
    with pytest.raises(DataError, match="room 1 has voxels that are no numbers"):
        model.test_step(batch(scene(1), (grid, boxes)))
    with pytest.raises(DataError, match="without gt_boxes"):
        model(torch.zeros(1, 4, 16, 16, 16), mode="loss")
    with pytest.raises(DataError, match="batch of grids"):
        model(torch.zeros(1, 3, 16, 16, 16))
    reaching = torch.tensor([[1.0, 1, 1, 4, 4, 4, 0], [40.0, 5, 5, 2, 2, 2, 0]])  # as after augmentation
    check_boxes(reaching, torch.tensor([20, 20, 20]), "room")
    check_boxes(torch.tensor([[23.0, 5, 5, 2, 2, 2, 0]]), torch.tensor([20, 20, 20]), "moved out by turning")


def test_patches_that_are_no_cubes_need_anchors():
    swin = dict(type="Swin3D", arch=dict(embed_dim=8, depths=(1, 1), num_heads=(1, 1)), patch_size=(4, 4, 2))
    with pytest.raises(ConfigError, match="takes cubic patches"):
        NerfRPN(swin, HEADS["fcos"], neck=dict(type="FPN3D", out_channels=32))
    model = NerfRPN(swin, HEADS["anchor"], neck=dict(type="FPN3D", out_channels=8))
    assert model(torch.rand(1, 4, 16, 16, 8)).strides == [(4, 4, 2), (8, 8, 4)]


def test_corners_are_boxes_along_the_axes():
    model = detector("fcos", rotated=False).train()
    grid, _ = scene(0)
    corners = torch.tensor([[4.0, 4, 4, 12, 10, 12]])
    boxes = torch.tensor([[8.0, 7, 8, 8, 6, 8, 0]])
    first, second = (_losses(model.eval(), batch((grid, own))) for own in (corners, boxes))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(box_loss="ious"), "box_loss='ious'"),
        (dict(box_loss="diou", rotated=False), "needs rotated=True"),
        (dict(offset_loss=True, rotated=False), "offset_loss=True"),
        (dict(projection_weight=1.0, rotated=False), "projection_weight"),
        (dict(level_ranges=((0, 1),)), "give each level one"),
    ],
)
def test_options_of_the_anchor_free_head(options, message):
    with pytest.raises(ConfigError, match=message):
        FCOSHead3D(32, (4, 8), **{"level_ranges": ((-1, 8), (8, 99)), **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(box_loss="giou", rotated=False), "use one of 'smooth_l1'"),
        (dict(positive_iou=0.1), "must not exceed"),
        (dict(sizes=((8,), (8, 16))), "equally many"),
    ],
)
def test_options_of_the_anchor_based_head(options, message):
    with pytest.raises(ConfigError, match=message):
        AnchorHead3D(8, **options)


@pytest.mark.parametrize("kind", ["iou", "linear_iou", "giou", "diou", "smooth_l1"])
@pytest.mark.parametrize("head", ["fcos", "anchor"])
def test_every_loss_has_a_gradient(head, kind):
    options = dict(offset_loss=True) if head == "fcos" else {}
    model = detector(head, box_loss=kind, projection_weight=0.1, **options).train()
    losses = _losses(model, batch(scene(0)))
    sum(losses.values()).backward()
    gradient = model.bbox_head.bbox_pred.weight.grad
    assert gradient.isfinite().all() and gradient.abs().sum() > 0


def test_initial_weights():
    """Convolutions N(0, 0.01), biases 0, and a probability of 0.01 to begin with; a ResNet's by fan out."""
    model = detector("fcos")
    head = model.bbox_head
    for convolution in (head.cls_tower[0], head.bbox_tower[0]):
        assert abs(convolution.weight.std().item() - 0.01) < 5e-4 and not convolution.bias.any()
    assert torch.allclose(head.cls_logits.bias.sigmoid(), torch.tensor([0.01]))
    assert [scale.scale.item() for scale in head.scales] == [1.0, 1.0]
    stem = model.backbone.conv1.weight
    assert abs(stem.std().item() / math.sqrt(2 / (stem.shape[0] * 7**3)) - 1) < 0.1


def test_half_precision():
    model = detector("fcos").train()
    data = model.data_preprocessor(batch(scene(0)), True)
    with torch.autocast("cpu", torch.bfloat16):
        half = model(**data, mode="loss")
    full = model(**data, mode="loss")
    for name, loss in full.items():
        assert half[name].dtype == torch.float32 and abs(half[name] / loss - 1) < 0.1, name


def test_a_frozen_backbone_gets_no_gradient():
    model = detector()
    frozen = type(model)(
        dict(type="ResNet3D", depths=(1, 1), base_channels=4),
        dict(type="AnchorHead3D", num_convs=1, sizes=((8,), (16,))),
        freeze_backbone=True,
    )
    wanted = {name.partition(".")[0] for name, p in frozen.named_parameters() if p.requires_grad}
    assert wanted == {"bbox_head"}


def test_a_grid_is_learnt_by_heart_and_resumed():
    """Sixty steps find its objects; a run cut in the middle goes on to the same losses."""
    data = batch(scene(5, (24, 24, 16)))
    states = []

    def run(model, optimiser, steps):
        for _ in range(steps):
            losses = _losses(model, data)
            loss = sum(losses.values())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            states.append((model.state_dict(), optimiser.state_dict()))
        return loss.item()

    model = detector("fcos").train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    first = _losses(model, data)
    run(model, optimiser, 40)
    saved = {k: v.clone() for k, v in model.state_dict().items()}, _copied(optimiser.state_dict())
    last = run(model, optimiser, 20)
    assert last < 0.5 * sum(first.values()).item()
    other = detector("fcos").train()
    other.load_state_dict(saved[0])
    again = torch.optim.AdamW(other.parameters(), lr=3e-3)
    again.load_state_dict(saved[1])
    assert run(other, again, 20) == last


def _copied(state):
    import copy

    return copy.deepcopy(state)
