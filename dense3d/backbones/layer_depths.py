"""Depths of parameters by which recipes lower the learning rate, where several families count alike."""

from __future__ import annotations

from dense3d.backbones.staged import StagedBackbone


def grouped_depths(backbone: StagedBackbone, num_layers: int, group: int) -> dict[str, int]:
    """Depth of every parameter of four stages, as the official detectors with ConvNeXt and HorNet count it.

    With n = ``num_layers``: 0 the stem; 1, 2 the first two stages; 3 + block // ``group`` in the third; n the
    fourth; the down-samplings into them 2, 3 and n; output norms count with the head: n + 1.
    """
    depths = {id(p): 0 for module in backbone.stem_modules() for p in module.parameters()}
    for stage in range(4):
        for number, block in enumerate(backbone.blocks(stage)):
            depth = (1, 2, 3 + number // group, num_layers)[stage]
            depths |= {id(p): depth for p in block.parameters()}
        if stage > 0:
            depth = (2, 3, num_layers)[stage - 1]
            depths |= {id(p): depth for p in backbone.downsampling(stage).parameters()}
    return {name: depths.get(id(p), num_layers + 1) for name, p in backbone.named_parameters()}
