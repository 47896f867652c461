"""Converters account for every name of an official checkpoint."""

from __future__ import annotations

import pytest
import torch
import torchvision

from dense3d.checkpoints import CONVERTERS, convert
from dense3d.checkpoints.renaming import Renaming
from dense3d.errors import CheckpointError, ConfigError


def test_resnet_keeps_everything_but_the_classifier():
    official = torchvision.models.resnet18().state_dict()
    ours = convert("resnet", official)
    assert set(official) - set(ours) == {"fc.weight", "fc.bias"}
    assert all(torch.equal(ours[name], official[name]) for name in ours)


def test_unknown_system_names_the_nearest():
    with pytest.raises(ConfigError, match=r"'focalnett'; did you mean 'focalnet'\?.*known: .*focalnet"):
        convert("focalnett", {})


def test_unexpected_and_missing_names_are_listed():
    official = torchvision.models.resnet18().state_dict()
    official["layer5.weight"] = torch.ones(1)
    with pytest.raises(CheckpointError, match=r"1 unexpected names: layer5\.weight"):
        convert("resnet", official)
    with pytest.raises(CheckpointError, match=r"no name like .*layer"):
        convert("resnet", {"conv1.weight": torch.ones(1)})


def test_two_names_may_not_become_one():
    renaming = Renaming("toy", rules=(("a|b", "c"),))
    with pytest.raises(CheckpointError, match="two names of the toy checkpoint become 'c'"):
        renaming({"a": torch.ones(1), "b": torch.ones(1)})


def test_every_converter_can_be_imported():
    for system in CONVERTERS:
        with pytest.raises(CheckpointError):
            convert(system, {"no.such.name": torch.ones(1)})
