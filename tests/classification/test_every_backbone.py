"""Every registered backbone classifies: by its family's own tail, or by a linear layer on its last map.

Images with another number of channels are refused by a sentence on either way.
"""

from __future__ import annotations

import pytest
import torch

from dense3d.adapters.base import ViTAdapter
from dense3d.backbones.variants import tiny_backbones
from dense3d.classification import ImageClassifier
from dense3d.errors import DataError


@pytest.mark.parametrize("name", tiny_backbones())
def test_backbone_classifies_and_nothing_of_it_is_idle(name):
    torch.manual_seed(0)
    model = ImageClassifier(tiny_backbones()[name], 5).train()
    model(torch.randn(2, 3, 64, 64)).square().sum().backward()
    idle = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    if isinstance(model.backbone, ViTAdapter):  # whose last map is one of four
        assert not model.has_official_head and all(name.startswith("backbone.") for name in idle)
    else:
        assert model.has_official_head and idle == []
    with torch.no_grad():
        logits = model.eval()(torch.randn(1, 3, 64, 96))
    assert logits.shape == (1, 5) and logits.isfinite().all()
    with pytest.raises(DataError, match=r"1, 4, 64, 64.*in_ch"):
        model(torch.zeros(1, 4, 64, 64))
