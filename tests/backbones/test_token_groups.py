"""Which plain transformers can leave out tokens, and that other families compute kept ones alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dense3d.backbones import T2TViT
from dense3d.backbones.token_groups import TokenGroups
from dense3d.errors import ConfigError
from dense3d.registry import MODELS

SIZE = dict(embed_dim=32, depth=2, num_heads=2, pretrain_size=64)
REFUSED = {
    "no blocks of one width": dict(type="ConvNeXt", arch=dict(dims=(8, 16, 24, 32), depths=(1, 1, 1, 1))),
    "rotary positions": dict(type="VisionTransformer", arch=dict(SIZE, name="dinov3_vits16")),
    "relative positions": dict(type="VisionTransformer", arch=dict(SIZE, name="beit_base_patch16")),
    "no class token": dict(type="VisionTransformer", arch=dict(SIZE, class_token=False)),
    "WindowAttention": dict(type="VisionTransformer", arch=SIZE, window_size=2),
    "GatedPositionalAttention": dict(type="ConViT", arch=dict(SIZE, local_layers=1)),
    "local positions": dict(type="ResFormer", arch=dict(embed_dim=32, depth=2, num_heads=2)),
    "Retention": dict(type="ViR", arch=SIZE),
    r"blocks of its own \(TNTBlock\)": dict(type="TNT", arch=dict(SIZE, inner_dim=4, inner_heads=2)),
    "interpreters of its own": dict(type="IARed2", arch=SIZE, group_sizes=(1, 1), interpreter_heads=2),
}


def decided(groups: TokenGroups) -> TokenGroups:
    """Interpreters that are sure of what they want."""
    for interpreter in groups:
        nn.init.normal_(interpreter.qk.weight, std=0.5)
        nn.init.normal_(interpreter.qk.bias, std=0.5)
    return groups


@pytest.fixture
def vit() -> T2TViT:
    torch.manual_seed(0)
    return T2TViT(dict(SIZE, depth=4, token_dim=8)).eval()


@pytest.mark.parametrize("fault", REFUSED)
def test_what_needs_all_tokens_is_refused_by_name(fault):
    config = REFUSED[fault]
    with pytest.raises(ConfigError, match=rf"this {config['type']} has .*{fault}"):
        TokenGroups(MODELS.build(config), (1, 1), 2)


def test_kept_tokens_of_another_family_are_those_of_the_whole_computation(vit):
    tokens, _ = vit.embed(torch.randn(3, 3, 64, 80))
    few = decided(TokenGroups(vit, (1, 2, 1), 2))
    masking = TokenGroups(vit, (1, 2, 1), 2, gather=False)
    masking.load_state_dict(few.state_dict())
    with torch.no_grad():
        found, whole = few(vit, tokens), masking(vit, tokens)
    assert 0.05 < found.kept[-1].float().mean() < 0.95
    assert all(torch.equal(a, b) for a, b in zip(found.kept, whole.kept))
    kept = found.kept[-1]
    torch.testing.assert_close(found.tokens[0][kept], whole.tokens[0][kept], rtol=1e-4, atol=1e-5)


def test_a_pass_may_be_interrupted_and_groups_may_keep_what_they_get(vit):
    tokens, _ = vit.embed(torch.randn(2, 3, 64, 80))
    groups = decided(TokenGroups(vit, (1, 2, 1), 2))
    with torch.no_grad():
        whole = groups(vit, tokens, judges=2)
        assert len(whole.kept) == 2
        first = groups(vit, tokens, 0, groups.first_block(1))
        kept = groups.judge(1, first.tokens[0], first.kept[0])[1]
        rest = groups(vit, first.tokens[0], groups.first_block(1), kept=kept, judges=1)
        assert torch.equal(kept, whole.kept[1]) and not rest.kept
        torch.testing.assert_close(rest.tokens[0], whole.tokens[0])
        plain = vit.run_blocks(tokens, (4, 5))
        torch.testing.assert_close(groups(vit, tokens, judges=0).tokens[0], plain)
