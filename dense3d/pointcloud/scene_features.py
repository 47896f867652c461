"""Features of the points of scenes from all levels of a HUNet, which is used as it is.

Hermosilla et al., "Masked Scene Modeling", CVPR 2025 (phermosilla/msm, ``MSM3D_EncDec``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from mmengine.model import BaseModel
from torch import Tensor

from dense3d.errors import ConfigError, DataError
from dense3d.files import atomic_write
from dense3d.pointcloud.data_preprocessor import PointDataPreprocessor
from dense3d.pointcloud.hunet import HUNet
from dense3d.pointcloud.sparse import SparsePyramid, build_pyramid, sample_levels, voxelize_points
from dense3d.pointcloud.sparse.sampling import MAPPINGS, MODES
from dense3d.registry import MODELS
from dense3d.structures import PointDataSample

FEW = 1 << 14  # points whose features are computed at a time
LARGEST_HALF = 65504.0


@dataclass(frozen=True, eq=False)
class PointFeatures:
    """Features ``(N, C)`` of the points of one scene, computed where they are asked for.

    All of them at once would often be larger than the scene and the network together: 3.7 GB for a million
    points of 928 channels.

    Attributes:
        pyramid: voxels of the scene.
        maps, levels: of the network, and the level that each is on.
        coords: ``(N, 3)`` int64, the finest voxel of each point.
        mode, mapping: see :func:`dense3d.pointcloud.sparse.sample_levels`.
    """

    pyramid: SparsePyramid
    maps: Sequence[Tensor]
    levels: Sequence[int]
    coords: Tensor
    mode: str = "trilinear"
    mapping: str = "official"

    def __len__(self) -> int:
        return len(self.coords)

    @property
    def channels(self) -> int:
        """C."""
        return sum(values.shape[1] for values in self.maps)

    def rows(self, index: Tensor | np.ndarray | slice = slice(None)) -> Tensor:
        """``(n, C)``: the features of some points, all of them unless given."""
        index = torch.from_numpy(index) if isinstance(index, np.ndarray) else index
        coords = self.coords[index]
        return sample_levels(
            self.pyramid, self.maps, coords, None, self.mode, self.mapping, levels=self.levels
        )

    def select(self, index: np.ndarray) -> PointFeatures:
        """Those of the points ``index`` ``(M,)``, which may repeat."""
        return replace(self, coords=self.coords[torch.from_numpy(index)])

    @torch.no_grad()
    def colours(self, at_most: int = 50_000) -> np.ndarray:
        """``(N, 3)`` float32 in 0 .. 1: principal components, see
        :class:`~dense3d.visualization.feature_colours.FeatureColours`.

        Args:
            at_most: their directions and range are found from so many points, evenly chosen.
        """
        from dense3d.visualization.feature_colours import FeatureColours

        some = torch.linspace(0, len(self) - 1, min(len(self), at_most)).round().long()
        colours = FeatureColours.of(self.rows(some))
        return torch.cat([colours(self.rows(part)) for part in self._parts()]).cpu().numpy()

    @torch.no_grad()
    def save(self, path: str | Path) -> Path:
        """Write all features as an npy file, whole or not at all: float16, which halves it, unless a feature
        is too large for that."""
        largest = max((float(values.abs().max()) for values in self.maps if values.numel()), default=0.0)
        dtype = np.dtype(np.float16 if largest < LARGEST_HALF else np.float32)
        header = {"descr": dtype.str, "fortran_order": False, "shape": (len(self), self.channels)}
        with atomic_write(path) as file:
            np.lib.format.write_array_header_1_0(file, header)
            for part in self._parts():
                file.write(self.rows(part).cpu().numpy().astype(dtype).tobytes())
        return Path(path)

    def _parts(self) -> list[slice]:
        return [slice(start, start + FEW) for start in range(0, len(self), FEW)]


@MODELS.register_module()
class SceneFeatures(BaseModel):
    """A HUNet as a source of features for all points of scenes. It is not trained.

    Args:
        backbone: arguments of :class:`dense3d.pointcloud.hunet.HUNet`.
        voxel_size: metres.
        mode, mapping: see :func:`dense3d.pointcloud.sparse.sample_level`.
        levels: which of the network's maps are sampled, by their number from 0, the finest; all unless given.
        data_preprocessor, init_cfg: see mmengine's ``BaseModel``.

    A checkpoint may be of this model, of any that has a HUNet (pre-training, segmenters), or an official one;
    of the others the network alone is taken, of pre-training the student's.

    Shape:
        what :class:`dense3d.pointcloud.PointDataPreprocessor` gives, with features unless the network has no
        input channels.

    Raises:
        ConfigError: an unknown mode or mapping, a voxel size that is not positive, or levels that the network
            has not.

    Example:
        >>> small = dict(in_channels=3, channels=(8, 16), convs=(1, 1), attentions=(0, 1), num_heads=(1, 2),
        ...     windows=(32, 32), decoder_channels=(8, 16), decoder_convs=(1, 1), decoder_attentions=(0, 1),
        ...     decoder_num_heads=(1, 2), decoder_windows=(32, 32))
        >>> model = SceneFeatures(small, voxel_size=0.1).eval()
        >>> model({"points": torch.rand(2, 50, 3), "features": torch.rand(2, 50, 3)}).shape
        torch.Size([100, 24])
    """

    def __init__(
        self,
        backbone: dict,
        voxel_size: float = 0.02,
        mode: str = "trilinear",
        mapping: str = "official",
        levels: Sequence[int] | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor or PointDataPreprocessor(), init_cfg)
        if mode not in MODES or mapping not in MAPPINGS or not voxel_size > 0:
            raise ConfigError(
                f"SceneFeatures(voxel_size={voxel_size!r}, mode={mode!r}, mapping={mapping!r}): use a "
                f"positive size, {' or '.join(MODES)}, {' or '.join(MAPPINGS)}"
            )
        self.backbone = HUNet(**{key: value for key, value in backbone.items() if key != "type"})
        self.voxel_size, self.mode, self.mapping = voxel_size, mode, mapping
        there = range(len(self.backbone.out_levels))
        self.levels = tuple(there if levels is None else levels)
        if not self.levels or not set(self.levels) <= set(there) or len(set(self.levels)) < len(self.levels):
            raise ConfigError(
                f"levels={levels!r} of SceneFeatures: name some of 0 to {len(there) - 1}, each once"
            )

    def forward(
        self,
        inputs: Mapping[str, Tensor | None],
        data_samples: list[PointDataSample] | None = None,
        mode: str = "tensor",
    ) -> list[PointDataSample] | Tensor:
        """Features.

        Args:
            inputs: clouds.
            data_samples: ``"predict"`` adds to them.
            mode: ``"tensor"``, ``(sum of N, C)``, cloud after cloud; or ``"predict"``, samples with
                ``pred_point_features``, a :class:`PointFeatures`.

        Raises:
            ConfigError: ``"loss"``, as there is nothing to train.
            DataError: features are not those of the network.
        """
        if mode == "loss":
            raise ConfigError(
                "SceneFeatures gives the features of a trained network: train with MaskedSceneModeling or "
                "SceneSegmenter, and give their checkpoint to dense3d infer"
            )
        found = [self.of(*pair) for pair in _clouds(inputs)]
        if mode == "tensor":
            return torch.cat([features.rows() for features in found])
        samples = data_samples or [PointDataSample() for _ in found]
        for sample, features in zip(samples, found):
            sample.set_data({"pred_point_features": features})
        return samples

    def of(self, points: Tensor, features: Tensor) -> PointFeatures:
        """Features of one scene.

        Args:
            points: ``(N, 3)`` metres, z up.
            features: ``(N, F)`` of them, which the network reads: colour in -1 .. 1 and normal.
        """
        scene = voxelize_points(points, features, self.voxel_size)
        pyramid = build_pyramid(scene.coords, depth=self.backbone.depth)
        maps = self.backbone(pyramid, scene.features)
        chosen = [(maps[number], self.backbone.out_levels[number]) for number in self.levels]
        return PointFeatures(pyramid, *zip(*chosen), scene.sample_coords, self.mode, self.mapping)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        """Takes the network of another model's checkpoint for its own."""
        from dense3d.checkpoints.msm import network_weights

        own = {name: value for name, value in state_dict.items() if name.startswith(prefix)}
        weights = network_weights({name.removeprefix(prefix): value for name, value in own.items()})
        for name in own if weights else ():
            del state_dict[name]
        state_dict.update({f"{prefix}backbone.{name}": value for name, value in weights.items()})
        super()._load_from_state_dict(state_dict, prefix, *args)


def _clouds(inputs: Mapping[str, Tensor | None]) -> list[tuple[Tensor, Tensor]]:
    """Points ``(N, 3)`` and features ``(N, F)`` of each cloud, no channels where there are none."""
    points, features, lengths = inputs["points"], inputs.get("features"), inputs.get("lengths")
    if points.shape[-1] != 3:
        raise DataError(f"points of scenes are (N, 3), not {tuple(points.shape)}")
    features = points.new_zeros(*points.shape[:-1], 0) if features is None else features
    if lengths is None:
        return list(zip(points, features))
    counts = lengths.tolist()
    return list(zip(points.split(counts), features.split(counts)))
