"""Stage two of Gaussian2Scene: the reconstructed cloud becomes Gaussians, which photographs supervise.

Liu et al., "Gaussian2Scene", arXiv 2506.08777. Its abstract says that training starts from reconstructed
clouds and is supervised by the places of Gaussians and by rendered images; no code is known, and the rest
was decided here:

====================  =====================================  ==========================================
question              said of the paper                      chosen
====================  =====================================  ==========================================
who owns Gaussians    "leverages explicit Gaussians"         predicted by the network for each scene
input masked          open                                   yes, as in stage one (``mask_ratio``)
which points          "reconstructed point clouds"           hidden groups as predicted, visible as given
photometric loss      rendered RGB images                    0.8 L1 + 0.2 (1 - SSIM), where depth is known
depth loss            open                                   off; ``weights=dict(depth=0.1)``
views                 open                                   the input frame; more with ``num_views``
losses of stage one   open                                   Chamfer of groups kept, pixels dropped
frozen parts          open                                   the image branch, which is not used
colour                open                                   one for all directions, no input colour
geometry              places of Gaussians against the cloud  two-sided squared Chamfer distance
weights, schedule     open                                   1 each; 100 epochs, 1e-4, cosine (config)
====================  =====================================  ==========================================
"""

from __future__ import annotations

from collections.abc import Mapping
from logging import WARNING
from typing import Any, NamedTuple

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from torch import Tensor

from dense3d.errors import ConfigError, did_you_mean
from dense3d.ops import chamfer_loss, gather_points, interpolate_nearest, knn
from dense3d.pointcloud.batches import clouds_of, points_of
from dense3d.pointcloud.grouping import Patches
from dense3d.pointcloud.pretrained import checkpoint_of
from dense3d.pretraining.gaussian2scene.data_preprocessor import SceneDataPreprocessor
from dense3d.pretraining.gaussian2scene.encoders import chosen
from dense3d.pretraining.gaussian2scene.gaussian_head import GaussianHead, SceneGaussians
from dense3d.pretraining.gaussian2scene.parts import part
from dense3d.pretraining.gaussian2scene.rendering import (
    Rendered,
    RenderTargets,
    depth_loss,
    picture_loss,
    render_scenes,
    render_targets,
    signal_to_noise,
)
from dense3d.pretraining.gaussian2scene.stage1 import POINT_LOSSES, Gaussian2SceneStage1
from dense3d.pretraining.gaussian2scene.views import views_of
from dense3d.registry import MODELS
from dense3d.structures import PointDataSample

WEIGHTS = {
    "render": 1.0,
    "geometry": 1.0,
    "groups": 1.0,
    "depth": 0.0,
    "entropy": 0.0,
    "elongation": 0.0,
}
GAUSSIANS = ("all", "hidden")
COLOURS = ("predicted", "residual")
LONGEST = 10.0  # ratio of the largest to the smallest size from which on elongation costs


class PredictedScene(NamedTuple):
    """What the network made of clouds."""

    patches: Patches
    groups: Tensor  # (B, G) bool, hidden
    points: Tensor  # (B, H, k, 3) of hidden groups, relative to their centres
    gaussians: SceneGaussians


