"""Self-supervised losses of a rectified pair: each image is painted from the other one.

Of monodepth2 (Godard et al., ICCV 2019) with the changes of CCNeXt: both images are targets, every scale
has the same smoothness weight, and the targets are the images that the network sees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from kornia.losses import inverse_depth_smoothness_loss
from torch import Tensor, nn

from dense3d.errors import ConfigError, DataError
from dense3d.stereo.ccnext.geometry import hidden_pixels, scaled_inverse_depth, warp_along_rows

_C1, _C2 = 0.01**2, 0.03**2


def ssim_distance(first: Tensor, second: Tensor) -> Tensor:
    """``(1 - SSIM) / 2`` in [0, 1], for each pixel and channel.

    Means are those of 3x3 boxes with reflected borders, and variances are biased; kornia's SSIM weighs its
    window by a Gaussian, which gives other numbers.

    Shape:
        two ``(B, C, H, W)`` -> the same.

    Example:
        >>> image = torch.rand(1, 3, 4, 5)
        >>> bool(ssim_distance(image, image).max() < 1e-3)
        True
    """
    x, y = (F.pad(image, (1, 1, 1, 1), mode="reflect") for image in (first, second))
    mean_x, mean_y = _box_mean(x), _box_mean(y)
    variance_x = _box_mean(x * x) - mean_x**2
    variance_y = _box_mean(y * y) - mean_y**2
    covariance = _box_mean(x * y) - mean_x * mean_y
    above = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    below = (mean_x**2 + mean_y**2 + _C1) * (variance_x + variance_y + _C2)
    return ((1 - above / below) / 2).clamp(0, 1)


def _box_mean(x: Tensor) -> Tensor:
    """Means of 3x3 boxes ``(B, C, H, W)`` -> ``(B, C, H - 2, W - 2)``: a convolution is twice as fast as
    average pooling on a CPU, forward and backward."""
    return F.conv2d(x, x.new_full((x.shape[1], 1, 3, 3), 1 / 9), groups=x.shape[1])


def photometric_error(painted: Tensor, image: Tensor, ssim_weight: float = 0.85) -> Tensor:
    """Weighted mean of :func:`ssim_distance` and absolute difference: ``(B, 3, H, W)`` -> ``(B, 1, H,
    W)``."""
    difference = (painted - image).abs().mean(1, keepdim=True)
    if ssim_weight == 0:
        return difference
    structure = ssim_distance(painted, image).mean(1, keepdim=True)
    return ssim_weight * structure + (1 - ssim_weight) * difference


def edge_aware_smoothness(inverse_depth: Tensor, image: Tensor) -> Tensor:
    """Mean of ``|dx d| exp(-|dx I|)`` and the same along y; kornia's, which computes the same.

    Args:
        inverse_depth: ``(B, 1, H, W)``.
        image: ``(B, 3, H, W)``.
    """
    return inverse_depth_smoothness_loss(inverse_depth, image)


@dataclass(frozen=True)
class View:
    """One image of the pair as a target.

    Attributes:
        sigmoids: scale -> the network's map ``(B, 1, H / 2^s, W / 2^s)``.
        images: scale -> the image ``(B, 3, H / 2^s, W / 2^s)``, scale 0 always.
        other: the other image ``(B, 3, H, W)``.
        shift, offset: of :func:`warp_along_rows`.
    """

    sigmoids: Mapping[int, Tensor]
    images: Mapping[int, Tensor]
    other: Tensor
    shift: Tensor
    offset: Tensor | float = 0.0


class SelfSupervisedStereoLoss(nn.Module):
    """Reprojection with auto-masking, and smoothness, over scales and over both images.

    Args:
        min_depth, max_depth: of the network's maps, in units in which the cameras are ``nominal_baseline``
            apart.
        smooth_weight: of the smoothness, the same at every scale.
        ssim_weight: share of the structural part of the photometric error; 0 leaves it out.
        auto_mask: pixels that the other image matches better as it is, unmoved, do not count with their
            reprojection.
        noise: deviation of what is added to the unmoved error, so that ties are broken at random.
        exact_sampling: see :func:`dense3d.stereo.ccnext.warp_along_rows`.
        image_levels: l of the sizes (H / 2^l, W / 2^l) at which every scale's reprojection is compared; the
            official network compares at full size alone. Where a map starts many pixels beside the truth,
            as from random weights, an error in smaller images still says in which direction it lies.
        skip_hidden: pixels that the other camera does not see, as far as the predicted depth says, do not
            count with their reprojection, see :func:`hidden_pixels`; the official network counts all.

    Raises:
        ConfigError: depths are not 0 < min < max, or a weight or a level is out of range.
    """

    def __init__(
        self,
        min_depth: float = 0.1,
        max_depth: float = 100.0,
        smooth_weight: float = 1e-3,
        ssim_weight: float = 0.85,
        auto_mask: bool = True,
        noise: float = 1e-5,
        exact_sampling: bool = False,
        image_levels: Sequence[int] = (0,),
        skip_hidden: bool = False,
    ) -> None:
        super().__init__()
        if not 0 < min_depth < max_depth:
            raise ConfigError(f"min_depth={min_depth} and max_depth={max_depth}: it takes 0 < min < max")
        if not 0 <= ssim_weight <= 1 or smooth_weight < 0 or noise < 0:
            raise ConfigError(
                f"ssim_weight={ssim_weight} lies in [0, 1]; smooth_weight={smooth_weight} and noise={noise} "
                "are not negative"
            )
        self.min_depth, self.max_depth = min_depth, max_depth
        self.smooth_weight, self.ssim_weight = smooth_weight, ssim_weight
        if not image_levels or min(image_levels) < 0 or len(set(image_levels)) != len(image_levels):
            raise ConfigError(f"image_levels={tuple(image_levels)} must be some of 0, 1, 2, ..., each once")
        self.auto_mask, self.noise, self.exact_sampling = auto_mask, noise, exact_sampling
        self.image_levels, self.skip_hidden = tuple(image_levels), skip_hidden

    def forward(self, views: Sequence[View], generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Named scalars: ``loss_photometric_s`` and ``loss_smooth_s`` of every scale, which sum up to the
        loss.

        ``painted_s``, the share of pixels that count with their reprojection, is for the log.

        Args:
            views: one or both images.
            generator: of the noise; torch's own by default.
        """
        with torch.autocast(views[0].other.device.type, enabled=False):
            pyramids = [[halved(view, level) for level in self.image_levels] for view in views]
            unmoved = [[self.unmoved_error(small, generator) for small in pyramid] for pyramid in pyramids]
            found: dict[str, Tensor] = {}
            scales = list(views[0].sigmoids)
            parts = len(scales) * len(views)
            for scale in scales:
                terms = [
                    self.photometric_term(small, scale, error)
                    for pyramid, errors in zip(pyramids, unmoved)
                    for small, error in zip(pyramid, errors)
                ]
                photometric, painted = (torch.stack(t).sum() / len(self.image_levels) for t in zip(*terms))
                smooth = torch.stack([self.smoothness_term(view, scale) for view in views]).sum()
                found[f"loss_photometric_{scale}"] = photometric / parts
                found[f"loss_smooth_{scale}"] = self.smooth_weight * smooth / parts
                found[f"painted_{scale}"] = painted / len(views)
        return found

    def unmoved_error(self, view: View, generator: torch.Generator | None = None) -> Tensor | None:
        """Error ``(B, 1, H, W)`` of the other image as it is, with the noise; None without auto-masking."""
        if not self.auto_mask:
            return None
        error = photometric_error(view.other.float(), view.images[0].float(), self.ssim_weight)
        noise = torch.randn(error.shape, generator=generator, device=error.device, dtype=error.dtype)
        return error + self.noise * noise

    def photometric_term(self, view: View, scale: int, unmoved: Tensor | None) -> tuple[Tensor, Tensor]:
        """Photometric error of one image and scale, and the share of painted pixels."""
        error = photometric_error(self.painted(view, scale), view.images[0].float(), self.ssim_weight)
        counts = torch.ones_like(error, dtype=torch.bool)
        if unmoved is not None:
            counts = error < unmoved
            error = torch.minimum(error, unmoved)
        if self.skip_hidden:
            depth = self.depth(view.sigmoids[scale].detach(), error.shape[-2:])
            seen = ~hidden_pixels(depth, view.shift, view.offset)
            error, counts = error * seen, counts & seen
        return error.mean(), counts.float().mean()

    def smoothness_term(self, view: View, scale: int) -> Tensor:
        """Smoothness of one image and scale, not weighted."""
        sigmoid = view.sigmoids[scale].float()
        relative = sigmoid / (sigmoid.mean((2, 3), keepdim=True) + 1e-7)
        return edge_aware_smoothness(relative, view.images[scale].float())

    def painted(self, view: View, scale: int) -> Tensor:
        """The image painted from the other one by the depth of a scale, of their size ``(B, 3, H, W)``."""
        depth = self.depth(view.sigmoids[scale], view.other.shape[-2:])
        return warp_along_rows(view.other.float(), depth, view.shift, view.offset, self.exact_sampling)

    def depth(self, sigmoid: Tensor, size: Sequence[int]) -> Tensor:
        """Depth of a map, which is resized first; ``(B, 1, h, w)`` -> ``(B, 1, *size)``."""
        sigmoid = sigmoid.float()
        if tuple(sigmoid.shape[-2:]) != tuple(size):
            smaller = sigmoid.shape[-1] > size[1]
            sigmoid = F.interpolate(
                sigmoid, tuple(size), mode="bilinear", align_corners=False, antialias=smaller
            )
        return 1 / scaled_inverse_depth(sigmoid, self.min_depth, self.max_depth)


def halved(view: View, level: int) -> View:
    """The pair at ``1 / 2^level`` of its size, with the maps as they are: means of blocks of pixels.

    Raises:
        DataError: nothing is left.
    """
    if level == 0:
        return view
    factor = 2**level
    if min(view.other.shape[-2:]) < 2 * factor:
        raise DataError(
            f"images of {view.other.shape[-1]} x {view.other.shape[-2]} pixels are too small for "
            f"image_levels with {level}"
        )
    image, other = (F.avg_pool2d(x.float(), factor) for x in (view.images[0], view.other))
    return View(view.sigmoids, {0: image}, other, view.shift / factor, view.offset / factor)
