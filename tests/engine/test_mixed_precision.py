"""Mixed precision on a CPU: bfloat16 where it pays, said aloud where it does not."""

import logging

import pytest
import torch
from torch import nn

from dense3d.engine import optim


@pytest.mark.parametrize(("pays", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_cpu_computes_in_bfloat16_where_it_pays(monkeypatch, pays, dtype):
    said = []
    monkeypatch.setattr(optim, "get_device", lambda: "cpu")
    monkeypatch.setattr(optim, "half_pays", lambda device: pays)
    monkeypatch.setattr(optim, "print_log", lambda message, logger, level: said.append((message, level)))
    model = nn.Linear(4, 4)
    wrapper = optim.AmpOptimWrapper(optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
    with wrapper.optim_context(model):
        outputs = model(torch.rand(2, 4))
    before = model.weight.detach().clone()
    wrapper.update_params(outputs.square().mean())
    assert outputs.dtype == dtype and not torch.equal(before, model.weight)
    assert [level for _, level in said] == ([] if pays else [logging.WARNING])
    assert pays or "float32 is faster and is used" in said[0][0]
