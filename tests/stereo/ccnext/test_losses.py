"""Losses and geometry: closed forms, peers, and what they give a network to learn from."""

from __future__ import annotations

import kornia
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import uniform_filter

from dense3d.errors import ConfigError, DataError
from dense3d.ops import warp_by_disparity
from dense3d.stereo.ccnext import (
    SelfSupervisedStereoLoss,
    edge_aware_smoothness,
    photometric_error,
    scaled_inverse_depth,
    ssim_distance,
    warp_along_rows,
)
from dense3d.stereo.ccnext.geometry import hidden_pixels, moved_coordinates
from dense3d.stereo.ccnext.losses import View, halved

FOCAL, BASELINE = 40.0, 0.1


def textured(height: int = 32, width: int = 64) -> torch.Tensor:
    torch.manual_seed(0)
    return F.interpolate(torch.rand(1, 3, height // 2, width // 2), (height, width), mode="bicubic").clamp(
        0, 1
    )


def shifted_pair(disparity: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Windows of one picture: a point at column x of the left image is at x - disparity of the right one."""
    picture = textured(32, 64 + disparity)
    return picture[..., :64], picture[..., disparity:]


def views(sigmoid: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> list[View]:
    shift = torch.tensor([-FOCAL * BASELINE])
    return [View({0: sigmoid}, {0: left}, right, shift), View({0: sigmoid}, {0: right}, left, -shift)]


def sigmoid_of(disparity: float) -> torch.Tensor:
    """The map that means this disparity everywhere."""
    scaled = disparity / (FOCAL * BASELINE)
    return torch.full((1, 1, 32, 64), (scaled - 0.01) / 9.99)


def test_structural_distance_against_box_filters_of_scipy():
    torch.manual_seed(0)
    first, second = torch.rand(2, 1, 3, 9, 12, dtype=torch.float64)

    def mean(x: np.ndarray) -> np.ndarray:
        return uniform_filter(x, size=(0, 0, 3, 3), mode="mirror")

    x, y = first.numpy(), second.numpy()
    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    ssim = (2 * mx * my + 1e-4) * (2 * cov + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))
    found = ssim_distance(first, second).numpy()
    np.testing.assert_allclose(found, np.clip((1 - ssim) / 2, 0, 1), atol=1e-12)
    gaussian = kornia.losses.ssim_loss(first, second, 3, reduction="none").numpy()
    assert np.abs(found - gaussian).max() > 1e-2  # which is why kornia's is not used


def test_photometric_error_of_equal_and_of_grey_images():
    image = textured()
    assert photometric_error(image, image).max() < 1e-6
    dark, bright = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
    assert photometric_error(dark, bright, ssim_weight=0).unique().tolist() == [1.0]
    expected = 0.85 * (1 - 1e-4 / (1 + 1e-4)) / 2 + 0.15
    torch.testing.assert_close(photometric_error(dark, bright)[0, 0, 4, 4], torch.tensor(expected))


def test_smoothness_is_cheap_at_edges_of_the_image():
    step = torch.zeros(1, 1, 4, 8)
    step[..., 4:] = 1
    plain = edge_aware_smoothness(step, torch.zeros(1, 3, 4, 8))
    edged = edge_aware_smoothness(step, step.expand(-1, 3, -1, -1))
    torch.testing.assert_close(plain, torch.tensor(1 / 7))
    torch.testing.assert_close(edged, plain * torch.e**-1)


@pytest.mark.parametrize("exact", [True, False])
def test_warping_against_the_whole_projection(exact):
    """Back-projection, pose and projection by 4x4 matrices, as monodepth2 writes it."""
    torch.manual_seed(0)
    image, depth = torch.rand(2, 3, 10, 17), 0.2 + torch.rand(2, 1, 10, 17)
    camera = torch.tensor([[9.9, 0, 8.5, 0], [0, 19.2, 5, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    pose = torch.eye(4).repeat(2, 1, 1)
    pose[:, 0, 3] = torch.tensor([-0.1, 0.1])
    rows, columns = torch.meshgrid(torch.arange(10.0), torch.arange(17.0), indexing="ij")
    pixels = torch.stack([columns, rows, torch.ones_like(rows)]).flatten(1)
    points = depth.flatten(2) * (torch.linalg.inv(camera[:3, :3]) @ pixels)
    points = torch.cat([points, torch.ones(2, 1, 170)], 1)
    seen = (camera @ pose)[:, :3] @ points
    where = (seen[:, :2] / (seen[:, 2:] + 1e-5)).unflatten(2, (10, 17)).permute(0, 2, 3, 1)
    shift = 9.9 * pose[:, 0, 3]
    torch.testing.assert_close(torch.stack(moved_coordinates(depth, shift), -1), where, rtol=1e-4, atol=1e-4)
    grid = where / torch.tensor([16.0, 9.0]) * 2 - 1
    expected = F.grid_sample(image, grid, padding_mode="border", align_corners=exact)
    torch.testing.assert_close(
        warp_along_rows(image, depth, shift, exact=exact), expected, atol=1e-4, rtol=1e-4
    )


def test_exact_warping_is_that_of_disparity_maps():
    torch.manual_seed(0)
    image, disparity = textured(), 1 + 6 * torch.rand(1, 1, 32, 64)
    found = warp_along_rows(
        image, FOCAL * BASELINE / disparity, torch.tensor([-FOCAL * BASELINE]), exact=True
    )
    torch.testing.assert_close(found, warp_by_disparity(image, disparity, outside=None), rtol=1e-3, atol=1e-3)


def test_principal_points_apart_add_pixels():
    image, depth, shift = textured(), torch.full((1, 1, 32, 64), 0.5), torch.tensor([-4.0])
    moved = warp_along_rows(image, depth, shift, torch.tensor([3.0]), exact=True)
    same = warp_along_rows(image, depth, torch.tensor([-4.0 + 3 * 0.5]), exact=True)
    torch.testing.assert_close(moved, same, rtol=1e-3, atol=1e-3)


def test_the_true_disparity_costs_least():
    left, right = shifted_pair(6)
    criterion = SelfSupervisedStereoLoss(exact_sampling=True, auto_mask=False)
    costs = []
    for disparity in range(2, 12):
        terms = criterion(views(sigmoid_of(disparity), left, right))
        costs.append(sum(v for name, v in terms.items() if name.startswith("loss")).item())
    assert int(np.argmin(costs)) + 2 == 6


def test_gradients_lead_to_the_true_disparity():
    left, right = shifted_pair(6)
    criterion = SelfSupervisedStereoLoss(exact_sampling=True)
    for disparity, sign in ((5.5, -1), (6.5, 1)):
        sigmoid = sigmoid_of(disparity).requires_grad_()
        terms = criterion(views(sigmoid, left, right))
        terms["loss_photometric_0"].backward()
        assert torch.sign(sigmoid.grad.sum()) == sign


def test_the_total_is_the_mean_over_scales_and_images():
    left, right = shifted_pair(4)
    criterion = SelfSupervisedStereoLoss(auto_mask=False, smooth_weight=0.5)
    sigmoid = torch.rand(1, 1, 32, 64)
    both = views(sigmoid, left, right)
    terms = criterion(both)
    photometric = [criterion.photometric_term(view, 0, None)[0] for view in both]
    smooth = [criterion.smoothness_term(view, 0) for view in both]
    torch.testing.assert_close(terms["loss_photometric_0"], (photometric[0] + photometric[1]) / 2)
    torch.testing.assert_close(terms["loss_smooth_0"], 0.5 * (smooth[0] + smooth[1]) / 2)


def test_smaller_images_know_the_direction_of_a_far_disparity():
    """Halved pairs have half the disparity, and the true one is without error at every level."""
    left, right = (
        image.repeat_interleave(8, -1).repeat_interleave(8, -2) for image in shifted_pair(1)
    )  # blocks of 8 pixels that move by 8
    shift = torch.tensor([-8.0])
    for level in (0, 1, 2, 3):
        small = halved(View({}, {0: left}, right, shift), level)
        depth = torch.ones(1, 1, *small.other.shape[-2:])
        painted = warp_along_rows(small.other, depth, small.shift, exact=True)
        inside = slice(16 >> level, None)
        torch.testing.assert_close(painted[..., inside], small.images[0][..., inside], atol=1e-2, rtol=0)
    with pytest.raises(DataError, match="too small for image_levels with 8"):
        halved(View({}, {0: left}, right, shift), 8)
    with pytest.raises(ConfigError, match="image_levels=\\(0, 0\\)"):
        SelfSupervisedStereoLoss(image_levels=(0, 0))


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_hidden_is_what_a_box_before_a_wall_covers_and_what_lies_beyond_the_image(side):
    """A wall of disparity 3 and a box of disparity 9 from column 20 to 40, for either image."""
    disparity = torch.full((1, 1, 2, 64), 3.0)
    disparity[..., 20:41] = 9.0
    expected = torch.zeros(64, dtype=torch.bool)
    expected[:3] = True
    expected[20 - 9 + 3 + 1 : 20] = True  # their matches lie among those of the box
    if side > 0:
        disparity, expected = disparity.flip(-1), expected.flip(-1)
    found = hidden_pixels(1 / disparity, torch.tensor([side]))
    assert torch.equal(found, expected.expand(1, 1, 2, 64))


def test_hidden_pixels_do_not_count_where_that_is_asked_for():
    left, right = shifted_pair(4)
    sigmoid = sigmoid_of(4.0)
    seen = [SelfSupervisedStereoLoss(auto_mask=False, skip_hidden=skip) for skip in (False, True)]
    changed = left.clone()
    changed[..., :3] = 1 - changed[..., :3]  # the columns whose matches lie beyond the image
    losses = [
        [criterion(views(sigmoid, image, right)[:1])["loss_photometric_0"] for image in (left, changed)]
        for criterion in seen
    ]
    assert losses[0][1] - losses[0][0] > 3e-3
    assert (losses[1][1] - losses[1][0]).abs() < (losses[0][1] - losses[0][0]) / 2  # SSIM sees one more


def test_noise_comes_from_the_generator():
    left, right = shifted_pair(4)
    criterion = SelfSupervisedStereoLoss(noise=0.1)

    def loss(seed: int) -> float:
        generator = torch.Generator().manual_seed(seed)
        return criterion(views(sigmoid_of(2), left, right), generator)["loss_photometric_0"].item()

    assert loss(0) == loss(0)
    assert loss(0) != loss(1)


def test_pixels_that_need_no_movement_are_masked():
    image = textured()
    criterion = SelfSupervisedStereoLoss(noise=0.0)
    terms = criterion(views(sigmoid_of(5), image, image))
    assert terms["painted_0"] < 0.02
    assert terms["loss_photometric_0"] < 1e-6


def test_half_precision_maps_are_computed_with_in_full():
    left, right = shifted_pair(6)
    criterion = SelfSupervisedStereoLoss()
    sigmoid = torch.rand(1, 1, 32, 64).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        terms = criterion(views(sigmoid, left.bfloat16(), right.bfloat16()))
    assert {value.dtype for value in terms.values()} == {torch.float32}


def test_settings_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="min_depth=2 and max_depth=1: it takes 0 < min < max"):
        SelfSupervisedStereoLoss(2, 1)
    with pytest.raises(ConfigError, match=r"ssim_weight=2 lies in \[0, 1\]"):
        SelfSupervisedStereoLoss(ssim_weight=2)
    limits = scaled_inverse_depth(torch.tensor([0.0, 1.0], dtype=torch.float64), 0.5, 20)
    assert (1 / limits).tolist() == pytest.approx([20, 0.5])
