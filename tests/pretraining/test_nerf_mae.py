"""NeRF-MAE beyond its golden kit: masks, losses, batches, settings, converters, training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dense3d.checkpoints import convert
from dense3d.checkpoints.nerf_mae import unwrapped
from dense3d.errors import CheckpointError, ConfigError, DataError
from dense3d.pretraining.nerf_mae import NeRFMAE
from dense3d.pretraining.nerf_mae.masking import block_mask, mask_of_tokens
from dense3d.pretraining.nerf_mae.objective import reconstruction_losses
from dense3d.radiance.data_preprocessor import GridDataPreprocessor
from dense3d.radiance.swin3d import Swin3D
from dense3d.structures import GridDataSample

SMALL = dict(arch=dict(embed_dim=12, depths=(1, 1), num_heads=(2, 2)), drop_path_rate=0.0)


def model_of(**kwargs) -> NeRFMAE:
    torch.manual_seed(0)
    return NeRFMAE(SMALL, data_preprocessor=GridDataPreprocessor(multiple=16), **kwargs)


def grids_of(*shapes, seed=0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(4, *shape, generator=generator) for shape in shapes]


def test_random_blocks_are_hidden_each_by_itself() -> None:
    random = np.random.RandomState(0)
    shares = [float(block_mask((10, 10, 10), 0.75, random=random).float().mean()) for _ in range(40)]
    assert np.mean(shares) == pytest.approx(0.75, abs=0.01)
    assert np.std(shares) == pytest.approx(np.sqrt(0.75 * 0.25 / 1000), rel=0.35)  # a binomial's


def test_block_masks_are_three_quarters_behind_a_place() -> None:
    for seed in range(5):
        mask = block_mask((8, 4, 4), 0.75, "block", np.random.RandomState(seed))
        rows = mask.flatten(1).float().mean(1)
        assert 0 < int(mask.sum()) <= 3 * (8 * 4 * 4 // 4)
        assert rows[0] == 0 and set(rows.tolist()) <= {0.0, 1.0}  # whole rows, never the first


def test_tokens_behind_the_last_whole_block_are_seen() -> None:
    mask = mask_of_tokens(torch.ones(2, 1, 1, dtype=torch.bool), (9, 5, 4), 4)
    assert mask[:8, :4, :4].all() and not mask[8].any() and not mask[:, 4].any()


def test_losses_by_hand() -> None:
    target, predicted = torch.zeros(1, 4, 2, 1, 1), torch.zeros(1, 4, 2, 1, 1)
    target[0, :, 0] = 1.0  # one voxel is red, green, blue and opaque, the other empty
    predicted[0, 0, 0] = 0.4  # its red
    valid, removed = torch.ones(1, 2, 1, 1, dtype=torch.bool), torch.tensor([False, True]).view(1, 2, 1, 1)
    losses = reconstruction_losses(predicted, target, valid, removed)
    assert float(losses["loss_rgb"]) == pytest.approx(0.6**2 + 1 + 1)  # summed over the colours
    assert float(losses["loss_alpha"]) == pytest.approx(0.5**2)  # sigmoid(0) against 0, where it is hidden
    assert reconstruction_losses(predicted, target, valid, removed, "removed")["loss_rgb"] == 0
    nothing = reconstruction_losses(predicted, target * 0, valid & False, removed)
    assert [float(value) for value in nothing.values()] == [0, 0]


def test_what_is_hidden_does_not_reach_the_network() -> None:
    model = model_of().eval()
    grid, mask = grids_of((32, 16, 16))[0][None], torch.tensor([True, False]).view(2, 1, 1)
    other = grid.clone()
    other[:, :, :16] = torch.rand(1, 4, 16, 16, 16)
    shapes = torch.tensor([[32, 16, 16]])
    first, second = (model.reconstruct(g, shapes, mask).predicted for g in (grid, other))
    assert torch.equal(first, second)


def test_a_batch_is_its_grids() -> None:
    model = model_of().eval()
    grids = grids_of((32, 30, 17), (20, 32, 32))
    mask = torch.rand(2, 2, 2) < 0.5
    together = model.data_preprocessor({"inputs": {"grids": grids}})["inputs"]
    found = model(together, mode="predict")
    for index, grid in enumerate(grids):
        alone = dict(grids=together["grids"][index : index + 1], shapes=together["shapes"][index : index + 1])
        (sample,) = model(alone, mode="predict")
        assert sample.pred_grid.shape == grid.shape and torch.equal(sample.grid, grid)
        assert torch.allclose(sample.pred_grid, found[index].pred_grid, rtol=1e-3, atol=1e-4)
        assert float(sample.psnr) == pytest.approx(-10 * np.log10(float(sample.mse)), rel=1e-4)
    losses = model(together, mode="loss", mask=mask)
    assert all(torch.isfinite(value) for value in losses.values())


def test_masks_of_training_differ_and_those_of_evaluation_do_not() -> None:
    model = model_of()
    np.random.seed(0)
    drawn = [model.hidden_tokens((16, 16, 16), 3) for _ in range(2)]
    assert drawn[0].shape[0] == 1 and not torch.equal(*drawn)
    shapes = torch.tensor([[60, 40, 33], [64, 64, 64]])
    first, second = model.hidden_tokens((16, 16, 16), 2, shapes=shapes)
    (alone,) = model.hidden_tokens((24, 16, 12), 1, shapes=shapes[:1])
    assert torch.equal(first[:, :, :12], alone[:16]) and not torch.equal(first, second)
    assert 0.5 < first[:15, :10, :9].float().mean() < 0.95  # the last block is hidden as far as it goes
    assert not first[15:].any() and not first[:, 10:].any() and not first[:, :, 9:].any()
    assert model_of(shared_mask=False).hidden_tokens((8, 8, 8), 3).shape[0] == 3


@pytest.mark.parametrize("arguments", [dict(decoder="plain"), dict(mask_type="grid"), dict(rgb_on="removed")])
def test_variants_learn(arguments) -> None:
    arch = dict(embed_dim=12, depths=(1, 1, 1, 1), num_heads=(2, 2, 2, 2))
    model = NeRFMAE(dict(arch=arch, drop_path_rate=0.0), **arguments)
    losses = model(torch.rand(1, 4, 32, 32, 32), mode="loss")
    sum(losses.values()).backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None]
    assert missing == [] and all(torch.isfinite(value) for value in losses.values())


def test_half_precision_trains() -> None:
    model = model_of()
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(torch.rand(1, 4, 32, 16, 16), mode="loss")
    sum(losses.values()).backward()
    assert all(value.dtype == torch.float32 for value in losses.values())
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_initial_mask_token_and_convolutions_are_the_official_ones() -> None:
    model = NeRFMAE(dict(arch=dict(embed_dim=96, depths=(1, 1), num_heads=(3, 6))))
    assert float(model.mask_token.detach().std()) == pytest.approx(0.02, rel=0.3)
    conv = model.finest.block.conv1  # torch's default: uniform within the root of 1 / fan_in
    bound = (conv.weight[0].numel()) ** -0.5
    assert float(conv.weight.detach().abs().max()) == pytest.approx(bound, rel=0.01)


def official_names(model: NeRFMAE) -> dict[str, torch.Tensor]:
    """The model's state under the official names."""
    import re

    named = {}
    for name, value in model.state_dict().items():
        name = name.removeprefix("encoder.")
        name = name.replace("patch_embed.proj", "patch_partition.0").replace(
            "patch_embed.norm", "patch_partition.2"
        )
        name = re.sub(r"stages\.0\.blocks\.", "stages.0.", name)
        name = re.sub(r"stages\.(\d+)\.blocks\.(\d+)", lambda m: f"stages.{m[1]}.{int(m[2]) + 1}", name)
        name = re.sub(r"stages\.(\d+)\.merge", r"stages.\1.0", name)
        name = re.sub(r"decoder\.up(\d)\.", r"decoder\1.", name).replace("finest.", "decoder1.")
        name = name.replace(".up.", ".transp_conv.").replace(".block.", ".conv_block.")
        named[name.replace("shortcut", "conv3").replace("predict.", "out.conv.")] = value
    return named


