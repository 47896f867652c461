"""Stage one of Gaussian2Scene: a masked autoencoder of photographs and clouds, which is PiMAE's scheme.

Liu et al., "Gaussian2Scene: 3D Scene Representation Learning via Self-supervised Learning with 3D Gaussian
Splatting", arXiv 2506.08777, whose first stage follows Chen et al., "PiMAE: Point Cloud and Image Interactive
Masked Autoencoders for 3D Object Detection", CVPR 2023 (BLVLab/PiMAE). There is no official code of the
former; docs/gaussian2scene.md lists what its paper says, what is open and what was chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from dense3d.backbones.vit_scattered import refuse_scattered
from dense3d.errors import ConfigError, DataError, did_you_mean
from dense3d.layers.patch_embed import Grid
from dense3d.layers.pixel_patches import normalised_patches, patch_loss, patchify
from dense3d.layers.point_attention import PointAttention
from dense3d.ops import chamfer_loss
from dense3d.pointcloud.batches import points_of
from dense3d.pointcloud.grouping import Patches, group_patches
from dense3d.pointcloud.patch_masks import block_mask, random_patch_mask
from dense3d.pretraining.gaussian2scene.cross_modal import CrossModal, values_of
from dense3d.pretraining.gaussian2scene.data_preprocessor import SceneDataPreprocessor
from dense3d.pretraining.gaussian2scene.decoder import Decoded, JointDecoder, position_table
from dense3d.pretraining.gaussian2scene.encoders import (
    EncoderLayers,
    PointTokens,
    build_point_encoder,
    chosen,
)
from dense3d.pretraining.gaussian2scene.masking import (
    IMAGE_MASKS,
    PatchMask,
    mask_of_order,
    patch_order,
    touched_patches,
    visible_count,
)
from dense3d.pretraining.gaussian2scene.parts import part
from dense3d.pretraining.gaussian2scene.presets import settings_of
from dense3d.pretraining.gaussian2scene.samples import stage1_samples
from dense3d.pretraining.gaussian2scene.views import (
    PROJECTIONS,
    SceneViews,
    patch_indices,
    project_points,
    views_of,
)
from dense3d.registry import MODELS
from dense3d.structures import PointDataSample

POINT_LOSSES = {"cdl1": 1, "cdl2": 2}
POINT_MASKS = ("rand", "block")
WEIGHTS = {"points": 1.0, "pixels": 1.0, "cross": 1.0}
SEED = 0  # of masks that are the same every time


class SceneMask(NamedTuple):
    """What is hidden of a batch: groups ``(B, G)`` bool, and patches of the images."""

    groups: Tensor
    patches: PatchMask


class Encoded(NamedTuple):
    """Tokens of the visible parts ``(B, K, D)`` and ``(B, V, D)``, before and behind the shared encoder."""

    own_image: Tensor
    own_points: PointTokens
    shared: Tensor  # (B, 1 + K + V, D): class token, image, points
    image: Tensor
    points: PointTokens


class SceneReconstruction(NamedTuple):
    """What the network made of a batch."""

    patches: Patches
    mask: SceneMask
    grid: Grid
    decoded: Decoded
    points: Tensor  # (B, H, k, 3) of hidden groups, relative to their centres

    def hidden(self, values: Tensor) -> Tensor:
        """Of values ``(B, G, ...)`` those of hidden groups."""
        return chosen(values, self.mask.groups)


@MODELS.register_module()
class Gaussian2SceneStage1(BaseModel):
    """Pre-training on clouds with photographs: hidden parts of each are predicted from what is left of both.

    Args:
        preset: what options are that are not given: ``"gaussian2scene"`` or ``"pimae"``, see
            :data:`dense3d.pretraining.gaussian2scene.presets.PRESETS`.
        dim: D, channels of the encoders' tokens.
        num_groups, group_size: G groups of k points.
        image_encoder: config of a :class:`dense3d.backbones.VisionTransformer` that can work on scattered
            patches; PiMAE's of three blocks unless given. One without positions gets fixed sines and cosines.
        point_encoder: ``type`` ``"PatchLayers"`` (PiMAE's, unless given), ``"PointTransformer"`` (Point-MAE)
            or ``"PointNet2"``, and its arguments, see :mod:`dense3d.pretraining.gaussian2scene.encoders`.
        shared_encoder: ``depth``, ``num_heads``, ``feedforward_dim`` and ``dropout``.
        decoder: arguments of :class:`~dense3d.pretraining.gaussian2scene.decoder.JointDecoder`.
        mask_ratio, image_mask_ratio: parts of groups and of patches that are hidden.
        point_mask: ``"rand"``, or ``"block"`` for groups that lie together.
        image_mask: ``"random"``, ``"uniform"`` or ``"complement"``, see
            :mod:`dense3d.pretraining.gaussian2scene.masking`.
        projection: ``"exact"`` or ``"pimae"``, see
            :func:`dense3d.pretraining.gaussian2scene.views.project_points`.
        point_loss: ``"cdl2"`` or ``"cdl1"``, see :class:`dense3d.pretraining.PointMAE`.
        norm_pix_loss: predict each patch normalised by its own mean and variance.
        cross_modal: arguments of :class:`~dense3d.pretraining.gaussian2scene.cross_modal.CrossModal`; False
            for no such loss.
        weights: of the losses ``points``, ``pixels`` and ``cross``; 1 each unless given.
        skip_origin: see :func:`dense3d.pointcloud.grouping.group_patches`.
        data_preprocessor, init_cfg: see mmengine's ``BaseModel``.

    Shape:
        ``points`` ``(B, N, 3)`` and :class:`~dense3d.pretraining.gaussian2scene.views.SceneViews`, of which
        the first photograph of each scene is used.

    Raises:
        ConfigError: an option is unknown, or nothing would be hidden or visible.
        DataError: photographs or cameras are missing; images are not made of whole patches; clouds come with
            features, which it would ignore.

    Example:
        >>> model = Gaussian2SceneStage1(dim=32, num_groups=8, group_size=4,
        ...     image_encoder=dict(arch=dict(embed_dim=32, depth=1, num_heads=2, position=None,
        ...         class_token=False, final_norm=False)),
        ...     point_encoder=dict(depth=1), shared_encoder=dict(depth=1), decoder=dict(dim=24))
        >>> scene = dict(points=torch.rand(2, 64, 3), images=torch.rand(2, 1, 3, 32, 48),
        ...     world_to_camera=torch.eye(4).expand(2, 1, 4, 4), intrinsics=torch.eye(3).expand(2, 1, 3, 3))
        >>> sorted(model(scene, mode="loss"))
        ['loss_pixels', 'loss_points']
    """

    def __init__(
        self,
        preset: str = "gaussian2scene",
        dim: int = 256,
        num_groups: int | None = None,
        group_size: int = 32,
        image_encoder: dict[str, Any] | None = None,
        point_encoder: dict[str, Any] | None = None,
        shared_encoder: dict[str, Any] | None = None,
        decoder: dict[str, Any] | None = None,
        mask_ratio: float = 0.6,
        image_mask_ratio: float = 0.6,
        point_mask: str = "rand",
        image_mask: str | None = None,
        projection: str | None = None,
        point_loss: str = "cdl2",
        norm_pix_loss: bool = False,
        cross_modal: dict[str, Any] | bool | None = None,
        weights: dict[str, float] | None = None,
        skip_origin: bool = True,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor or SceneDataPreprocessor(), init_cfg)
        options = settings_of(
            preset,
            num_groups=num_groups,
            image_mask=image_mask,
            projection=projection,
            cross_modal=cross_modal,
        )
        self.num_groups, self.group_size = options["num_groups"], group_size
        self.mask_ratio, self.image_mask_ratio = mask_ratio, image_mask_ratio
        self.point_mask, self.image_mask = point_mask, options["image_mask"]
        self.projection, self.skip_origin = options["projection"], skip_origin
        self.point_loss, self.norm_pix_loss = point_loss, norm_pix_loss
        cross = options["cross_modal"]
        self.cross_modal = part(CrossModal, "cross_modal", cross) if cross else None
        self.weights = {**WEIGHTS, **(weights or {})}
        self._check_settings()
        self._build(dim, image_encoder, point_encoder or {}, shared_encoder or {}, decoder or {})
        self._initialise()

    def _check_settings(self) -> None:
        hidden = int(self.mask_ratio * self.num_groups)
        if not 0 <= self.mask_ratio < 1 or hidden >= self.num_groups:
            raise ConfigError(
                f"mask_ratio={self.mask_ratio} hides {hidden} of {self.num_groups} groups: some have to stay"
            )
        if not 0 < self.image_mask_ratio < 1:
            raise ConfigError(f"image_mask_ratio={self.image_mask_ratio}: give a part between 0 and 1")
        for name, known in (
            ("point_mask", POINT_MASKS),
            ("image_mask", IMAGE_MASKS),
            ("projection", PROJECTIONS),
            ("point_loss", tuple(POINT_LOSSES)),
        ):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name}={getattr(self, name)!r}: use one of {', '.join(map(repr, known))}")
        for name in self.weights:
            if name not in WEIGHTS:
                raise ConfigError(
                    f"stage one has no loss {name!r}{did_you_mean(name, WEIGHTS)}: weights are of "
                    f"{', '.join(WEIGHTS)}"
                )

    def _build(self, dim: int, image: dict | None, points: dict, shared: dict, decoder: dict) -> None:
        arch = dict(embed_dim=dim, depth=3, num_heads=4, position=None, class_token=False, final_norm=False)
        self.image_encoder = MODELS.build({"type": "VisionTransformer", **(image or dict(arch=arch))})
        refuse_scattered(self.image_encoder, type(self).__name__)
        width = self.image_encoder.embed_dims
        self.image_projection = nn.Identity() if width == dim else nn.Linear(width, dim)
        self.point_encoder = build_point_encoder(points, dim, self.num_groups, self.group_size)
        self.image_modality = nn.Parameter(torch.zeros(1, 1, width))
        self.point_modality = nn.Parameter(torch.zeros(1, 1, dim))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.shared_encoder = part(EncoderLayers, "shared_encoder", shared, dim)
        values = self.image_encoder.patch_size**2 * 3
        if not isinstance(decoder, Mapping):
            raise ConfigError(f"decoder={decoder!r}: give a dict of settings")
        cross = values_of(self.cross_modal, decoder.get("dim", 192))
        self.decoder = part(JointDecoder, "decoder", decoder, dim, values, self.group_size, cross)

    def forward(
        self,
        inputs: Mapping[str, Tensor | None],
        data_samples: list[PointDataSample] | None = None,
        mode: str = "tensor",
        groups: Tensor | None = None,
        order: Tensor | None = None,
    ) -> dict[str, Tensor] | list[PointDataSample] | SceneReconstruction:
        """Losses, reconstructed scenes, or what the network predicts.

        Args:
            inputs: ``points`` and views.
            data_samples: what ``"predict"`` adds its fields to; there are no labels.
            mode: ``"loss"``; ``"predict"``, see
                :func:`~dense3d.pretraining.gaussian2scene.samples.stage1_samples`, with the same mask for all
                scenes every time; or ``"tensor"``.
            groups: ``(B, G)`` bool, true for hidden and equally many of each cloud; drawn unless given.
            order: ``(B, L)``, permutations of the patches, of which the first stay visible; drawn unless
                given.
        """
        points, views, lengths = self.scene_of(inputs)
        found = self.reconstruct(points, views, lengths, groups, order, repeatable=mode == "predict")
        if mode == "loss":
            return self.losses(found, views)
        return stage1_samples(self, found, views, data_samples) if mode == "predict" else found

    def scene_of(self, inputs: Mapping[str, Tensor | None]) -> tuple[Tensor, SceneViews, Tensor | None]:
        """Clouds ``(B, N, 3)``, photographs, and how many points count.

        Raises:
            DataError: the batch has no photographs, or images that are not made of whole patches.
        """
        points, lengths = points_of(inputs)
        views = views_of(inputs, len(points))
        (height, width), size = views.size, self.image_encoder.patch_size
        if height % size or width % size:
            raise DataError(
                f"photographs of {height} x {width} pixels are not made of whole patches of {size} x {size}: "
                "resize them to multiples of it"
            )
        count = height // size * (width // size)
        if visible_count(count, self.image_mask_ratio) >= count:
            raise DataError(
                f"of the {count} patches in photographs of {height} x {width} pixels, image_mask_ratio="
                f"{self.image_mask_ratio} hides none: use larger photographs"
            )
        return points, views, lengths

    def group(self, points: Tensor, lengths: Tensor | None = None) -> Patches:
        """Groups of clouds ``(B, N, 3)``."""
        return group_patches(points, self.num_groups, self.group_size, self.skip_origin, lengths)

    def reconstruct(
        self,
        points: Tensor,
        views: SceneViews,
        lengths: Tensor | None = None,
        groups: Tensor | None = None,
        order: Tensor | None = None,
        repeatable: bool = False,
    ) -> SceneReconstruction:
        """Hide parts of scenes and predict them; arguments as :meth:`forward`'s."""
        patches = self.group(points, lengths)
        groups = self.draw_groups(patches.centres, repeatable) if groups is None else groups.bool()
        groups = groups.to(points.device)
        if order is None:
            order = self.draw_order(chosen(patches.centres, groups), views, repeatable)
        mask = SceneMask(groups, mask_of_order(order.to(points.device), self.image_mask_ratio))
        encoded, grid = self.encode(points, patches, views.images[:, 0], mask, lengths)
        decoded = self.decoder(
            encoded.image, mask.patches.restore, grid, encoded.points, chosen(patches.centres, groups)
        )
        return SceneReconstruction(
            patches, mask, grid, decoded, self.decoder.points_of(decoded.point_features)
        )

    def image_tokens(self, images: Tensor) -> tuple[Tensor, Tensor, Grid]:
        """Prefix ``(B, P, D)`` and patches ``(B, L, D)`` before the first block, and their grid."""
        encoder = self.image_encoder
        tokens, grid = encoder.embed(images)
        prefix, patches = tokens[:, : encoder.num_prefix], tokens[:, encoder.num_prefix :]
        if encoder.pos_embed is None:
            patches = patches + position_table(grid, encoder.embed_dims).to(patches)
        return prefix, patches + self.image_modality, grid

    def encode(
        self,
        points: Tensor,
        patches: Patches,
        images: Tensor,
        mask: SceneMask,
        lengths: Tensor | None = None,
    ) -> tuple[Encoded, Grid]:
        """Visible parts of clouds and images ``(B, 3, H, W)`` through their own and the shared encoder."""
        prefix, tokens, grid = self.image_tokens(images)
        kept = tokens.gather(1, mask.patches.kept[..., None].expand(-1, -1, tokens.shape[2]))
        image = self.image_encoder.run_blocks(torch.cat([prefix, kept], dim=1), grid)
        image = self.image_encoder.normalise(image)[:, self.image_encoder.num_prefix :]
        image = self.image_projection(image)
        cloud = self.point_encoder(points, patches, ~mask.groups, self.point_modality, lengths)
        shared = self.shared(torch.cat([image, cloud.features], dim=1))
        of_image, of_cloud = shared[:, 1:].split([image.shape[1], cloud.features.shape[1]], dim=1)
        return Encoded(image, cloud, shared, of_image, cloud._replace(features=of_cloud)), grid

    def shared(self, tokens: Tensor) -> Tensor:
        """The shared encoder on ``(B, N, D)``, with the class token in front of the result."""
        first = self.cls_token.to(tokens.dtype).expand(len(tokens), -1, -1)
        return self.shared_encoder(torch.cat([first, tokens], dim=1))

    def draw_groups(self, centres: Tensor, repeatable: bool = False) -> Tensor:
        """Hidden groups ``(B, G)`` for centres ``(B, G, 3)``, by ``point_mask``."""
        batch, groups = centres.shape[:2]
        if self.point_mask == "block":
            seeds = torch.zeros(batch, dtype=torch.long) if repeatable else None
            return block_mask(centres, self.mask_ratio, seeds)
        if repeatable:
            one = random_patch_mask(1, groups, self.mask_ratio, np.random.RandomState(SEED))
            return one.expand(batch, -1)
        return random_patch_mask(batch, groups, self.mask_ratio)

    def draw_order(
        self, hidden: Tensor, views: SceneViews, repeatable: bool = False, noise: Tensor | None = None
    ) -> Tensor:
        """Order of patches ``(B, L)`` by ``image_mask``, from the centres ``(B, H, 3)`` of hidden groups."""
        size = self.image_encoder.patch_size
        grid = (views.size[0] // size, views.size[1] // size)
        count = grid[0] * grid[1]
        if noise is None:
            generator = torch.Generator().manual_seed(SEED) if repeatable else None
            rows = 1 if repeatable else len(hidden)
            noise = torch.rand(rows, count, generator=generator, device="cpu").expand(len(hidden), -1)
        cameras = views.world_to_camera[:, 0], views.intrinsics[:, 0]
        places, seen = project_points(hidden, *cameras, views.size, self.projection)
        indices = patch_indices(places, grid, size, self.projection)
        return patch_order(self.image_mask, touched_patches(indices, seen, count), noise.to(hidden.device))

    def losses(self, found: SceneReconstruction, views: SceneViews) -> dict[str, Tensor]:
        """The losses of a batch, each times its weight."""
        terms = {"pixels": self.pixel_loss(found, views.images[:, 0])}
        if found.points.shape[1]:
            terms["points"] = self.chamfer(found)
            if self.cross_modal is not None:
                target, seen = self.cross_target(found, views)
                predicted = self.decoder.cross_of(found.decoded.point_features).flatten(1, 2)
                terms["cross"] = self.cross_modal.loss(predicted, target, seen)
        return {f"loss_{name}": self.weights[name] * term for name, term in terms.items()}

    def chamfer(self, found: SceneReconstruction) -> Tensor:
        """Chamfer loss of hidden groups, each a cloud of its own."""
        pair = (found.points, found.hidden(found.patches.points))
        return chamfer_loss(*(x.float().flatten(0, 1) for x in pair), norm=POINT_LOSSES[self.point_loss])

    def pixel_loss(self, found: SceneReconstruction, images: Tensor) -> Tensor:
        """Mean squared error of hidden patches."""
        patches = patchify(images, self.image_encoder.patch_size).float()
        target = normalised_patches(patches) if self.norm_pix_loss else patches
        return patch_loss(found.decoded.pixels.float(), target, found.mask.patches.hidden)

    def cross_target(self, found: SceneReconstruction, views: SceneViews) -> tuple[Tensor, Tensor]:
        """What points of hidden groups are to know ``(B, H * k, C)``, and which are seen ``(B, H * k)``."""
        points = found.hidden(found.patches.points + found.patches.centres[:, :, None]).flatten(1, 2)
        cameras = views.world_to_camera[:, 0], views.intrinsics[:, 0]
        places, seen = project_points(points, *cameras, views.size, self.projection)
        images, features = views.images[:, 0], found.decoded.image_features
        return self.cross_modal.sample(images, features, found.grid, places), seen

    def _initialise(self) -> None:
        """As PiMAE: matrices truncated normal, packed projections and the patch kernel Xavier-uniform."""
        packed = {id(m.in_proj) for m in self.modules() if isinstance(m, PointAttention)}
        for module in self.modules():
            if isinstance(module, nn.Linear):
                if id(module) in packed:
                    nn.init.xavier_uniform_(module.weight)
                else:
                    nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(self.image_encoder.patch_embed.proj.weight.data.flatten(1))
        nn.init.normal_(self.decoder.image_mask_token, std=0.02)
        nn.init.trunc_normal_(self.decoder.point_mask_token, std=0.02)
