"""Similarities along rows beside CroCo's attention."""

import pytest
import torch

from dense3d.errors import ConfigError
from dense3d.registry import MODELS
from dense3d.stereo.croco_stereo.matching import TokenMatching, true_places
from dense3d.stereo.row_matching import Match
from dense3d.structures.stereo_sample import StereoSample

NETWORK = dict(pos_embed="RoPE100", patch_size=16, enc_embed_dim=24, enc_depth=2, enc_num_heads=2)
NETWORK |= dict(dec_embed_dim=16, dec_depth=2, dec_num_heads=2)
SMALL = dict(network=NETWORK, hooks=(0, 1, 2, 3), head=dict(hidden_channels=(4, 4, 8, 8), channels=8))
SMALL |= dict(crop_size=(32, 96), matching=dict(max_disparity=48, channels=16))


def by_loops(disparity, valid, candidates, stride):
    batch, _, height, width = disparity.shape
    places = torch.zeros(batch, candidates, height // stride, width // stride)
    for b in range(batch):
        for y in range(height):
            for x in range(width):
                place = x + 0.5 - disparity[b, 0, y, x].item()
                moved = x // stride - int(place // stride) if valid[b, y, x] else -1
                if valid[b, y, x] and place >= 0 and 0 <= moved < candidates:
                    places[b, moved, y // stride, x // stride] += 1 / stride**2
    return places


def test_places_are_those_of_a_loop_over_pixels():
    torch.manual_seed(0)
    disparity = torch.rand(1, 1, 8, 24) * 20 - 2
    valid = torch.rand(1, 8, 24) > 0.2
    disparity[~valid[:, None]] = float("inf")
    match = Match(torch.zeros(1, 4, 2, 6), stride=4, left=True)
    torch.testing.assert_close(true_places(disparity, valid, match), by_loops(disparity, valid, 4, 4))


def test_the_mean_place_is_the_disparity():
    match = Match(torch.zeros(1, 6, 2, 12), stride=4, left=True)
    places = true_places(torch.full((1, 1, 8, 48), 7.0), torch.ones(1, 8, 48, dtype=torch.bool), match)
    found = Match(places, 4, left=True).disparity * 4
    torch.testing.assert_close(found[..., 2:], torch.full((1, 1, 2, 10), 7.0))


def test_the_loss_is_the_cross_entropy_of_what_counts():
    matching = TokenMatching(8, 8, max_disparity=16, stride=4, weight=2.0)
    match = Match(torch.full((1, 4, 2, 4), 0.25), stride=4, left=True)
    target = torch.full((1, 1, 8, 14), 4.0)  # two columns were padded
    valid = torch.ones(1, 8, 14, dtype=torch.bool)
    assert matching.loss(match, target, valid).item() == pytest.approx(2 * torch.tensor(4.0).log().item())
    assert matching.loss(match, target, ~valid).item() == 0


def test_training_finds_the_shift_of_a_wall():
    torch.manual_seed(0)
    matching = TokenMatching(24, 16, max_disparity=48, channels=16)
    optimizer = torch.optim.Adam(matching.parameters(), lr=1e-2)
    target, valid = torch.full((2, 1, 16, 64), 8.0), torch.ones(2, 16, 64, dtype=torch.bool)
    wall = torch.rand(2, 3, 16, 72)
    for _ in range(40):
        *found, match = matching(wall[..., :64], wall[..., 8:])
        matching.loss(match, target, valid).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert [x.shape for x in found] == [(2, 4, 24)] * 2
    error = (match.disparity[..., 3:] * match.stride - 8).abs().mean()
    assert error < 5  # 14 when all candidates, 0 to 44, are alike


def test_the_model_trains_it():
    torch.manual_seed(0)
    model = MODELS.build(dict(type="CrocoStereo", **SMALL))
    sample = StereoSample()
    sample.set_data({"gt_disparity": torch.full((1, 32, 96), 8.0)})
    images = torch.rand(1, 3, 32, 96)
    losses = model({"left": images, "right": images}, [sample], mode="loss")
    losses["loss_matching"].backward(retain_graph=True)
    assert all(p.grad is not None for p in model.matching.features.parameters())
    assert model.network.dec_blocks[0].mlp.fc1.weight.grad is None
    losses["loss"].backward()
    assert model.matching.join.weight.grad.abs().sum() > 0


def test_batches_and_odd_sizes_give_what_single_pairs_give():
    torch.manual_seed(0)
    model = MODELS.build(dict(type="CrocoStereo", test_cfg=dict(mode="whole"), **SMALL)).eval()
    left, right = torch.rand(2, 3, 45, 83), torch.rand(2, 3, 45, 83)
    both = model({"left": left, "right": right}, mode="predict")
    for index, sample in enumerate(both):
        (alone,) = model({"left": left[[index]], "right": right[[index]]}, mode="predict")
        torch.testing.assert_close(sample.pred_disparity, alone.pred_disparity, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("kind", "wrong", "sentence"),
    [
        ("CrocoStereo", dict(stride=3), "stride=3 is no power of two that divides patches of 16"),
        ("CrocoStereo", dict(stride=32), "stride=32 is no power of two"),
        ("CrocoStereo", dict(weight=-1.0), "weight=-1.0 is negative"),
        ("CrocoStereo", dict(max_disparity=4), "1 candidates, but needs 2"),
        ("CrocoFlow", {}, "for stereo and not for optical flow"),
    ],
)
def test_wrong_settings_are_refused(kind, wrong, sentence):
    settings = SMALL | dict(matching=dict(max_disparity=48) | wrong)
    with pytest.raises(ConfigError, match=sentence):
        MODELS.build(dict(type=kind, **settings))
