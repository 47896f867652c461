"""A network of the space by itself, with leading slices of the shared weights."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from dense3d.classification import ImageClassifier
from projects.vit_resnas.space import Network
from projects.vit_resnas.supernet import SuperViTResNAS


def classifier_of(backbone: SuperViTResNAS, network: Network, num_classes: int) -> ImageClassifier:
    """The classifier of one network, without weights: on the device ``meta``, in evaluation mode.

    Args:
        backbone: of the space.
        network: in the space.
        num_classes: of the head.
    """
    settings = dict(
        type="ViTResNAS",
        arch=backbone.space.arch(network),
        pretrain_size=backbone.grid[0] * backbone.patch_size,
        pyramid=False,
        output_norm=False,
        in_channels=backbone.in_channels,
    )
    with torch.device("meta"):
        return ImageClassifier(settings, num_classes).eval()


def sliced_classifier(
    backbone: SuperViTResNAS, state: Mapping[str, Tensor], network: Network, num_classes: int
) -> ImageClassifier:
    """:func:`classifier_of` with the supernet's weights, which are not copied where they lie in one piece.

    Args:
        backbone, network, num_classes: see there.
        state: of the supernet's classifier.

    Raises:
        ConfigError: the network is not in the space.
    """
    model = classifier_of(backbone, backbone.space.check(network), num_classes)
    kept = backbone.space.kept(network)

    def source(name: str) -> str:
        return re.sub(r"stages\.(\d+)\.(\d+)", lambda m: f"stages.{m[1]}.{kept[int(m[1])][int(m[2])]}", name)

    slices = {
        name: leading(state[source(name)], value.shape, 3 if ".qkv." in name else 1)
        for name, value in model.state_dict().items()
    }
    model.load_state_dict(slices, assign=True)
    return model.requires_grad_(False)


def leading(tensor: Tensor, shape: torch.Size, parts: int = 1) -> Tensor:
    """The first entries along every axis; along the first axis, those of each of some equal parts.

    Example:
        >>> leading(torch.arange(12), torch.Size([6]), parts=3).tolist()
        [0, 1, 4, 5, 8, 9]
    """
    if parts == 1:
        return tensor[tuple(slice(size) for size in shape)]
    one = torch.Size([shape[0] // parts, *shape[1:]])
    return torch.cat([leading(part, one) for part in tensor.chunk(parts)])