def test_released_files_convert_and_others_are_refused() -> None:
    arch = dict(embed_dim=12, depths=(1, 2, 1, 1), num_heads=(2, 2, 2, 2))
    model = NeRFMAE(dict(arch=arch))
    official = {f"module.{name}": value for name, value in official_names(model).items()}
    converted = convert("nerf-mae", {"epoch": 1200, "state_dict": official, "train_args": {}})
    assert {n: v.shape for n, v in converted.items()} == {n: v.shape for n, v in model.state_dict().items()}
    encoder = convert("nerf-mae-encoder", {"state_dict": official})
    Swin3D(arch).load_state_dict(encoder)
    with pytest.raises(CheckpointError, match=r"unexpected names: semantic_decoder\.0\.weight"):
        convert("nerf-mae", {"state_dict": official | {"semantic_decoder.0.weight": torch.ones(1)}})
    with pytest.raises(CheckpointError, match="no name like mask_token"):
        convert("nerf-mae", {n: v for n, v in unwrapped(official).items() if n != "mask_token"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(mask_ratio=1.0), "mask_ratio=1.0"),
        (dict(mask_type="tube"), "'random', 'grid', 'block'"),
        (dict(decoder="mlp"), "'unet', 'plain'"),
        (dict(decoder="plain"), "encoder of four stages"),
        (dict(rgb_on="all"), "'occupied', 'removed'"),
        (dict(loss_weights=(0, 0)), "not both 0"),
        (dict(mask_block=0), "mask_block=0"),
    ],
)
def test_wrong_settings_are_refused(arguments, message) -> None:
    with pytest.raises(ConfigError, match=message):
        model_of(**arguments)


def test_wrong_inputs_are_refused() -> None:
    model = model_of()
    with pytest.raises(DataError, match="cannot be cut into patches"):
        model(torch.rand(1, 4, 18, 16, 16), mode="loss")
    with pytest.raises(DataError, match="hold no block of 4 tokens"):
        model(torch.rand(1, 4, 16, 16, 8), mode="loss")
    with pytest.raises(DataError, match="a mask of these grids is of 1x1x1 blocks"):
        model(torch.rand(1, 4, 16, 16, 16), mode="loss", mask=torch.ones(2, 1, 1, dtype=torch.bool))
    preprocessor = GridDataPreprocessor(resolution=16)
    samples = [GridDataSample(metainfo=dict(sample_id="room_3"))]
    with pytest.raises(DataError, match=r"room_3 has 20x4x4 voxels, more than the 16"):
        preprocessor({"inputs": {"grids": [torch.rand(4, 20, 4, 4)]}, "data_samples": samples})
    with pytest.raises(DataError, match=r"reads grids \(4, W, L, H\)"):
        preprocessor({"inputs": {"grids": [torch.rand(3, 4, 4, 4)]}})
