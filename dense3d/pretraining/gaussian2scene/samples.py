"""What stage one made of scenes, for the eye: painted photographs and clouds with predicted groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dense3d.layers.pixel_patches import paint
from dense3d.pretraining.gaussian2scene.encoders import chosen
from dense3d.pretraining.gaussian2scene.views import SceneViews
from dense3d.structures import PointDataSample

if TYPE_CHECKING:
    from dense3d.pretraining.gaussian2scene.stage1 import Gaussian2SceneStage1, SceneReconstruction


def stage1_samples(
    model: Gaussian2SceneStage1,
    found: SceneReconstruction,
    views: SceneViews,
    data_samples: list[PointDataSample] | None,
) -> list[PointDataSample]:
    """A sample for each scene.

    Returns:
        Samples with ``image``, ``masked`` and ``reconstruction`` ``(3, H, W)``, normalised as the input and 0
        where hidden; ``visible_points``, ``hidden_points`` (the truth) and ``reconstructed_points``
        ``(n, 3)`` in the frame of the cloud; and ``pixel_error`` and ``point_error``, the scene's own losses,
        with ``error``, their sum.
    """
    patches, groups = found.patches, found.mask.groups
    images, hidden = views.images[:, 0], found.mask.patches.hidden
    size, pixels = model.image_encoder.patch_size, found.decoded.pixels.float()
    masked, painted = paint(images.float(), pixels, hidden, size, model.norm_pix_loss)
    centres = chosen(patches.centres, groups)
    visible = chosen(patches.points + patches.centres[:, :, None], ~groups)
    truth = chosen(patches.points, groups)
    samples = data_samples or [PointDataSample() for _ in images]
    for i, sample in enumerate(samples):
        one = slice(i, i + 1)
        alone = found._replace(
            patches=type(patches)(*(part[one] for part in patches)),
            mask=type(found.mask)(
                groups[one], type(found.mask.patches)(*(p[one] for p in found.mask.patches))
            ),
            decoded=found.decoded._replace(pixels=pixels[one]),
            points=found.points[one],
        )
        middle = centres[i][:, None]
        sample.set_data(
            dict(
                image=images[i],
                masked=masked[i],
                reconstruction=painted[i],
                visible_points=visible[i].flatten(0, 1),
                hidden_points=(truth[i] + middle).flatten(0, 1),
                reconstructed_points=(found.points[i].float() + middle).flatten(0, 1),
                pixel_error=model.pixel_loss(alone, images[one]),
                point_error=_point_error(model, alone),
            )
        )
        sample.error = sample.pixel_error + sample.point_error
    return samples


def _point_error(model: Gaussian2SceneStage1, alone: SceneReconstruction) -> Tensor:
    if not alone.points.shape[1]:
        return torch.zeros((), device=alone.points.device)
    return model.chamfer(alone)
