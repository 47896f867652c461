"""Feature pyramid over the levels of a 3D backbone.

Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017, in three dimensions as NeRF-RPN has it
(Hu et al., CVPR 2023, lyclyc52/NeRF_RPN).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.registry import MODELS

UPSAMPLING = {"nearest": {"mode": "nearest"}, "trilinear": {"mode": "trilinear", "align_corners": True}}
SOURCES = ("on_input", "on_lateral", "on_output")
INITIALISATIONS = ("default", "kaiming")


@MODELS.register_module()
class FPN3D(BaseModule):
    """Bring the levels of a backbone to one width and carry the coarse ones down to the fine ones.

    Args:
        in_channels: width of each level of the backbone, finest first.
        out_channels: of every level of the pyramid.
        num_outs: levels that come out; as many as go in unless given. Further ones are made of the last.
        start_level: first level of the backbone that is used.
        end_level: the one behind the last that is used; None or -1 for all.
        add_extra_convs: how further levels are made: False, by taking every other voxel; ``"on_input"``,
            ``"on_lateral"`` or ``"on_output"``, by convolutions of stride 2 on the backbone's last level, on
            the pyramid's before or after its last convolution. True is ``"on_input"``.
        relu_before_extra_convs: between these convolutions.
        upsample: ``"nearest"``, or ``"trilinear"`` with corners aligned, as NeRF-RPN's network of 64^3 grids.
        smooth_last: whether the coarsest level has its 3x3x3 convolution, too; NeRF-RPN's ResNet has none.
        initialisation: ``"default"``, torch's, or ``"kaiming"``, as NeRF-RPN's ResNet of 256^3 grids.
        init_cfg: see mmengine's ``BaseModule``.

    Shape:
        a list of ``(B, C_i, X_i, Y_i, Z_i)`` to a list of ``(B, out_channels, X_i, Y_i, Z_i)``.

    Raises:
        ConfigError: an option is unknown, or the numbers of levels do not go together.

    Example:
        >>> import torch
        >>> levels = [torch.zeros(1, 2, 5, 4, 3), torch.zeros(1, 3, 3, 2, 2)]
        >>> [tuple(level.shape) for level in FPN3D([2, 3], 8, num_outs=3)(levels)]
        [(1, 8, 5, 4, 3), (1, 8, 3, 2, 2), (1, 8, 2, 1, 1)]
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        num_outs: int | None = None,
        start_level: int = 0,
        end_level: int | None = None,
        add_extra_convs: bool | str = False,
        relu_before_extra_convs: bool = False,
        upsample: str = "nearest",
        smooth_last: bool = True,
        initialisation: str = "default",
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.extra_source = "on_input" if add_extra_convs is True else add_extra_convs or None
        known = {
            "upsample": (upsample, tuple(UPSAMPLING)),
            "add_extra_convs": (self.extra_source, (None, *SOURCES)),
            "initialisation": (initialisation, INITIALISATIONS),
        }
        for name, (value, values) in known.items():
            if value not in values:
                raise ConfigError(f"{name}={value!r} of FPN3D: use one of {', '.join(map(repr, values))}")
        end = len(in_channels) if end_level in (None, -1) else end_level
        used = list(in_channels)[start_level:end]
        num_outs = len(used) if num_outs is None else num_outs
        if not used or num_outs < len(used):
            raise ConfigError(
                f"FPN3D: num_outs={num_outs} with the levels {start_level}..{end} of {len(in_channels)}: use "
                "at least one level, and give out at least as many as are used"
            )
        self.levels, self.num_outs, self.upsample = slice(start_level, end), num_outs, upsample
        self.relu_before_extra_convs, self.initialisation = relu_before_extra_convs, initialisation
        self.out_channels = (out_channels,) * num_outs
        self.lateral_convs = nn.ModuleList(nn.Conv3d(width, out_channels, 1) for width in used)
        smooth = len(used) if smooth_last else len(used) - 1
        self.fpn_convs = nn.ModuleList(
            nn.Conv3d(out_channels, out_channels, 3, padding=1) for _ in range(smooth)
        )
        self.extra_convs = nn.ModuleList()
        for number in range(num_outs - len(used) if self.extra_source else 0):
            width = used[-1] if number == 0 and self.extra_source == "on_input" else out_channels
            self.extra_convs.append(nn.Conv3d(width, out_channels, 3, stride=2, padding=1))

    def init_weights(self) -> None:
        """Draw the weights where ``initialisation`` asks for it, then load what ``init_cfg`` names."""
        if self.initialisation == "kaiming" and not self.is_init:
            for module in self.modules():
                if isinstance(module, nn.Conv3d):
                    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        super().init_weights()

    def out_strides(self, strides: Sequence[int]) -> tuple[int, ...]:
        """Strides of the pyramid's levels, of those of the backbone's."""
        used = list(strides)[self.levels]
        return (*used, *(used[-1] * 2 ** (n + 1) for n in range(self.num_outs - len(used))))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The pyramid of a batch, finest level first."""
        features = list(features)[self.levels]
        laterals = [conv(level) for conv, level in zip(self.lateral_convs, features)]
        for fine in range(len(laterals) - 2, -1, -1):
            size = laterals[fine].shape[2:]
            coarse = F.interpolate(laterals[fine + 1], size=size, **UPSAMPLING[self.upsample])
            laterals[fine] = laterals[fine] + coarse
        outs = [conv(level) for conv, level in zip(self.fpn_convs, laterals)]
        outs += laterals[len(outs) :]
        return outs + self._extra(features[-1], laterals[-1], outs[-1])

    def _extra(self, last_input: Tensor, last_lateral: Tensor, last_output: Tensor) -> list[Tensor]:
        """Levels beyond those of the backbone."""
        missing = self.num_outs - len(self.lateral_convs)
        if self.extra_source is None:
            level, extra = last_output, []
            for _ in range(missing):
                level = level[:, :, ::2, ::2, ::2]
                extra.append(level)
            return extra
        sources = {"on_input": last_input, "on_lateral": last_lateral, "on_output": last_output}
        level, extra = sources[self.extra_source], []
        for number, conv in enumerate(self.extra_convs):
            level = conv(level.relu() if number and self.relu_before_extra_convs else level)
            extra.append(level)
        return extra
