"""Masked scene modelling: a student predicts a teacher's features of voxels that it does not see.

Hermosilla et al., "Masked Scene Modeling: Narrowing the Gap Between Supervised and Self-Supervised Learning
in 3D Scene Understanding", CVPR 2025. The authors' code for pre-training is not published; docs/msm.md says
what follows the paper and what is decided here.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from torch import Tensor, nn

from dense3d.errors import ConfigError, DataError
from dense3d.layers.assignment import mean_number
from dense3d.pointcloud.hunet import HUNet
from dense3d.pointcloud.scene_features import PointFeatures
from dense3d.pointcloud.sparse import SparsePyramid, build_pyramid, match_levels
from dense3d.pointcloud.voxel_batch import VoxelBatch, clouds_of, voxel_batch
from dense3d.pretraining.msm.correspondence import partners, transferred
from dense3d.pretraining.msm.masking import hidden_blocks, hidden_voxels
from dense3d.pretraining.msm.objective import (
    LOSSES,
    TARGETS,
    FeaturePredictor,
    check_choice,
    effective_rank,
    feature_errors,
    normalised,
    spread,
)
from dense3d.pretraining.msm.views import SceneViewsPreprocessor
from dense3d.pretraining.msm.whitening import RunningWhitening
from dense3d.registry import MODELS
from dense3d.structures import PointDataSample

COLLAPSED = 0.02  # spread of a teacher's features, below which it says the same everywhere


class MaskedPass(NamedTuple):
    """What student and teacher made of a batch; lists are over levels, finest first.

    Attributes:
        voxels: of all views.
        pyramid: of all voxels.
        hidden: ``(V_l,)`` bool.
        student: ``(V_l, C_l)`` maps of the decoder.
        teacher: ``(V_l, C_l)``, normalised.
        voxel_of_point: ``(R,)`` int64, the voxel of each point.
    """

    voxels: VoxelBatch
    pyramid: SparsePyramid
    hidden: list[Tensor]
    student: list[Tensor]
    teacher: list[Tensor]
    voxel_of_point: list[Tensor]


@MODELS.register_module()
class MaskedSceneModeling(BaseModel):
    """Pre-training on scenes without labels.

    Blocks of voxels of two views of each scene are removed from the student's input. Behind its encoder a
    learnt token takes their place on every level; its decoder sees all voxels, and a predictor a level tells
    what the features of hidden ones are. Truth are the features that a teacher, the moving average of the
    student, has for the same points in the *other* view, of which it sees everything.

    Args:
        backbone: arguments of :class:`dense3d.pointcloud.hunet.HUNet`, which has no final layer.
        voxel_size: metres.
        mask_ratio: share of blocks that is hidden, or the range that it is drawn from for each batch. A block
            is a voxel of the coarsest level.
        level_weights: of the levels' losses, finest first; 1 each unless given.
        loss: ``"smooth_l1"`` or ``"cosine"``, of layer-normalised teacher features.
        targets: ``"layer"``, a teacher's features behind a layer norm; or ``"whitened"``, in which all
            directions of these count alike, see :class:`~dense3d.pretraining.msm.whitening.RunningWhitening`.
        predictor_channels: between the two layers of a predictor; twice the level's unless given.
        momentum: of the moving average at the start, which rises to 1 by a cosine over the training.
        data_preprocessor, init_cfg: see mmengine's ``BaseModel``.

    Shape:
        what :class:`~dense3d.pretraining.msm.SceneViewsPreprocessor` gives.

    Raises:
        ConfigError: a ratio, weight, loss or momentum makes no sense, or the backbone has a final layer.
        DataError: more than two views, or no features where the backbone needs some.

    Example:
        >>> small = dict(in_channels=3, channels=(8, 16), convs=(1, 1), attentions=(0, 1), num_heads=(1, 2),
        ...     windows=(32, 32), decoder_channels=(8, 16), decoder_convs=(1, 1), decoder_attentions=(0, 1),
        ...     decoder_num_heads=(1, 2), decoder_windows=(32, 32))
        >>> model = MaskedSceneModeling(small, voxel_size=0.1)
        >>> index, lengths = torch.arange(200).repeat(2), torch.tensor([200, 200])
        >>> clouds = dict(points=torch.rand(400, 3), features=torch.rand(400, 3), lengths=lengths)
        >>> inputs = dict(**clouds, index=index, views=2)
        >>> sorted(model(inputs, mode="loss"))
        ['loss_level0', 'loss_level1', 'rank_level0', 'rank_level1', 'spread_level0', 'spread_level1']
    """

    def __init__(
        self,
        backbone: dict,
        voxel_size: float = 0.02,
        mask_ratio: float | Sequence[float] = (0.4, 0.6),
        level_weights: Sequence[float] | None = None,
        loss: str = "smooth_l1",
        targets: str = "layer",
        predictor_channels: int | None = None,
        momentum: float = 0.996,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor or SceneViewsPreprocessor(), init_cfg)
        self.student = HUNet(**{key: value for key, value in backbone.items() if key != "type"})
        ratio = (mask_ratio, mask_ratio) if isinstance(mask_ratio, (int, float)) else tuple(mask_ratio)
        weights = tuple(level_weights or (1.0,) * self.student.depth)
        self._check(ratio, weights, momentum)
        self.voxel_size, self.mask_ratio, self.level_weights = voxel_size, ratio, weights
        self.loss_type, self.momentum = check_choice("loss", loss, LOSSES), momentum
        self.mask_tokens = nn.ParameterList(
            nn.init.trunc_normal_(torch.empty(width), std=0.02) for width in self.student.encoder_channels
        )
        widths = self.student.out_channels
        self.predictors = nn.ModuleList(
            FeaturePredictor(width, predictor_channels or 2 * width) for width in widths
        )
        is_whitened = check_choice("targets", targets, TARGETS) == "whitened"
        self.whitening = nn.ModuleList(RunningWhitening(width) for width in widths) if is_whitened else None
        self.teacher = copy.deepcopy(self.student).requires_grad_(False).eval()
        self._told_of_collapse = False

    def _check(self, ratio: tuple[float, ...], weights: tuple[float, ...], momentum: float) -> None:
        if len(ratio) != 2 or not 0 < ratio[0] <= ratio[1] < 1:
            raise ConfigError(f"mask_ratio={ratio}: give a share above 0 and below 1, or a range of them")
        if len(weights) != self.student.depth or min(weights) < 0 or not sum(weights):
            raise ConfigError(
                f"level_weights={weights}: the backbone has {self.student.depth} levels, each with a weight "
                "of at least 0, not all of them 0"
            )
        if not 0 <= momentum <= 1:
            raise ConfigError(f"momentum={momentum}: give a number from 0 to 1")
        if self.student.final is not None:
            raise ConfigError("masked scene modelling is of a HUNet with final_channels=0")

    def train(self, mode: bool = True) -> MaskedSceneModeling:
        """As for every module, but the teacher stays in evaluation mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(
        self,
        inputs: Mapping[str, Tensor | None],
        data_samples: list[PointDataSample] | None = None,
        mode: str = "tensor",
    ) -> dict[str, Tensor] | list[PointDataSample] | list[Tensor]:
        """Losses, errors and features of clouds, or feature maps.

        Args:
            inputs: clouds, in one view or two.
            data_samples: what ``"predict"`` adds its fields to.
            mode: ``"loss"``, a loss a level, and of the teacher's features there the spread, which is 0 where
                they have collapsed, and the effective rank; ``"predict"``, see :meth:`samples`; or
                ``"tensor"``, the student's maps of all voxels, nothing hidden.
        """
        if mode == "tensor":
            voxels = self._voxels(inputs)
            pyramid = build_pyramid(voxels.coords, voxels.scene, self.student.depth)
            return self.student(pyramid, voxels.features)
        if mode == "predict":
            return self.samples(inputs, data_samples)
        found = self.masked_pass(inputs)
        for whitening, map_ in zip(self.whitening or (), found.teacher):
            whitening.update(map_)
        errors = self.level_errors(found, self._pairs(inputs, found.voxels))
        numbers = mean_number([len(error) for _, error in errors], found.teacher[0].device)
        losses = {}
        for level, ((_, error), weight) in enumerate(zip(errors, self.level_weights)):
            # without a common point, an empty sum keeps all parameters in the graph
            losses[f"loss_level{level}"] = weight * error.sum() / numbers[level]
        spreads = {f"spread_level{level}": spread(map_) for level, map_ in enumerate(found.teacher)}
        self._look_for_collapse(spreads)
        ranks = {f"rank_level{level}": effective_rank(map_) for level, map_ in enumerate(found.teacher)}
        return losses | spreads | ranks

    def masked_pass(
        self, inputs: Mapping[str, Tensor | None], generator: torch.Generator | None = None
    ) -> MaskedPass:
        """Student on what is visible, teacher on everything.

        Args:
            inputs: clouds, in one view or two.
            generator: draws what is hidden; PyTorch's global one unless given.
        """
        voxels = self._voxels(inputs)
        full = build_pyramid(voxels.coords, voxels.scene, self.student.depth)
        share = torch.rand((), generator=generator).item()
        ratio = self.mask_ratio[0] + share * (self.mask_ratio[1] - self.mask_ratio[0])
        parents = [halving.parent for halving in full.halvings]
        hidden = hidden_voxels(hidden_blocks(full[-1].scene, ratio, generator), parents)
        seen = ~hidden[0]
        visible = build_pyramid(voxels.coords[seen], voxels.scene[seen], self.student.depth)
        maps = self.student.encode(visible, voxels.features[seen])
        student = self.student.decode(full, self._with_tokens(maps, match_levels(visible, full), full))
        with torch.no_grad():
            teacher = [normalised(map_) for map_ in self.teacher(full, voxels.features)]
        of_point = [voxels.voxel]
        for parent in parents:
            of_point.append(parent[of_point[-1]])
        return MaskedPass(voxels, full, hidden, student, teacher, of_point)

    def level_errors(self, found: MaskedPass, pairs: tuple[Tensor, Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Errors of the hidden voxels that have common points with the other view.

        Args:
            found: of a batch.
            pairs: ``(P,)`` points and ``(P,)`` the same points where the truth is taken from.

        Returns:
            for each level ``(K,)`` voxels and ``(K,)`` errors.
        """
        errors = []
        levels = zip(found.student, found.teacher, found.hidden, found.voxel_of_point, self.predictors)
        for level, (student, teacher, hidden, voxel, predictor) in enumerate(levels):
            places, target = transferred(teacher, voxel[pairs[0]], voxel[pairs[1]], hidden)
            if self.whitening is not None:  # of means, which is the mean of what it makes of each
                target = self.whitening[level](target)
            errors.append((places, feature_errors(predictor(student[places]), target, self.loss_type)))
        return errors

    @torch.no_grad()
    def samples(
        self, inputs: Mapping[str, Tensor | None], data_samples: list[PointDataSample] | None = None
    ) -> list[PointDataSample]:
        """The error of each cloud, with the same blocks hidden every time and targets of the same view.

        Returns:
            Samples with ``error``, the sum over levels of the mean error; ``point_hidden`` ``(N,)`` bool; and
            ``pred_point_features``, the student's :class:`~dense3d.pointcloud.scene_features.PointFeatures`
            with nothing hidden.

        Raises:
            DataError: clouds come in several views.
        """
        if inputs.get("views", 1) != 1:
            raise DataError("errors are of clouds in one view: end the pipeline with PackPointInputs")
        found = self.masked_pass(inputs, torch.Generator().manual_seed(0))
        every = torch.arange(len(found.voxels.voxel), device=found.voxels.voxel.device)
        count = int(found.voxels.scene[-1]) + 1
        total = found.teacher[0].new_zeros(count)
        for level, (places, error) in enumerate(self.level_errors(found, (every, every))):
            scene = found.pyramid[level].scene[places]
            number = scene.bincount(minlength=count).clamp(min=1)
            total += self.level_weights[level] * total.new_zeros(count).index_add(0, scene, error) / number
        samples = data_samples or [PointDataSample() for _ in range(count)]
        hidden = found.hidden[0][found.voxels.voxel]
        maps = self.student(found.pyramid, found.voxels.features)
        for number, sample in enumerate(samples):
            own = found.voxels.point_scene == number
            features = _scene_features(found, maps, number, own)
            sample.set_data(
                {"error": total[number], "point_hidden": hidden[own], "pred_point_features": features}
            )
        return samples

    @torch.no_grad()
    def update_teacher(self, momentum: float) -> None:
        """Move the teacher's weights towards the student's: the share ``momentum`` of them stays."""
        for ours, theirs in zip(self.teacher.parameters(), self.student.parameters()):
            ours.lerp_(theirs, 1 - momentum)

    def _with_tokens(
        self, maps: Sequence[Tensor], places: Sequence[Tensor], pyramid: SparsePyramid
    ) -> list[Tensor]:
        """Maps of visible voxels among tokens for the hidden ones."""
        joined = []
        for token, map_, place, level in zip(self.mask_tokens, maps, places, pyramid.levels):
            tokens = token.to(map_.dtype).expand(len(level), -1)
            joined.append(tokens.index_copy(0, place, map_))
        return joined

    def _voxels(self, inputs: Mapping[str, Tensor | None]) -> VoxelBatch:
        clouds = clouds_of(inputs, self.student.in_channels)
        return voxel_batch(*clouds, self.voxel_size, random=self.training)

    def _pairs(self, inputs: Mapping[str, Tensor | None], voxels: VoxelBatch) -> tuple[Tensor, Tensor]:
        views = inputs.get("views", 1)
        if views == 1:
            every = torch.arange(len(voxels.voxel), device=voxels.voxel.device)
            return every, every
        if views != 2:
            raise DataError(f"masked scene modelling compares two views of a scene, not {views}")
        scenes = (int(voxels.point_scene[-1]) + 1) // 2
        return partners(inputs["index"], voxels.point_scene, scenes)

    def _look_for_collapse(self, spreads: Mapping[str, Tensor]) -> None:
        if self._told_of_collapse or not torch.stack([*spreads.values()]).lt(COLLAPSED).any():
            return
        self._told_of_collapse = True
        print_log(
            "the teacher's features are nearly the same at all voxels of a level (spread below "
            f"{COLLAPSED}): the training may have collapsed; a lower rate or a higher momentum helps",
            "current",
            30,
        )


def _scene_features(found: MaskedPass, maps: Sequence[Tensor], number: int, points: Tensor) -> PointFeatures:
    """Features of one scene of a batch at its points ``(R,)`` bool."""
    own = [level.scene == number for level in found.pyramid.levels]
    pyramid = build_pyramid(found.voxels.coords[own[0]], depth=len(maps))
    cut = [map_[rows] for map_, rows in zip(maps, own)]
    return PointFeatures(pyramid, cut, range(len(maps)), found.voxels.grid[points])
