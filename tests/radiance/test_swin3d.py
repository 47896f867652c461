"""The 3D Swin encoder beyond its golden kit: paths, sizes, positions, weights, what is refused."""

from __future__ import annotations

import math

import pytest
import torch

from dense3d.checkpoints.nerf_mae import encoder_weights
from dense3d.errors import CheckpointError, ConfigError, DataError
from dense3d.radiance.positions import position_table
from dense3d.radiance.swin3d import ARCHITECTURES, Swin3D
from dense3d.radiance.window_attention3d import from_windows, relative_index, shift_mask, to_windows

SMALL = dict(embed_dim=12, depths=(1, 2), num_heads=(2, 3))


def network_of(**kwargs) -> Swin3D:
    torch.manual_seed(0)
    network = Swin3D(SMALL, **kwargs).eval()
    for parameter in network.parameters():  # tables and projections that are felt
        torch.nn.init.normal_(parameter, std=0.3)
    return network


def test_both_paths_of_attention_agree_in_maps_and_gradients() -> None:
    maps, gradients = [], []
    for path in ("fused", "reference"):
        network = network_of(attention=path)
        maps.append(network(torch.rand(2, 4, 37, 20, 24, generator=torch.Generator().manual_seed(1))))
        maps[-1][1].square().sum().backward()
        gradients.append(network.stages[1].blocks[1].attn.relative_position_bias_table.grad)
    for fused, reference in zip(*maps):
        assert torch.allclose(fused, reference, rtol=1e-3, atol=1e-4)
    assert torch.allclose(*gradients, rtol=1e-2, atol=1e-3)


def test_a_batch_is_its_grids() -> None:
    network, grids = network_of(position_table=True), torch.rand(2, 4, 21, 16, 18)
    together = network(grids)
    for index in range(2):
        for batched, single in zip(together, network(grids[index : index + 1])):
            assert torch.allclose(batched[index : index + 1], single, rtol=1e-3, atol=1e-4)


