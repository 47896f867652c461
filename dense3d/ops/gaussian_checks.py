"""What the rasterisation of Gaussians asks of its input; each error names the argument and the remedy."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from dense3d.errors import ConfigError, DataError

SHAPES = {"means": (3,), "quats": (4,), "scales": (3,), "opacities": (), "covars": (3, 3)}
LARGEST_SCALE = 1e15  # its square has to be a number of float32
RIGID_TOLERANCE = 0.04  # of R R^T, for a stretch by 0.02
LARGEST_ASYMMETRY = 1e-3  # of the largest value of a covariance
UNITS = {
    "quats": "wxyz",
    "scales": "standard deviations, after exp",
    "opacities": "after the sigmoid",
    "covars": "in the world",
}


# Arguments of gsplat.rasterization that are not taken: the value that changes nothing, and what to do.
ELSEWHERE = {
    "packed": (False, "results have a row for each camera and Gaussian"),
    "sparse_grad": (False, "gradients are dense"),
    "absgrad": (False, "take the gradient of info.means2d, and the threshold that goes with it, 0.0002"),
    "segmented": (False, "all cameras are sorted at once"),
    "distributed": (False, "render in each process what it holds"),
    "camera_model": ("pinhole", "undistort photographs first"),
    "with_ut": (False, "undistort photographs first"),
    "with_eval3d": (False, "Gaussians are projected first (EWA)"),
    "radial_coeffs": (None, "undistort photographs first"),
    "tangential_coeffs": (None, "undistort photographs first"),
    "thin_prism_coeffs": (None, "undistort photographs first"),
    "ftheta_coeffs": (None, "undistort photographs first"),
    "rolling_shutter": (None, "only global shutters are rendered"),
    "viewmats_rs": (None, "only global shutters are rendered"),
    "channel_chunk": (None, "there is no bound on the number of channels"),
    "near_plane": (None, "it is called near here"),
    "far_plane": (None, "it is called far here"),
}


def check_no_others(others: Mapping[str, object]) -> None:
    """Arguments that gsplat takes have the value at which they do nothing.

    Raises:
        ConfigError: one has another value; the message names it and what to do.
        TypeError: gsplat has none of that name either.
    """
    for name, value in others.items():
        if name not in ELSEWHERE:
            raise TypeError(f"rasterize_gaussians() got an unexpected keyword argument {name!r}")
        neutral, remedy = ELSEWHERE[name]
        if value is not neutral and value != neutral:
            raise ConfigError(f"{name}={value!r} of gsplat is not supported here: {remedy}")


def check_gaussians(
    means: Tensor,
    quats: Tensor | None,
    scales: Tensor | None,
    opacities: Tensor | None,
    covars: Tensor | None,
) -> None:
    """Shapes and values of N Gaussians.

    Raises:
        DataError: a shape or a type does not fit, a value is not finite, a scale is negative, a quaternion is
            zero, a covariance is not symmetric, an opacity is not in 0 .. 1, devices differ, or neither
            covariances nor quaternions and scales are given.
    """
    given = dict(means=means, quats=quats, scales=scales, opacities=opacities, covars=covars)
    if covars is not None and (quats is not None or scales is not None):
        raise DataError("covars take the place of quats and scales: give None for those two")
    if covars is None and (quats is None or scales is None):
        raise DataError("Gaussians need quats and scales, or covars")
    check_devices(**given)
    for name, tensor in given.items():
        if tensor is not None:
            _check_shape(name, tensor, (len(means), *SHAPES[name]))
            check_finite(name, tensor)
    if scales is not None and scales.numel():
        low, high = (float(value) for value in scales.detach().aminmax())
        if low < 0 or high > LARGEST_SCALE:
            raise DataError(
                f"scales must lie in 0 .. {LARGEST_SCALE:g}, but reach from {low:.3g} to {high:.3g}: they "
                "are standard deviations, the exp of logarithmic scales"
            )
    if quats is not None and len(quats):
        zero = (quats == 0).all(-1)
        if zero.any():
            raise DataError(
                f"quats[{int(zero.nonzero()[0])}] is zero, which is no rotation: the identity is (1, 0, 0, 0)"
            )
    if covars is not None and covars.numel():
        values = covars.detach()
        asymmetry, largest = (part.abs().amax((1, 2)) for part in (values - values.mT, values))
        wrong = (asymmetry > LARGEST_ASYMMETRY * largest) | (values.diagonal(dim1=1, dim2=2) < 0).any(-1)
        if wrong.any():
            raise DataError(
                f"covars[{int(wrong.nonzero()[0])}] is not a covariance: it is not symmetric, or has a "
                "negative variance; of a factor L it is L @ L.mT"
            )
    if opacities is not None and opacities.numel():
        low, high = (float(value) for value in opacities.detach().aminmax())
        if low < 0 or high > 1:
            raise DataError(
                f"opacities must lie in 0 .. 1, but reach from {low:.3g} to {high:.3g}: they are taken after "
                "the sigmoid"
            )


def _check_shape(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    unit = f" ({UNITS[name]})" if name in UNITS else ""
    if tuple(tensor.shape) != shape:
        expected = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
        raise DataError(f"{name} must be ({expected}){unit}, not {tuple(tensor.shape)}")
    if not tensor.is_floating_point():
        raise DataError(f"{name} must be of floating point{unit}, not {tensor.dtype}")


def check_devices(means: Tensor, **others: Tensor | None) -> None:
    """All tensors lie where the means do.

    Raises:
        DataError: one does not.
    """
    for name, tensor in others.items():
        if tensor is not None and tensor.device != means.device:
            raise DataError(f"{name} are on {tensor.device}, but means on {means.device}: use .to()")


def check_finite(name: str, tensor: Tensor) -> None:
    """No NaN and no infinity.

    Raises:
        DataError: there is one; the message says how many Gaussians have one and which is the first.
    """
    if torch.isfinite(tensor.detach().sum()):
        return  # what is not finite does not leave the sum finite
    broken = ~torch.isfinite(tensor.detach())
    if broken.any():
        first = ", ".join(str(int(i)) for i in broken.nonzero()[0])
        raise DataError(
            f"{name} hold {int(broken.sum())} values that are NaN or infinite, the first is {name}[{first}]: "
            "drop them first"
        )


def check_cameras(viewmats: Tensor, Ks: Tensor, width: int, height: int) -> None:
    """Poses, intrinsics and the size of pictures.

    Raises:
        DataError: a shape does not fit, a value is not finite, a pose is no rigid motion or mirrors, or
            intrinsics have a skew.
        ConfigError: the size is not positive.
    """
    for name, size in (("width", width), ("height", height)):
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ConfigError(f"{name} must be a positive whole number of pixels, not {size!r}")
    if viewmats.ndim != 3 or viewmats.shape[1:] != (4, 4):
        raise DataError(
            f"viewmats must be (cameras, 4, 4) from world to camera, not {tuple(viewmats.shape)}: one camera "
            "is viewmats[None]"
        )
    if Ks.shape != (len(viewmats), 3, 3):
        raise DataError(f"Ks must be ({len(viewmats)}, 3, 3), one a camera, not {tuple(Ks.shape)}")
    check_finite("viewmats", viewmats)
    check_finite("Ks", Ks)
    if not len(viewmats):
        return
    last_row = viewmats.new_tensor([0.0, 0, 0, 1])
    if not torch.allclose(viewmats.detach()[:, 3], last_row, atol=1e-5):
        raise DataError("viewmats must have the last row 0 0 0 1: row vectors need .mT first")
    _check_rotations(viewmats.detach()[:, :3, :3].double())
    intrinsics = Ks.detach()
    if (intrinsics[:, [0, 1], [0, 1]] <= 0).any():
        raise DataError("Ks must have positive focal lengths, in pixels, at [0, 0] and [1, 1]")
    rest = intrinsics[:, [0, 1, 2, 2, 2], [1, 0, 0, 1, 2]]
    if not torch.allclose(rest, rest.new_tensor([0.0, 0, 0, 0, 1]), atol=1e-5):
        raise DataError("Ks must be [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]: a skew is not supported")


def _check_rotations(rotations: Tensor) -> None:
    """``(C, 3, 3)`` of the poses."""
    determinants = torch.linalg.det(rotations)
    if (determinants.abs() < 1e-12).any():
        raise DataError("viewmats hold a pose that cannot be inverted: its rotation is singular")
    if (determinants < 0).any():
        raise DataError(
            f"viewmats[{int((determinants < 0).nonzero()[0])}] mirrors (its determinant is negative): its "
            "axes are left-handed, as Unity's (x right, y up, z forward); those of OpenCV (x right, y down, "
            "z forward) are right-handed: negate its second row"
        )
    away = (rotations @ rotations.mT - torch.eye(3).to(rotations)).abs().amax((1, 2))
    if (away > RIGID_TOLERANCE).any():
        first = int((away > RIGID_TOLERANCE).nonzero()[0])
        sizes = ", ".join(f"{float(size):.3g}" for size in torch.linalg.svdvals(rotations[first]))
        raise DataError(
            f"viewmats[{first}] is no rigid motion: it stretches by {sizes}; scale the Gaussians instead, "
            "and make poses that are fitted of a turn and a shift"
        )


def check_colors(colors: Tensor, sh_degree: int | None, cameras: int, number: int) -> None:
    """Channels ``(N, D)`` or ``(C, N, D)``, or coefficients ``(N, K, 3)`` or ``(C, N, K, 3)``.

    Raises:
        DataError: another shape, too few coefficients, or a value that is not finite.
        ConfigError: a degree that is not 0 .. 3.
    """
    if sh_degree is None:
        fits = tuple(colors.shape[:-1]) in ((number,), (cameras, number)) and colors.ndim > 1
        wanted = f"({number}, channels) or ({cameras}, {number}, channels)"
    else:
        check_degree(sh_degree)
        needed = (sh_degree + 1) ** 2
        fits = colors.ndim > 2 and tuple(colors.shape[:-2]) in ((number,), (cameras, number))
        fits = fits and colors.shape[-1] == 3 and colors.shape[-2] >= needed
        wanted = f"({number}, {needed} or more, 3) for sh_degree {sh_degree}"
    if not fits:
        raise DataError(f"colors must be {wanted}, not {tuple(colors.shape)}")
    if not colors.is_floating_point():
        raise DataError(f"colors must be of floating point, not {colors.dtype}")
    check_finite("colors", colors)


def check_degree(degree: int) -> None:
    """Spherical harmonics reach to degree 3.

    Raises:
        ConfigError: another degree.
    """
    if isinstance(degree, bool) or degree not in (0, 1, 2, 3):
        raise ConfigError(f"sh_degree must be 0, 1, 2 or 3, not {degree!r}")


def check_backgrounds(backgrounds: Tensor, cameras: int, channels: int) -> None:
    """``(C, D)`` or ``(D,)``.

    Raises:
        DataError: another shape, or a value that is not finite.
    """
    if tuple(backgrounds.shape) not in ((channels,), (cameras, channels)):
        raise DataError(
            f"backgrounds must be ({cameras}, {channels}) or ({channels},), one value a colour channel, not "
            f"{tuple(backgrounds.shape)}"
        )
    check_finite("backgrounds", backgrounds)
