"""Protocols of depth, disparity and flow by name: what counts, what happens to predictions, what is averaged.

Two numbers can be compared if all of a protocol's fields agree. ``describe()`` says them in one line, which
every table prints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from dense3d.errors import ConfigError, did_you_mean
from dense3d.evaluation.depth.crops import crop_window


def _one_of(field: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{field}={value!r} of a protocol: it is one of {', '.join(known)}")


@dataclass(frozen=True)
class DepthProtocol:
    """How depth maps are compared.

    Args:
        name: of the protocol.
        crop: ``"none"``, ``"garg"`` or ``"eigen"``, of the ground truth's size.
        min_depth, max_depth: ground truth counts strictly between them, in metres; None is no limit.
        clamp: limits that predictions are moved into; either may be None.
        resize: what is resized bilinearly to the ground truth's size: ``"depth"`` or ``"inverse"`` depth.
        clamp_first: clamp also before the resize.
        median_scaling: multiply each prediction by ``median(gt) / median(prediction)`` of the pixels that
            count, for networks that cannot know the scale.
        mean: over ``"images"`` or over all ``"pixels"``.
        use: where it is used.

    Raises:
        ConfigError: a crop, resize or mean that is not known, or limits that are none.
    """

    name: str
    crop: str = "none"
    min_depth: float = 0.0
    max_depth: float | None = None
    clamp: tuple[float | None, float | None] = (1e-3, None)
    resize: str = "depth"
    clamp_first: bool = False
    median_scaling: bool = False
    mean: str = "images"
    use: str = ""

    def __post_init__(self) -> None:
        crop_window(self.crop, 1, 1)
        _one_of("resize", self.resize, ("depth", "inverse"))
        _one_of("mean", self.mean, ("images", "pixels"))
        if not isinstance(self.clamp, Sequence) or len(self.clamp) != 2:
            raise ConfigError(
                f"protocol {self.name}: clamp={self.clamp!r} must be a smallest and a largest depth, "
                "None for no limit"
            )
        low, high = self.clamp
        if (low or 0) < 0 or (high is not None and high <= (low or 0)) or self.min_depth < 0:
            raise ConfigError(f"protocol {self.name}: limits of depth are positive and in order")
        if self.max_depth is not None and self.max_depth <= self.min_depth:
            raise ConfigError(
                f"protocol {self.name}: the largest depth {self.max_depth:g} m is not above the smallest, "
                f"{self.min_depth:g} m"
            )

    def describe(self) -> str:
        """One line of all that changes numbers.

        Example:
            >>> print(PROTOCOLS["kitti-eigen-garg"].describe())
            Garg crop; 0.001 < gt < 80 m; predictions clamped to [0.001, 80] m; no median scaling; depth \