def test_half_precision_gives_finite_maps_near_the_full_ones() -> None:
    network, grids = network_of().requires_grad_(False), torch.rand(1, 4, 20, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        half = network(grids)
    full = network(grids)
    for a, b in zip(half, full):
        assert torch.isfinite(a).all()
        assert float((a.float() - b).norm() / b.norm()) < 0.1


def test_activation_checkpointing_changes_nothing() -> None:
    losses = []
    for with_cp in (False, True):
        network = network_of(with_cp=with_cp)
        loss = network(torch.ones(1, 4, 16, 16, 16))[1].square().mean()
        loss.backward()
        losses.append((float(loss), network.patch_embed.proj.weight.grad))
    assert losses[0][0] == pytest.approx(losses[1][0])
    assert torch.allclose(losses[0][1], losses[1][1])


def test_positions_follow_the_axes_in_the_official_order() -> None:
    table = position_table((4, 5, 6), 12)
    frequency = 10000.0**-0.5
    place = (2, 3, 5)
    for part, axis in enumerate((1, 0, 2)):
        index = place[axis]
        expected = [f(index * w) for f in (math.sin, math.cos) for w in (1, frequency)]
        assert table[place][4 * part : 4 * part + 4].tolist() == pytest.approx(expected, abs=1e-6)


def test_windows_come_back_where_they_were() -> None:
    x = torch.arange(8 * 4 * 12 * 2.0).view(1, 8, 4, 12, 2)
    windows = to_windows(x, (4, 2, 3))
    assert windows.shape == (1, 16, 24, 2)
    assert windows[0, 0, :4, 0].tolist() == [x[0, 0, 0, i, 0] for i in range(3)] + [x[0, 0, 1, 0, 0]]
    assert torch.equal(from_windows(windows, (8, 4, 12), (4, 2, 3)), x)


def test_relative_index_counts_offsets() -> None:
    index = relative_index((2, 3, 4))
    token = {(x, y, z): (x * 3 + y) * 4 + z for x in range(2) for y in range(3) for z in range(4)}
    query, key = (1, 0, 3), (0, 2, 1)
    dx, dy, dz = (a - b for a, b in zip(query, key))
    assert index[token[query], token[key]] == ((dx + 1) * 5 + dy + 2) * 7 + dz + 3
    assert index.max() == 3 * 5 * 7 - 1 and index.min() == 0


def test_the_shift_mask_parts_what_wrapped_around() -> None:
    mask = shift_mask((8, 4, 4), (4, 4, 4), (2, 0, 0), "cpu")
    assert not mask[0].any()  # the first window is inside
    apart = mask[1].view(4, 16, 4, 16)[:, 0, :, 0] < 0  # by the first axis alone
    assert apart.tolist() == [[(a < 2) != (b < 2) for b in range(4)] for a in range(4)]


def test_sizes_of_the_papers_have_their_numbers_of_values() -> None:
    with torch.device("meta"):
        network = Swin3D("swin_s")
    values = sum(parameter.numel() for parameter in network.stages.parameters())
    assert values / 1e6 == pytest.approx(
        50.4, abs=0.05
    )  # the published count, which has fixed indices beside
    assert network.out_channels == (96, 192, 384, 768) and network.out_strides == (4, 8, 16, 32)
    assert set(ARCHITECTURES) == {"swin_t", "swin_s", "swin_b", "swin_l"}


def test_initial_weights_are_the_official_ones() -> None:
    torch.manual_seed(0)
    network = Swin3D(dict(embed_dim=96, depths=(1, 1), num_heads=(3, 6)))
    for name, parameter in network.named_parameters():
        if "mlp" in name or "attn.qkv" in name or "attn.proj" in name:
            if name.endswith("bias"):
                assert not parameter.any(), name
            else:
                assert float(parameter.std()) == pytest.approx(0.02, rel=0.05), name
        elif name.endswith("bias_table"):
            assert float(parameter.std()) == pytest.approx(0.02, rel=0.1), name


def test_channels_may_stay_the_same() -> None:
    network = Swin3D(
        SMALL | {"num_heads": (2, 2)}, expand_dim=False, window_size=(2, 4, 3), patch_size=(4, 2, 2)
    )
    assert [tuple(m.shape) for m in network(torch.zeros(1, 4, 12, 8, 10))] == [
        (1, 12, 3, 4, 5),
        (1, 12, 2, 2, 3),
    ]


def test_frozen_stages_keep_still() -> None:
    network = network_of(frozen_stages=1).train()
    assert not network.stages[0].training and network.stages[1].training
    trainable = {name.split(".")[1] for name, p in network.named_parameters() if p.requires_grad}
    assert trainable == {"1"}


def test_weights_of_our_own_files_and_of_a_wider_model() -> None:
    network = network_of()
    state = {f"backbone.{name}": value for name, value in network.state_dict().items()} | {
        "head.x": torch.ones(1)
    }
    found = encoder_weights({"state_dict": state, "meta": {}})
    assert {n: v.shape for n, v in found.items()} == {n: v.shape for n, v in network.state_dict().items()}


def test_pretrained_weights_arrive(tmp_path) -> None:
    source = network_of()
    torch.save(
        {"state_dict": {f"encoder.{n}": v for n, v in source.state_dict().items()}}, tmp_path / "a.pth"
    )
    target = Swin3D(SMALL, init_cfg=dict(type="Pretrained", checkpoint=str(tmp_path / "a.pth")))
    target.init_weights()
    for name, value in target.state_dict().items():
        assert torch.equal(value, source.state_dict()[name]), name


def test_another_position_table_is_refused() -> None:
    official = {
        "patch_partition.0.weight": torch.zeros(12, 4, 4, 4, 4),
        "pos_embed": torch.zeros(1, 2, 2, 2, 12),
    }
    with pytest.raises(CheckpointError, match="not NeRF-MAE's fixed one"):
        encoder_weights(official)
    with pytest.raises(CheckpointError, match="holds no 3D Swin encoder"):
        encoder_weights({"fc.weight": torch.ones(1)})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(arch="swin_m"), "unknown size 'swin_m'; did you mean"),
        (dict(arch="swin_b", position_table=True), "multiple of 6"),
        (dict(arch=SMALL | {"num_heads": (5, 3)}), "cannot be split into 5 heads"),
        (dict(arch=SMALL | {"depths": (1,)}), "one number of 1 or more for each stage"),
        (dict(arch=dict(embed_dim=12)), "arch has embed_dim"),
        (dict(arch=SMALL, window_size=(4, 4)), "window_size"),
        (dict(arch=SMALL, patch_size=0), "patch_size"),
        (dict(arch=SMALL, attention="flash"), "'fused', 'reference'"),
        (dict(arch=SMALL, frozen_stages=3), "frozen_stages=3"),
    ],
)
def test_wrong_settings_are_refused(arguments, message) -> None:
    with torch.device("meta"), pytest.raises(ConfigError, match=message):
        Swin3D(**arguments)


@pytest.mark.parametrize(
    ("shape", "message"),
    [((1, 3, 8, 8, 8), "takes grids"), ((4, 8, 8, 8), "takes grids"), ((1, 4, 8, 3, 8), "smaller")],
)
def test_other_inputs_are_refused(shape, message) -> None:
    with pytest.raises(DataError, match=message):
        network_of()(torch.zeros(shape))
