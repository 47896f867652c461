"""What adapters of hierarchical backbones share: maps of images as they are, logits, single modules.

The config of their kits names under ``modules`` the official path of the module that a check runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from dense3d.backbones.staged import StagedBackbone
from dense3d.checkpoints import convert
from tests.golden import UnknownCheckError
from tests.golden.checks import Arrays, tensors_of_inputs, wanted
from tests.golden.kit import GoldenKit
from tests.golden.weights import load_strictly, tensors_of

Tensors = dict[str, Tensor]


class StagedNetwork:
    """A dense network and the classifier of the same weights, with the rules of their checks.

    Args:
        kit: the kit.
        model: network of the dense checks; its output norms are those of the kit.
        system: name of its converter.
        convert_head: from the official state dict to that of the classifier's tail.
        classifier: network of the logits, without output norms; ``model`` unless given.

    Example:
        >>> StagedNetwork.__init__.__name__
        '__init__'
    """

    def __init__(
        self,
        kit: GoldenKit,
        model: StagedBackbone,
        system: str,
        convert_head: Callable[[Mapping[str, Tensor]], Tensors],
        classifier: StagedBackbone | None = None,
    ) -> None:
        self.kit, official = kit, tensors_of(kit)
        self.modules: dict[str, str] = kit.options.take("modules", {})
        state = convert(system, official)
        self.model = load_strictly(model, state, kit)
        self.classifier = self.model
        if classifier is not None:
            body = {name: value for name, value in state.items() if not re.match(r"norm\d\.", name)}
            self.classifier = load_strictly(classifier, body, kit)
        self.head = None
        tail = convert_head(official)
        if tail:
            last = "head.weight" if "head.weight" in tail else "head.fc2.weight"
            self.head = load_strictly(self.classifier.class_head(len(tail[last])), tail, kit)

    @torch.no_grad()
    def run(self, check: dict, inputs: Arrays) -> Arrays:
        """Outputs of one check.

        Raises:
            UnknownCheckError: no rule for its name and inputs.
        """
        kind, tensors = check["name"].partition(".")[0], tensors_of_inputs(inputs)
        if kind == "features":
            found = self.features(tensors["image"])
        elif kind == "logits" and self.head is not None:
            found = {"logits": self.head(self.last_map(tensors["image"]))}
        else:
            found = self.part(kind, self.path_of(check), tensors)
            if len(found) == len(check["outputs"]) == 1:  # whatever the kit calls it
                found = dict(zip(check["outputs"], found.values()))
        return wanted(check, found)

    def path_of(self, check: dict) -> str:
        """Official path of the module that a check runs.

        Raises:
            UnknownCheckError: the kit names none.
        """
        if check["name"] not in self.modules:
            raise UnknownCheckError(f"there is no rule for the check {check['name']!r}")
        return self.modules[check["name"]]

    def features(self, image: Tensor) -> Tensors:
        """``f1`` ... of the dense network."""
        maps = unpadded_maps(self.model, image)
        return {f"f{i + 1}": self.model.output(i, x) for i, x in enumerate(maps)}

    def last_map(self, image: Tensor) -> Tensor:
        """What the classifier's tail takes, ``(B, C, h, w)``."""
        *_, last = unpadded_maps(self.classifier, image)
        return last

    def part(self, kind: str, path: str, tensors: Tensors) -> Tensors:
        """Outputs of one module, which the kit names by its official path."""
        raise UnknownCheckError(f"there is no rule for the check of {path}")

    def submodule(self, path: str) -> nn.Module:
        """Our module by its path."""
        return self.model.get_submodule(path)


def unpadded_maps(model: StagedBackbone, images: Tensor) -> Iterator[Tensor]:
    """What all stages give, before the output norms, of images as they are."""
    x = model.stem(images)
    for index in range(len(model.channels)):
        x = model.stage(index, x)
        yield x
