"""The network that a search has found, from its file."""

from __future__ import annotations

from typing import Any

from dense3d.backbones.vit_resnas import ViTResNAS
from dense3d.registry import MODELS
from projects.vit_resnas.network_def import parse, read_network_def


@MODELS.register_module()
class SearchedViTResNAS(ViTResNAS):
    """:class:`ViTResNAS` of a file that ``search.py`` has written.

    Args:
        network_def: the file.
        **kwargs: as for :class:`ViTResNAS`, but ``arch``.

    Raises:
        ConfigError: it cannot be read, or is none.
    """

    def __init__(self, network_def: str, **kwargs: Any) -> None:
        super().__init__(parse(read_network_def(network_def)).arch, **kwargs)
