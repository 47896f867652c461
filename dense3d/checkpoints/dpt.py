"""Names of the DPT head in official checkpoints, which are those of MiDaS -> ``dense3d.layers.DPTHead``."""

from __future__ import annotations

DPT_FUSION_RULES = tuple(
    (rf"scratch\.refinenet{n}\.{theirs}\.(.+)", rf"fusions.{n - 1}.{ours}.\1")
    for n in (1, 2, 3, 4)
    for theirs, ours in (("out_conv", "conv"), ("resConfUnit1", "skip_unit"), ("resConfUnit2", "unit"))
    if (n, ours) != (4, "skip_unit")
)
# the coarsest block has nothing to add to, and never runs the unit for it
DPT_UNUSED = (r"scratch\.refinenet4\.resConfUnit1\..+",)