resized; mean over images
        """
        low, high = self.clamp
        limits = f"gt > {self.min_depth:g} m"
        if self.max_depth is not None:
            limits = f"{self.min_depth:g} < gt < {self.max_depth:g} m"
        return "; ".join(
            [
                "no crop" if self.crop == "none" else f"{self.crop.capitalize()} crop",
                limits,
                f"predictions clamped to [{low or 0:g}, {'inf' if high is None else f'{high:g}'}] m"
                + (" before and after the resize" if self.clamp_first else ""),
                "median scaling" if self.median_scaling else "no median scaling",
                f"{'depth' if self.resize == 'depth' else 'inverse depth'} resized",
                f"mean over {self.mean}",
            ]
        )


@dataclass(frozen=True)
class MatchingProtocol:
    """How disparity or flow is compared; ground truth that is not finite does not count.

    Args:
        name: of the protocol.
        task: ``"disparity"`` or ``"flow"``.
        bad: limits in pixels of ``bad-X``, the percentage of pixels whose error is larger.
        max_disparity: ground truth of at least so many pixels does not count; None is no limit.
        doubled: ground truth has twice the size of images and predictions, in pixels of the images; the
            smallest error of each 2 x 2 block counts (Spring).
        mean: over all ``"pixels"`` or over ``"images"``.
        use: where it is used.

    D1 (flow: Fl) is the percentage of pixels whose error is above 3 px and above 5 % of the ground truth.

    Raises:
        ConfigError: a task or mean that is not known.
    """

    name: str
    task: str = "disparity"
    bad: tuple[float, ...] = (0.5, 1, 2, 3, 4)
    max_disparity: float | None = None
    doubled: bool = False
    mean: str = "pixels"
    use: str = ""

    def __post_init__(self) -> None:
        _one_of("task", self.task, ("disparity", "flow"))
        _one_of("mean", self.mean, ("images", "pixels"))

    def describe(self) -> str:
        """One line of all that changes numbers.

        Example:
            >>> print(PROTOCOLS["spring"].describe())
            all finite ground truth; smallest error of 2 x 2 pixels of ground truth; mean over pixels
        """
        limit = "all finite ground truth"
        if self.max_disparity is not None:
            limit = f"ground truth below {self.max_disparity:g} px"
        block = ["smallest error of 2 x 2 pixels of ground truth"] if self.doubled else []
        return "; ".join([limit, *block, f"mean over {self.mean}"])


Protocol = DepthProtocol | MatchingProtocol

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        DepthProtocol(
            "kitti-eigen-garg",
            crop="garg",
            min_depth=1e-3,
            max_depth=80.0,
            clamp=(1e-3, 80.0),
            use="raw LiDAR of the 697 Eigen test images: most papers since 2017, CCNeXt",
        ),
        DepthProtocol(
            "kitti-eigen-garg-inverse",
            crop="garg",
            min_depth=1e-3,
            max_depth=80.0,
            clamp=(1e-3, 80.0),
            resize="inverse",
            use="the same where the network's inverse depth is resized: monodepth2 and what builds on it",
        ),
        DepthProtocol(
            "kitti-eigen",
            crop="eigen",
            min_depth=1e-3,
            max_depth=80.0,
            clamp=(1e-3, 80.0),
            use="the crop of Eigen et al. 2014",
        ),
        DepthProtocol(
            "kitti-improved",
            clamp=(1e-3, 80.0),
            use="improved ground truth (KITTI depth annotation, 652 images): CCNeXt, monodepth2",
        ),
        DepthProtocol(
            "drivingstereo",
            clamp=(1e-3, 120.0),
            clamp_first=True,
            use="DrivingStereo, all test images or a weather split: CCNeXt",
        ),
        DepthProtocol(
            "ccnext-training",
            crop="garg",
            max_depth=80.0,
            clamp=(1e-3, 80.0),
            mean="pixels",
            use="what CCNeXt's training prints: not comparable with papers",
        ),
        DepthProtocol("none", use="all ground truth as it is"),
        MatchingProtocol("disparity", use="any disparity"),
        MatchingProtocol("kitti-2015", use="KITTI 2012 and 2015: D1, pixel-weighted as the devkit's mean"),
        MatchingProtocol("middlebury", mean="images", use="Middlebury: bad-2 of pixels not occluded"),
        MatchingProtocol("eth3d", mean="images", use="ETH3D two-view: bad-1 of pixels not occluded"),
        MatchingProtocol("sceneflow", use="SceneFlow: EPE of all pixels, CroCo"),
        MatchingProtocol(
            "sceneflow-192", max_disparity=192.0, use="SceneFlow as cost-volume networks do, below 192 px"
        ),
        MatchingProtocol("spring", doubled=True, use="Spring stereo: bad-1"),
        MatchingProtocol("flow", "flow", (0.5, 1, 3, 5), use="any optical flow, KITTI's Fl, Sintel's EPE"),
        MatchingProtocol("spring-flow", "flow", (0.5, 1, 3, 5), doubled=True, use="Spring flow: bad-1"),
    )
}


def get_protocol(name: str | Protocol, **changes: Any) -> Protocol:
    """A protocol by name, with fields that differ; its name then says which do.

    Args:
        name: a key of :data:`PROTOCOLS`, or a protocol.
        changes: fields that get another value; None leaves one as it is.

    Raises:
        ConfigError: a name or field that is not known, or a value that makes no sense.

    Example:
        >>> get_protocol("kitti-eigen-garg", median_scaling=True).name
        'kitti-eigen-garg (changed: median_scaling=True)'
    """
    if isinstance(name, str) and name not in PROTOCOLS:
        raise ConfigError(
            f"there is no protocol {name!r}{did_you_mean(name, PROTOCOLS)}; known are {', '.join(PROTOCOLS)}"
        )
    protocol = PROTOCOLS[name] if isinstance(name, str) else name
    known = [field.name for field in fields(protocol) if field.name not in ("name", "use", "task")]
    for field in changes:
        if field not in known:
            raise ConfigError(
                f"protocol {protocol.name} has no {field!r}{did_you_mean(field, known)}; it has "
                f"{', '.join(known)}"
            )
    changed = {k: v for k, v in changes.items() if v is not None and v != getattr(protocol, k)}
    if not changed:
        return protocol
    words = ", ".join(f"{key}={value}" for key, value in changed.items())
    return replace(protocol, name=f"{protocol.name} (changed: {words})", **changed)
