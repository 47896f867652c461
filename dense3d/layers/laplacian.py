"""Dense regression with a learned uncertainty: the likelihood of a Laplacian whose scale is predicted too.

A network gives a value and one raw number ``c`` a pixel. The losses are negative log-likelihoods of CroCo v2
(Weinzaepfel et al., ICCV 2023, arXiv 2211.10408, sec. 3.2), without the constant log 2; they differ in how
``c`` becomes the scale ``s`` in pixels. A large ``c`` means a large scale, that is little certainty.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from dense3d.errors import ConfigError, DataError
from dense3d.layers.assignment import mean_number
from dense3d.registry import MODELS


class DenseLoss(nn.Module):
    """What the losses share: which pixels count, and the mean over them.

    A pixel counts where all channels of the ground truth are finite and, with ``max_gtnorm``, their norm is
    below it: the signed value for one channel, the Euclidean length for more. The mean is over the counting
    pixels of the batches of all processes; a batch without any gives 0.

    Args:
        max_gtnorm: see above; None for no limit.

    Raises:
        ConfigError: ``max_gtnorm`` is not positive.
    """

    with_confidence = True

    def __init__(self, max_gtnorm: float | None = None) -> None:
        super().__init__()
        if max_gtnorm is not None and not max_gtnorm > 0:
            raise ConfigError(f"max_gtnorm={max_gtnorm}: give a positive limit in pixels, or None")
        self.max_gtnorm = max_gtnorm

    def valid(self, target: Tensor) -> Tensor:
        """Pixels that count, ``(B, H, W)`` bool, of ground truth ``(B, C, H, W)``."""
        valid = target.isfinite().all(dim=1)
        if self.max_gtnorm is not None:
            norm = target[:, 0] if target.shape[1] == 1 else target.square().sum(dim=1).sqrt()
            valid = valid & (norm < self.max_gtnorm)
        return valid

    def forward(self, prediction: Tensor, target: Tensor, raw: Tensor | None = None) -> Tensor:
        """The loss.

        Args:
            prediction: ``(B, C, H, W)`` in pixels.
            target: the same; invalid is infinite.
            raw: raw confidence ``(B, 1, H, W)`` where the loss has one.

        Returns:
            A scalar, in float32.

        Raises:
            DataError: shapes differ.
        """
        if prediction.shape != target.shape:
            raise DataError(
                f"ground truth of shape {tuple(target.shape)} for a prediction of {tuple(prediction.shape)}"
            )
        valid = self.valid(target)
        known = torch.where(valid[:, None], target, 0).float()
        error = (prediction.float() - known).abs()  # (B, C, H, W)
        per_pixel = self.per_pixel(error, None if raw is None else raw.float()[:, 0])
        count = mean_number(valid.sum().item(), prediction.device)
        return torch.where(valid, per_pixel, 0).sum() / count

    def per_pixel(self, error: Tensor, raw: Tensor | None) -> Tensor:
        """Loss of each pixel ``(B, H, W)`` from absolute errors ``(B, C, H, W)`` and ``raw (B, H, W)``."""
        raise NotImplementedError


@MODELS.register_module()
class DenseL1Loss(DenseLoss):
    """Mean absolute error over pixels and channels; the network gives no confidence.

    Example:
        >>> DenseL1Loss()(torch.zeros(1, 1, 1, 2), torch.tensor([[[[3.0, float("inf")]]]])).item()
        3.0
    """

    with_confidence = False

    def per_pixel(self, error: Tensor, raw: Tensor | None) -> Tensor:
        """See :class:`DenseLoss`."""
        return error.mean(dim=1)


@MODELS.register_module()
class LaplacianLoss(DenseLoss):
    """``e / s + log(s)`` with ``s = exp(c)`` and ``e`` the sum of absolute errors over channels.

    Shape:
        prediction and target ``(B, C, H, W)``, raw confidence ``(B, 1, H, W)``, to a scalar.

    Example:
        >>> loss = LaplacianLoss()
        >>> value, raw = torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
        >>> loss(value, value + 2, raw).item(), loss.confidence(raw).item()
        (2.0, 0.5)
        >>> round(loss.deviation(raw).item(), 4)
        1.4142
    """

    slope = 1.0

    def log_scale(self, raw: Tensor) -> Tensor:
        """Logarithm of the scale in pixels."""
        return raw

    def per_pixel(self, error: Tensor, raw: Tensor | None) -> Tensor:
        """See :class:`DenseLoss`."""
        if raw is None:
            raise DataError(f"{type(self).__name__} needs the raw confidence beside the prediction")
        log_scale = self.log_scale(raw)
        return error.sum(dim=1) / log_scale.exp() + log_scale

    def deviation(self, raw: Tensor) -> Tensor:
        """Standard deviation in pixels, of each channel: ``sqrt(2)`` times the scale."""
        return math.sqrt(2) * self.log_scale(raw.float()).exp()

    def confidence(self, raw: Tensor) -> Tensor:
        """A number in (0, 1), 1 is certain: ``sigmoid(-c / slope)``, which falls as the scale grows.

        Where the scale is bounded, it is the place between the bounds, counted from the largest scale: of the
        scale itself for :class:`LaplacianLossBounded`, of its logarithm for :class:`LaplacianLossBounded2`.
        Unbounded, it is ``1 / (1 + s)``.
        """
        return torch.sigmoid(-raw.float() / self.slope)


@MODELS.register_module()
class LaplacianLossBounded(LaplacianLoss):
    """:class:`LaplacianLoss` with scales in ``(a, b)``: ``s = (b - a) sigmoid(c) + a``; default of flow.

    Args:
        max_gtnorm: see :class:`DenseLoss`.
        a, b: bounds of the scale in pixels.

    Raises:
        ConfigError: not ``0 < a < b``.

    Example:
        >>> LaplacianLossBounded(a=1.0, b=3.0).log_scale(torch.zeros(1)).exp().item()
        2.0
    """

    def __init__(self, max_gtnorm: float | None = 10000.0, a: float = 0.25, b: float = 4.0) -> None:
        super().__init__(max_gtnorm)
        if not 0 < a < b:
            raise ConfigError(f"a={a} and b={b} of LaplacianLossBounded: scales need 0 < a < b")
        self.a, self.b = a, b

    def log_scale(self, raw: Tensor) -> Tensor:
        """See :class:`LaplacianLoss`."""
        return ((self.b - self.a) * raw.sigmoid() + self.a).log()


@MODELS.register_module()
class LaplacianLossBounded2(LaplacianLoss):
    """:class:`LaplacianLoss` with scales in ``(exp(-a), exp(a))``; default of stereo.

    ``log(s) = 2 a (sigmoid(c / b) - 1/2)``.

    Args:
        max_gtnorm: see :class:`DenseLoss`.
        a: largest logarithm of the scale.
        b: raw confidence is divided by it.

    Raises:
        ConfigError: ``a`` or ``b`` is not positive.

    Example:
        >>> loss = LaplacianLossBounded2()
        >>> [round(loss.log_scale(torch.tensor(c)).item(), 3) for c in (-1e3, 0.0, 1e3)]
        [-3.0, 0.0, 3.0]
    """

    def __init__(self, max_gtnorm: float | None = None, a: float = 3.0, b: float = 3.0) -> None:
        super().__init__(max_gtnorm)
        if not (a > 0 and b > 0):
            raise ConfigError(f"a={a} and b={b} of LaplacianLossBounded2 must be positive")
        self.a, self.b, self.slope = a, b, b

    def log_scale(self, raw: Tensor) -> Tensor:
        """See :class:`LaplacianLoss`."""
        return 2 * self.a * (torch.sigmoid(raw / self.b) - 0.5)