@MODELS.register_module()
class Gaussian2SceneStage2(BaseModel):
    """Pre-training of an encoder of clouds by rendering what it reconstructs.

    Args:
        autoencoder: arguments of :class:`Gaussian2SceneStage1`.
        weights: of the losses ``render``, ``geometry``, ``groups`` (1 unless given), ``depth``, ``entropy``
            of opacities and ``elongation`` (0); a loss of weight 0 is not computed.
        ssim_weight: part of SSIM in ``render``.
        render_scale: size of pictures, as a part of that of the photographs.
        gaussians: ``"all"``, hidden groups as predicted and visible ones as given; or ``"hidden"``.
        colours: ``"predicted"``; or ``"residual"``, added to the colour of the nearest point, which clouds
            then need as their three features in -1..1.
        scale_range, opacity: see :class:`~dense3d.pretraining.gaussian2scene.gaussian_head.GaussianHead`.
        freeze_images: keep the image branch, which takes no part, as it is.
        data_preprocessor: see mmengine's ``BaseModel``.
        init_cfg: ``dict(type="Pretrained", checkpoint=FILE)`` starts from a file of stage one, of which
            everything has to be there.

    Shape:
        as :class:`Gaussian2SceneStage1`; all photographs of a scene are rendered.

    Raises:
        ConfigError: an option is unknown.
        DataError: as stage one; features are read for ``colours="residual"`` alone.

    Example:
        >>> small = dict(dim=32, num_groups=8, group_size=4, point_encoder=dict(depth=1),
        ...     image_encoder=dict(arch=dict(embed_dim=32, depth=1, num_heads=2, position=None,
        ...         class_token=False, final_norm=False)), shared_encoder=dict(depth=1), decoder=dict(dim=24))
        >>> camera = dict(world_to_camera=torch.eye(4).expand(2, 1, 4, 4),
        ...     intrinsics=torch.tensor([[40.0, 0, 23.5], [0, 40, 15.5], [0, 0, 1]]).expand(2, 1, 3, 3))
        >>> scene = dict(points=torch.rand(2, 64, 3) + 1, images=torch.rand(2, 1, 3, 32, 48), **camera)
        >>> sorted(Gaussian2SceneStage2(small)(scene, mode="loss"))
        ['loss_geometry', 'loss_groups', 'loss_render', 'psnr']
    """

    def __init__(
        self,
        autoencoder: dict[str, Any],
        weights: dict[str, float] | None = None,
        ssim_weight: float = 0.2,
        render_scale: float = 0.5,
        gaussians: str = "all",
        colours: str = "predicted",
        scale_range: tuple[float, float] = (0.003, 0.15),
        opacity: float = 0.5,
        freeze_images: bool = True,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor or SceneDataPreprocessor(), init_cfg)
        self.weights = {**WEIGHTS, **(weights or {})}
        self.ssim_weight, self.render_scale = ssim_weight, render_scale
        self.which, self.colours = gaussians, colours
        self._check_settings()
        own = {k: v for k, v in autoencoder.items() if k not in ("type", "data_preprocessor")}
        self.autoencoder = part(Gaussian2SceneStage1, "autoencoder", own)
        decoder = self.autoencoder.decoder
        self.head = GaussianHead(decoder.dim, decoder.group_size, scale_range, opacity)
        if freeze_images:
            self._freeze_images()

    def _check_settings(self) -> None:
        for name in self.weights:
            if name not in WEIGHTS:
                raise ConfigError(
                    f"stage two has no loss {name!r}{did_you_mean(name, WEIGHTS)}: weights are of "
                    f"{', '.join(WEIGHTS)}"
                )
        for name, value, known in (
            ("gaussians", self.which, GAUSSIANS),
            ("colours", self.colours, COLOURS),
        ):
            if value not in known:
                raise ConfigError(f"{name}={value!r}: use one of {', '.join(map(repr, known))}")
        if not 0 < self.render_scale <= 1 or not 0 <= self.ssim_weight <= 1:
            raise ConfigError(
                f"render_scale={self.render_scale} and ssim_weight={self.ssim_weight}: give parts of 1"
            )

    def _freeze_images(self) -> None:
        model, decoder = self.autoencoder, self.autoencoder.decoder
        for branch in (
            model.image_encoder,
            model.image_projection,
            decoder.image_embed,
            decoder.image_blocks,
            decoder.image_norm,
            decoder.predict_pixels,
            decoder.predict_cross,
        ):
            if branch is not None:
                branch.requires_grad_(False)
        for vector in (model.image_modality, decoder.image_mask_token, decoder.image_modality):
            if vector is not None:
                vector.requires_grad_(False)

    def init_weights(self) -> None:
        """Load the whole of stage one from ``init_cfg``'s file; without one, what its parts name."""
        if not self.init_cfg:
            super().init_weights()
        elif not self.is_init:
            from dense3d.checkpoints.pimae import stage1_weights
            from dense3d.engine.checkpoint import load_checkpoint, load_into

            path = checkpoint_of(self.init_cfg, type(self).__name__)
            load_into(self.autoencoder, stage1_weights(load_checkpoint(path)), source=str(path))
            self._is_init = True

    def forward(
        self,
        inputs: Mapping[str, Tensor | None],
        data_samples: list[PointDataSample] | None = None,
        mode: str = "tensor",
        groups: Tensor | None = None,
    ) -> dict[str, Tensor] | list[PointDataSample] | PredictedScene:
        """Losses, rendered scenes, or the Gaussians.

        Args:
            inputs: ``points`` and views.
            data_samples: what ``"predict"`` adds its fields to; there are no labels.
            mode: ``"loss"``; ``"predict"``, see :meth:`samples`, with the same mask for all scenes every
                time; or ``"tensor"``.
            groups: ``(B, G)`` bool, true for hidden and equally many of each cloud; drawn unless given.
        """
        if self.colours == "predicted":
            points_of(inputs)  # refuses features, which would be ignored
        points, features, lengths = clouds_of(inputs)
        found = self.gaussians_of(points, lengths, groups, features, repeatable=mode == "predict")
        if mode == "tensor":
            return found
        if mode == "loss" and not self._renders:
            return self.losses(found, points, lengths, None, None)
        views = views_of(inputs, len(points))
        size = tuple(max(1, round(side * self.render_scale)) for side in views.size)
        rendered = render_scenes(found.gaussians, views, size)
        pictures = self.data_preprocessor.pictures(views.images)
        targets = render_targets(pictures, views.depths, size)
        if mode == "loss":
            return self.losses(found, points, lengths, rendered, targets)
        return self.samples(found, rendered, targets, data_samples)

    @property
    def _renders(self) -> bool:
        """Whether a loss looks at pictures."""
        return bool(self.weights["render"] or self.weights["depth"])

    def gaussians_of(
        self,
        points: Tensor,
        lengths: Tensor | None = None,
        groups: Tensor | None = None,
        features: Tensor | None = None,
        repeatable: bool = False,
    ) -> PredictedScene:
        """Hide groups of clouds ``(B, N, 3)``, predict them, and make Gaussians of the scene."""
        model = self.autoencoder
        patches = model.group(points, lengths)
        if groups is None:
            groups = model.draw_groups(patches.centres, repeatable)
        groups = groups.bool().to(points.device)
        visible, hidden = chosen(patches.centres, ~groups), chosen(patches.centres, groups)
        tokens = model.point_encoder(points, patches, ~groups, model.point_modality, lengths)
        encoded = model.shared(tokens.features)[:, 1:]
        seen, guessed = model.decoder.cloud_features(tokens._replace(features=encoded), hidden)
        local = model.decoder.points_of(guessed).float()  # (B, H, k, 3)
        means = (local + hidden[:, :, None]).flatten(1, 2)
        if self.which == "all":
            if tokens.positions.shape != visible.shape or not torch.equal(tokens.positions, visible):
                seen = interpolate_nearest(visible, tokens.positions, seen)  # seeds of PointNet++
            given = chosen(patches.points + patches.centres[:, :, None], ~groups).flatten(1, 2)
            means, guessed = torch.cat([given, means], dim=1), torch.cat([seen, guessed], dim=1)
        base = self._base_colors(means, points, features, lengths)
        return PredictedScene(patches, groups, local, self.head(guessed, means, base))

    def _base_colors(
        self, means: Tensor, points: Tensor, features: Tensor | None, lengths: Tensor | None
    ) -> Tensor | None:
        """Colours of the points nearest to the means, where they are to be residuals."""
        if self.colours == "predicted":
            return None
        if features is None or features.shape[2] != 3:
            raise ConfigError(
                "colours='residual' needs the colours of the clouds: set features=('colors',) in the "
                "pipeline's PackSceneInputs"
            )
        nearest = knn(means.detach(), points, 1, lengths=lengths)[1].squeeze(2)
        return gather_points(features, nearest) / 2 + 0.5

    def losses(
        self,
        found: PredictedScene,
        points: Tensor,
        lengths: Tensor | None,
        rendered: Rendered | None,
        targets: RenderTargets | None,
    ) -> dict[str, Tensor]:
        """Each loss times its weight, and ``psnr`` of the pictures in decibels, if a loss looks at them.

        Where no pixel of the batch has a depth, losses of pictures are 0, which is said, and there is no
        ``psnr``.
        """
        gaussians = found.gaussians
        terms = {
            "render": lambda: picture_loss(rendered, targets, self.ssim_weight),
            "geometry": lambda: chamfer_loss(gaussians.means, points.float(), y_lengths=lengths),
            "groups": lambda: self._groups(found),
            "depth": lambda: depth_loss(rendered, targets),
            "entropy": lambda: _entropy(gaussians.opacities),
            "elongation": lambda: _elongation(gaussians.scales),
        }
        losses = {f"loss_{name}": w * terms[name]() for name, w in self.weights.items() if w}
        if not self._renders:
            return losses
        if not targets.valid.any():
            print_log(
                "no pixel of this batch's photographs has a depth: losses of pictures are 0 for it",
                "current",
                WARNING,
            )
            return losses
        return losses | {"psnr": signal_to_noise(rendered, targets).detach()}

    def _groups(self, found: PredictedScene) -> Tensor:
        truth = chosen(found.patches.points, found.groups).float()
        if not truth.shape[1]:
            return found.points.sum()
        pair = (part.flatten(0, 1) for part in (found.points, truth))
        return chamfer_loss(*pair, norm=POINT_LOSSES[self.autoencoder.point_loss])

    def samples(
        self,
        found: PredictedScene,
        rendered: Rendered,
        targets: RenderTargets,
        data_samples: list[PointDataSample] | None,
    ) -> list[PointDataSample]:
        """Pictures and clouds for the eye.

        Returns:
            Samples with ``rendered`` and ``photographs`` ``(V, 3, h, w)`` in 0..1, ``rendered_depths``,
            ``sensor_depths`` (if there are any) and ``alphas`` ``(V, h, w)``; ``visible_points``,
            ``hidden_points`` (the truth) and ``reconstructed_points`` ``(n, 3)``; and ``psnr``, decibels over
            all of the scene's views, with ``error``, the loss ``render`` of them, unless no pixel of them has
            a depth to compare at.
        """
        patches, groups = found.patches, found.groups
        visible = chosen(patches.points + patches.centres[:, :, None], ~groups)
        truth = chosen(patches.points + patches.centres[:, :, None], groups)
        guessed = found.points + chosen(patches.centres, groups)[:, :, None]
        samples = data_samples or [PointDataSample() for _ in groups]
        for i, sample in enumerate(samples):
            one = slice(i, i + 1)
            own = [type(x)(*(None if y is None else y[one] for y in x)) for x in (rendered, targets)]
            sample.set_data(
                dict(
                    rendered=rendered.images[i].clamp(0, 1).movedim(-1, 1),
                    photographs=targets.images[i].movedim(-1, 1),
                    rendered_depths=rendered.depths[i],
                    alphas=rendered.alphas[i],
                    visible_points=visible[i].flatten(0, 1),
                    hidden_points=truth[i].flatten(0, 1),
                    reconstructed_points=guessed[i].flatten(0, 1),
                )
            )
            if targets.depths is not None:
                sample.set_data(dict(sensor_depths=targets.depths[i]))
            if targets.valid[i].any():
                error = picture_loss(*own, self.ssim_weight)
                sample.set_data(dict(psnr=signal_to_noise(*own), error=error))
        return samples


def _entropy(opacities: Tensor) -> Tensor:
    """Mean binary entropy in nats: small where Gaussians are solid or not there."""
    p = opacities.clamp(1e-6, 1 - 1e-6)
    return -(p * p.log() + (1 - p) * (1 - p).log()).mean()


def _elongation(scales: Tensor) -> Tensor:
    """Mean of what the ratio of the largest to the smallest size exceeds ten by."""
    return (scales.amax(dim=2) / scales.amin(dim=2) - LONGEST).clamp(min=0).mean()
