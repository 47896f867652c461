"""Official files of classifiers, as they are, in an :class:`ImageClassifier`: the kits' logits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dense3d.classification import ImageClassifier
from dense3d.classification.weights import official_classifier
from tests.golden.kit import GoldenKit
from tests.golden.weights import tensors_of

KITS = Path(__file__).parents[1] / "golden" / "kits"
SMALL = dict(dims=(64, 128, 320, 512), depths=(1, 1, 1, 1))
CROSS = dict(embed_dim=64, depths=(2, 2, 2, 1), num_heads=(2, 4, 8, 16))
BACKBONES = {
    "uniformer": dict(type="UniFormer", arch=dict(SMALL, depths=(1, 1, 4, 1))),
    "crossformer": dict(type="CrossFormer", arch=CROSS),
    "poolformer": dict(type="PoolFormer", arch=dict(SMALL, depths=(1, 1, 2, 1))),
    "poolformerv2": dict(type="MetaFormer", arch=dict(SMALL, mixers=("pool",) * 4, norm="group")),
    "caformer": dict(
        type="MetaFormer",
        arch=dict(SMALL, mixers=("conv", "conv", "attention", "attention"), mlp_head=True),
    ),
    "coswin": dict(
        type="CoSwin", arch=dict(embed_dim=96, depths=(2, 2, 2), num_heads=(3, 6, 12)), patch_size=2
    ),
    "ia-red2": dict(
        type="IARed2",
        arch=dict(embed_dim=96, depth=3, num_heads=3, pretrain_size=96),
        group_sizes=(1, 1, 1),
    ),
    "activator": dict(type="Activator", arch=dict(dims=(24,), hidden_dims=(40,), depths=(3,))),
}


@pytest.mark.parametrize("name", BACKBONES)
def test_logits_of_an_official_file(name):
    kit = GoldenKit(KITS / name)
    state = tensors_of(kit)  # some hold the output norms of a dense network too, which a classifier has not
    stored = torch.from_numpy(kit.outputs("logits")["logits"])
    model = ImageClassifier(BACKBONES[name], num_classes=stored.shape[1])
    wrapper = "model_state_dict" if name == "coswin" else "state_dict"
    checkpoint = official_classifier(model, {wrapper: state}, name)
    model.load_state_dict(checkpoint["state_dict"])
    image = torch.from_numpy(kit.inputs("logits")["image"])
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(image), stored, rtol=1e-3, atol=1e-4)
