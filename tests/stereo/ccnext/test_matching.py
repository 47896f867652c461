"""Matching of rows and its loss: which way it looks, what it finds, that far disparities have a gradient."""

from __future__ import annotations

import copy

import pytest
import torch

from dense3d.errors import ConfigError, DataError
from dense3d.stereo.ccnext import CCNeXt, MatchingLoss
from dense3d.stereo.row_matching import Match, RowMatching, along_row
from dense3d.structures import StereoSample

BACKBONE = dict(type="ConvNeXt", arch=dict(dims=(8, 12, 16, 24), depths=(1, 1, 1, 1)))


def small(**settings) -> CCNeXt:
    torch.manual_seed(0)
    return CCNeXt(
        copy.deepcopy(BACKBONE),
        encoder=dict(matching=dict(max_disparity=32)),
        decoder=dict(dual=False, channels=(4, 4, 8, 8, 8)),
        loss=dict(image_levels=(0, 2)),
        normalised_focal=0.58,
        **settings,
    )


def shifted_rows(shift: int = 3, channels: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of both images of a wall: the right one has everything ``shift`` columns farther left."""
    torch.manual_seed(0)
    scene = torch.randn(1, channels, 2, 24 + shift)
    return scene[..., :24], scene[..., shift:]


def identity_matching(channels: int = 16, candidates: int = 6) -> RowMatching:
    matching = RowMatching(channels, candidates, stride=4, temperature=50.0)
    for convolution in (matching.query, matching.key):
        convolution.weight.data = torch.eye(channels)[:, :, None, None]
        convolution.bias.data.zero_()
    return matching


def test_a_wall_is_found_from_both_images():
    with torch.no_grad():
        _, _, (left, right) = identity_matching()(*shifted_rows(3))
    torch.testing.assert_close(left.disparity[..., 3:], torch.full((1, 1, 2, 21), 3.0), atol=1e-2, rtol=0)
    torch.testing.assert_close(right.disparity[..., :-3], torch.full((1, 1, 2, 21), 3.0), atol=1e-2, rtol=0)


def test_nothing_is_matched_beyond_the_border():
    with torch.no_grad():
        _, _, (left, right) = identity_matching()(*shifted_rows())
    beyond = torch.arange(6)[:, None] > torch.arange(24)
    assert left.probability.permute(0, 2, 1, 3)[..., beyond].max() == 0
    assert right.probability.permute(0, 2, 1, 3)[..., beyond.flip(-1)].max() == 0
    torch.testing.assert_close(left.probability.sum(1), torch.ones(1, 2, 24))


@pytest.mark.parametrize("is_left", [True, False])
def test_candidates_are_what_lies_that_far_along_the_row(is_left):
    image = torch.arange(1.0, 8.0).reshape(1, 1, 1, 7)
    for distance, moved in enumerate(along_row(image, 4, is_left)):
        for x in range(7):
            source = x - distance if is_left else x + distance
            assert moved[0, 0, 0, x] == (source + 1 if 0 <= source < 7 else 0)


def test_the_true_disparity_paints_without_error_and_a_far_one_has_a_gradient_towards_it():
    torch.manual_seed(0)
    scene = torch.rand(1, 3, 32, 80).repeat_interleave(4, -1).repeat_interleave(4, -2)[..., :32, :]
    left, right = scene[..., :256], scene[..., 12:268]  # 12 pixels: 3 columns of stride 4
    loss = MatchingLoss(weight=1.0, smooth_weight=0.0)

    def error(logits: torch.Tensor) -> torch.Tensor:
        return loss([Match(logits.softmax(1), 4, left=True)], left, right)

    true, far = torch.zeros(2, 1, 16, 8, 64)
    true[:, 3], far[:, 12] = 50.0, 3.0
    far.requires_grad_()
    assert error(true) < error(torch.zeros(1, 16, 8, 64)) / 5  # of columns beyond the border alone
    error(far).backward()
    assert far.grad[:, :, :, 20:].mean((0, 2, 3)).argmin() == 3  # the step goes to the true one, 9 away


def test_training_reaches_every_weight_of_the_matching():
    model = small().train()
    pair = dict(left=torch.rand(2, 3, 64, 96), right=torch.rand(2, 3, 64, 96))
    losses = model(pair, [StereoSample(), StereoSample()], mode="loss")
    assert losses["loss_matching"] > 0
    sum(v for name, v in losses.items() if name.startswith("loss")).backward()
    for name, weight in model.encoder.matchings.named_parameters():
        if not name.endswith("key.bias") or "0" in name:
            assert weight.grad is not None and weight.grad.abs().max() > 0, name


def test_images_of_any_size_and_batches_are_as_single_ones():
    model = small(predict_right=True).eval()
    torch.manual_seed(1)
    pair = dict(left=torch.rand(2, 3, 50, 90), right=torch.rand(2, 3, 50, 90))
    with torch.no_grad():
        both = model(pair, mode="predict")
        for i, sample in enumerate(both):
            alone = model({k: v[i : i + 1] for k, v in pair.items()}, mode="predict")[0]
            assert sample.pred_disparity.shape == (1, 50, 90)
            torch.testing.assert_close(sample.pred_disparity, alone.pred_disparity, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(
                sample.pred_right_disparity, alone.pred_right_disparity, atol=1e-4, rtol=1e-4
            )


def test_half_precision_keeps_probabilities_in_single():
    model = small().eval()
    pair = (torch.rand(1, 3, 64, 96), torch.rand(1, 3, 64, 96))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        _, _, matches = model.encoder.match(*pair)
    assert all(match.probability.dtype == torch.float32 for match in matches)


@pytest.mark.parametrize("meta", [dict(flipped=True), dict(reference="right")])
def test_pairs_whose_matches_lie_to_the_right_are_refused(meta):
    pair = dict(left=torch.rand(1, 3, 64, 64), right=torch.rand(1, 3, 64, 64))
    with pytest.raises(DataError, match=r"looks to the left alone: use StereoFlip\(exchange=True\)"):
        small()(pair, [StereoSample(metainfo=meta)], mode="predict")


def test_settings_that_do_not_fit():
    with pytest.raises(ConfigError, match="so flip_post_process is not possible"):
        small(flip_post_process=True)
    with pytest.raises(ConfigError, match="matching_loss needs encoder"):
        CCNeXt(copy.deepcopy(BACKBONE), matching_loss=dict())
    with pytest.raises(ConfigError, match="stride 16 has 1 candidates, but needs 2: a larger max_disparity"):
        CCNeXt(copy.deepcopy(BACKBONE), encoder=dict(matching=dict(max_disparity=31)))
    with pytest.raises(ConfigError, match="weight=-1"):
        MatchingLoss(weight=-1)
