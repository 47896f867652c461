"""IA-RED^2: what is kept, that computing kept tokens alone changes nothing for them, maps, bad arguments."""

from __future__ import annotations

import pytest
import torch

from dense3d.backbones import IARed2, VisionTransformer
from dense3d.checkpoints import ia_red2 as converters
from dense3d.errors import ConfigError
from dense3d.layers.token_reduction import Interpreter, on_kept_tokens

ARCH = dict(name="deit_tiny_patch16", embed_dim=48, depth=4, num_heads=2, pretrain_size=56)
SIZES = (1, 2, 1)


def build(**kwargs) -> IARed2:
    """With interpreters that are sure of what they want."""
    torch.manual_seed(0)
    backbone = IARed2(ARCH, group_sizes=SIZES, **kwargs)
    for interpreter in backbone.interpreters:
        torch.nn.init.normal_(interpreter.qk.weight, std=0.5)
        torch.nn.init.normal_(interpreter.qk.bias, std=0.5)
    return backbone.eval()


def images(count: int = 3) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(count, 3, 80, 100)


def test_kept_tokens_are_those_of_the_whole_computation():
    tokens, _ = build().embed(images())
    with torch.no_grad():
        few, all_of_them = (build(gather=gather).interpret(tokens) for gather in (True, False))
    shares = [mask.float().mean().item() for mask in few.kept]
    assert shares == sorted(shares, reverse=True)
    assert 0.1 < shares[-1] < shares[0] < 0.95
    for a, b in zip(few.kept, all_of_them.kept):
        assert torch.equal(a, b)
    kept = few.kept[-1]
    torch.testing.assert_close(few.tokens[-1][kept], all_of_them.tokens[-1][kept], rtol=1e-4, atol=1e-5)
    assert kept[:, 0].all()


def test_a_dropped_token_does_not_come_back_and_keeps_its_last_value():
    tokens, _ = build().embed(images())
    with torch.no_grad():
        found = build().interpret(tokens, points=(1, 3, 4))
    for before, after in zip(found.kept, found.kept[1:]):
        assert not (after & ~before).any()
        assert (after != before).any()
    dropped = ~found.kept[1]
    assert torch.equal(found.tokens[1][dropped], found.tokens[0][dropped])
    assert not torch.equal(found.tokens[1][found.kept[1]], found.tokens[0][found.kept[1]])


def test_a_batch_is_its_images_one_by_one():
    for gather in (True, False):
        backbone, batch = build(gather=gather, out_indices=(0, 1, 3)), images()
        with torch.no_grad():
            together, alone = backbone(batch), [backbone(image[None]) for image in batch]
        for level, maps in enumerate(together):
            assert maps.shape == (3, 48, 5, 7)
            torch.testing.assert_close(maps, torch.cat([m[level] for m in alone]), rtol=1e-3, atol=1e-4)


def test_interpreters_that_keep_everything_give_the_plain_network():
    backbone = build(out_indices=(1, 3))
    for interpreter in backbone.interpreters:
        interpreter.qk.weight.data[:96] = 0
        interpreter.qk.bias.data[:96] = 1
    plain = VisionTransformer(ARCH, out_indices=(1, 3)).eval()
    plain.load_state_dict({n: v for n, v in backbone.state_dict().items() if not n.startswith("interp")})
    with torch.no_grad():
        for a, b in zip(backbone(images()), plain(images())):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        tokens, grid = backbone.embed(images())
        torch.testing.assert_close(
            backbone.run_blocks(tokens, grid, 1, 3),
            plain.run_blocks(tokens, grid, 1, 3),
            rtol=1e-4,
            atol=1e-5,
        )
    assert backbone.cost(backbone.interpret(tokens).kept).tolist() == [1.0] * 3


def test_the_cost_counts_groups_by_their_kept_tokens():
    kept = [torch.tensor([[True, True, True, False]]), torch.tensor([[True, True, False, False]])]
    kept.append(torch.tensor([[True, False, False, False]]))
    expected = 1 - (0.25 * 1 + 0.5 * 2 + 0.75 * 1) / 4
    assert build().cost(kept).tolist() == [expected]


