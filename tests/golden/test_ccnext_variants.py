"""Kits of CCNeXt with options that the kept ones do not show, by an independent reading of the facts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dense3d.errors import DataError
from tests.golden import open_kit, verify_kit
from tests.golden.kit import GoldenKit
from tests.golden.make import write_kit

HEIGHT, WIDTH = 16, 32
SCALES = {"all": [0, 1, 2, 3], "some": [0, 2]}


def pe(a: torch.Tensor, b: torch.Tensor, ssim: bool) -> torch.Tensor:
    """The photometric map, ``(H, W)``."""
    difference = (a - b).abs().mean(1)[0]
    if not ssim:
        return difference

    def mean(x: torch.Tensor) -> torch.Tensor:
        windows = F.pad(x, (1, 1, 1, 1), "reflect").unfold(2, 3, 1).unfold(3, 3, 1)
        return windows.mean((4, 5))

    ma, mb = mean(a), mean(b)
    top = (2 * ma * mb + 1e-4) * (2 * (mean(a * b) - ma * mb) + 9e-4)
    bottom = (ma**2 + mb**2 + 1e-4) * (mean(a * a) - ma**2 + mean(b * b) - mb**2 + 9e-4)
    return 0.85 * ((1 - top / bottom) / 2).clamp(0, 1).mean(1)[0] + 0.15 * difference


def smoothness(disparity: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    total = 0
    for axis in (2, 3):
        steps = disparity.diff(dim=axis).abs() * torch.exp(-image.diff(dim=axis).abs().mean(1, keepdim=True))
        total = total + steps.mean()
    return total


def loss_kit(folder, scales, sign=-1.0, limits=(0.1, 100.0), ssim=True, mask=True, **config) -> GoldenKit:
    """Inputs and outputs of the check ``loss``, the warp by whole matrices."""
    torch.manual_seed(0)
    pyramid = range(max(scales) + 1)
    images = {
        f"{side}_{s}": torch.rand(1, 3, HEIGHT >> s, WIDTH >> s)
        for side in ("left", "right")
        for s in pyramid
    }
    maps = {
        f"{n}_{s}": torch.rand(1, 1, HEIGHT >> s, WIDTH >> s) for n in ("disp", "disp_s") for s in pyramid
    }
    camera, pose = torch.eye(4)[None].clone(), torch.eye(4)[None].clone()
    camera[0, 0, 0], camera[0, 1, 1], camera[0, 0, 2], camera[0, 1, 2] = 0.58 * WIDTH, 1.92 * HEIGHT, 16, 8
    pose[0, 0, 3] = sign * 0.1
    rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    pixels = torch.stack([columns, rows, torch.ones_like(rows)]).flatten(1).float()
    found, total = {}, 0.0
    for s in scales:
        found[f"loss_{s}"] = torch.zeros(())
        for side, other, name, way in (("left", "right", "disp", 1), ("right", "left", "disp_s", -1)):
            target, source = images[f"{side}_0"], images[f"{other}_0"]
            full = F.interpolate(maps[f"{name}_{s}"], (HEIGHT, WIDTH), mode="bilinear", align_corners=False)
            depth = 1 / (1 / limits[1] + (1 / limits[0] - 1 / limits[1]) * full)
            points = depth.flatten(2)[0] * (torch.linalg.inv(camera[0, :3, :3]) @ pixels)
            moved = points + torch.tensor([[way * pose[0, 0, 3]], [0], [0]])
            seen = camera[0, :3, :3] @ moved
            where = (seen[:2] / (seen[2] + 1e-5)).reshape(2, HEIGHT, WIDTH)
            grid = torch.stack([where[0] / (WIDTH - 1), where[1] / (HEIGHT - 1)], -1)[None] * 2 - 1
            warped = F.grid_sample(source, grid, padding_mode="border", align_corners=False)
            error = pe(warped, target, ssim)
            if mask:
                error = torch.minimum(error, pe(source, target, ssim))
            smooth = smoothness(
                maps[f"{name}_{s}"] / (maps[f"{name}_{s}"].mean() + 1e-7), images[f"{side}_{s}"]
            )
            found[f"photometric_{side}_{s}"], found[f"smooth_{side}_{s}"] = error.mean(), smooth
            found[f"loss_{s}"] = found[f"loss_{s}"] + error.mean() + 2e-3 * smooth
        total = total + found[f"loss_{s}"]
    found["loss"] = total / (2 * len(scales))
    inputs = {n: x.numpy() for n, x in (images | maps | {"K": camera, "stereo_T": pose}).items()}
    check = dict(name="loss", note="", rtol=1e-3, atol=2e-5, inputs=inputs)
    check["outputs"] = {n: x.numpy() for n, x in found.items()}
    settings = dict(min_depth=limits[0], max_depth=limits[1], smooth_weight=2e-3, scales=scales, baseline=0.1)
    write_kit(folder, {"system": "ccnext", "source": {}, "config": settings | config}, {}, [check])
    return GoldenKit(folder)


@pytest.mark.parametrize(
    ("settings", "config"),
    [
        (dict(scales=SCALES["all"], sign=1.0), {}),
        (dict(scales=SCALES["some"], limits=(0.5, 20.0)), {}),
        (dict(scales=SCALES["some"], ssim=False), dict(no_ssim=True)),
        (dict(scales=SCALES["all"], mask=False), dict(disable_automasking=True)),
    ],
)
def test_losses_with_other_options(tmp_path, settings, config):
    loss_kit(tmp_path, **settings, **config)
    assert [str(row) for row in verify_kit(tmp_path) if not row.passed] == []


@pytest.mark.parametrize("name", ["avg_reprojection", "predictive_mask", "v1_multiscale", "frame_ids"])
def test_options_of_video_are_refused_by_name(tmp_path, name):
    kit = loss_kit(tmp_path, SCALES["some"], **{name: True})
    with pytest.raises(DataError, match=f"does not know the config argument '{name}'"):
        open_kit(kit)


def test_cameras_that_are_no_rectified_pair_fail(tmp_path):
    kit = loss_kit(tmp_path, SCALES["some"])
    check = kit.checks[0]
    inputs = kit.inputs("loss")
    inputs["stereo_T"] = np.array(inputs["stereo_T"])
    inputs["stereo_T"][0, 1, 3] = 0.1
    with pytest.raises(DataError, match="the cameras are not a rectified pair"):
        open_kit(kit)(check, inputs)


def test_parameters_and_config_have_to_agree(golden_dir):
    for name, value, reason in (
        ("scales", [0, 1], "its parameters have heads of"),
        ("num_ch_enc", [64, 64, 128, 256, 512], "its parameters are those of num_ch_enc"),
        ("backbone", "resnet18", "the official encoder is a ConvNeXt"),
    ):
        kit = GoldenKit(golden_dir / "ccnext")
        kit.meta["config"][name] = value
        with pytest.raises(DataError, match=reason):
            open_kit(kit)