def test_gradients_reach_all_but_the_interpreters():
    for with_cp in (False, True):
        backbone = build(with_cp=with_cp, out_indices=(3,)).train()
        sum(m.square().sum() for m in backbone(images())).backward()
        without = {n for n, p in backbone.named_parameters() if p.grad is None}
        assert {name.partition(".")[0] for name in without} == {"interpreters"}


def test_mixed_precision_is_finite():
    backbone = build()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert backbone(images())[0].isfinite().all()


def test_scores_are_means_of_sigmoids():
    torch.manual_seed(0)
    interpreter, tokens = Interpreter(12, 3), torch.randn(2, 5, 12)
    normed = torch.nn.functional.layer_norm(tokens, (12,))
    query, key, _ = interpreter.qk(normed).unflatten(2, (3, 3, 4)).unbind(2)  # (2, 5, 3, 4)
    expected = (torch.einsum("bhd,bnhd->bnh", query[:, 0], key) / 2).sigmoid().mean(2)
    torch.testing.assert_close(interpreter(tokens), expected)
    kept = torch.tensor([[True, False, True, True, True]] * 2)
    assert (interpreter(tokens, kept)[:, 1] == 0).all()


def test_sequences_of_different_lengths_are_filled_up():
    tokens = torch.arange(8.0).view(2, 4, 1)
    kept = torch.tensor([[True, False, False, True], [True, True, True, False]])
    seen = []

    def function(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        seen.append((x[..., 0].tolist(), mask.tolist()))
        return -x

    result = on_kept_tokens(function, tokens, kept)[..., 0].tolist()
    assert result == [[-0.0, 1.0, 2.0, -3.0], [-4.0, -5.0, -6.0, 7.0]]
    assert seen == [([[0.0, 3.0, 1.0], [4.0, 5.0, 6.0]], [[True, True, False], [True, True, True]])]


def test_official_files_have_every_block_twice():
    official = {
        "cls_token": torch.ones(1, 1, 48),
        "pos_embed": torch.ones(1, 5, 48),
        "patch_embed.proj.weight": torch.ones(1),
        "head.weight": torch.ones(7, 48),
        "norm.weight": torch.ones(48),
    }
    parts = ("norm1.weight", "attn.qkv.weight", "mlp.fc1.weight")
    for place, number in (("0.block_list.0", 0), ("0.block_list.1", 1), ("1.block_list.0", 2)):
        for part in parts:
            official[f"groups.{place}.{part}"] = torch.full((1,), float(number))
            official[f"blocks.{number}.{part}"] = torch.full((1,), float(number))
    official["groups.1.agent.qk.weight"] = torch.ones(1)
    state = converters.convert(official)
    assert [int(state[f"blocks.{i}.norm1.weight"]) for i in range(3)] == [0, 1, 2]
    assert "interpreters.1.qk.weight" in state
    assert state["pos_embed"].shape == (1, 4, 48)
    assert set(converters.convert_head(official)) == {"norm.weight", "head.weight"}


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(arch=ARCH), r"group_sizes=\(4, 4, 4\) of a ViT with 4 blocks"),
        (dict(arch=ARCH, group_sizes=(4, 0)), r"group_sizes=\(4, 0\)"),
        (dict(arch=ARCH, group_sizes=(4,), interpreter_heads=5), "48 channels cannot be shared by 5 heads"),
        (
            dict(arch=dict(ARCH, name="dinov3_vits16"), group_sizes=(4,)),
            "a class token.*this IARed2 has rotary positions",
        ),
        (
            dict(arch=dict(ARCH, name="beit_base_patch16"), group_sizes=(4,)),
            "relative positions: choose a DeiT",
        ),
    ],
)
def test_bad_arguments_are_explained(kwargs, message):
    with pytest.raises(ConfigError, match=message):
        IARed2(**kwargs)
