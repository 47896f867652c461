"""Golden adapter of depth, disparity and flow metrics (system ``depth-metrics``): maps in, figures out.

Checks of whole pipelines are named after their protocol; the prediction is the network's sigmoid output, of
which the config's limits make inverse depth.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from dense3d.evaluation.depth import (
    DEPTH_METRICS,
    PROTOCOLS,
    DepthProtocol,
    Tally,
    compare_depth,
    compare_disparity,
    compare_flow,
    crop_window,
    depth_errors,
    get_protocol,
    mean_over_images,
)
from tests.golden import UnknownCheckError
from tests.golden.checks import Arrays, Run, wanted
from tests.golden.kit import GoldenKit

# beginning of a check's name -> protocol
PIPELINES = {
    "kitti_garg": "kitti-eigen-garg",
    "kitti_improved_gt": "kitti-improved",
    "drivingstereo": "drivingstereo",
    "train_time_validation": "ccnext-training",
}
NAMES = {"EPE": ("avgerr", "L1err"), "rmse": ("rmse",), "D1": ("D1",)}  # ours -> the official ones, stereo


def open_kit(kit: GoldenKit) -> Run:
    """A runner for the limits of the kit's config."""
    options = kit.options
    low, high = options.take("min_depth", 0.1), options.take("max_depth", 100)
    scale = float(options.take("stereo_scale", 5.4))
    median = bool(options.take("median_scaling", False))
    options.neutral("network_size")  # the inputs have it

    def inverse_depth(sigmoid: np.ndarray) -> np.ndarray:
        values = np.float32(1 / high) + np.float32(1 / low - 1 / high) * sigmoid
        return values.reshape(values.shape[-2:])

    def pipeline(protocol: DepthProtocol, inputs: Arrays) -> Arrays:
        pairs = list(_pairs(inputs))
        tallies = [
            compare_depth(inverse_depth(d), gt, protocol, inverse=True, scale=scale).tally for d, gt in pairs
        ]
        per_image = np.array([_values(tally.values()) for tally in tallies])
        pooled = _values(Tally.joined(tallies).values())
        return {"per_image": per_image, "mean": _values(mean_over_images(tallies)), "values": pooled}

    rules: dict[str, Callable[[Arrays], Arrays]] = {
        **{
            check: lambda inputs, name=name: pipeline(get_protocol(name, median_scaling=median), inputs)
            for check, name in PIPELINES.items()
        },
        "errors": lambda inputs: {"values": _values(depth_errors(inputs["gt"], inputs["pred"]).values())},
        "garg_crop": lambda inputs: {"crop": _crops("garg", inputs["sizes"])},
        "eigen_crop": lambda inputs: {"crop": _crops("eigen", inputs["sizes"])},
        "stereo": _stereo,
        "flow": _flow,
    }

    def run(check: dict, inputs: Arrays) -> Arrays:
        name = check["name"]
        fitting = [known for known in rules if re.fullmatch(rf"{known}\d*([_.].*)?", name)]
        if not fitting:
            raise UnknownCheckError(f"no rule for the check {name!r}; known are {', '.join(rules)}")
        found = rules[max(fitting, key=len)](inputs)
        return wanted(check, {key: np.asarray(value) for key, value in found.items()})

    return run


def _pairs(inputs: Arrays):
    """Single maps ``disp_N`` and ``gt_N``, or a batch ``disp`` and ``gt``."""
    if "disp" in inputs:
        yield from ((d, gt.reshape(gt.shape[-2:])) for d, gt in zip(inputs["disp"], inputs["gt"]))
    numbers = [int(name[5:]) for name in inputs if re.fullmatch(r"disp_\d+", name)]
    yield from ((inputs[f"disp_{n}"], inputs[f"gt_{n}"]) for n in sorted(numbers))


def _values(values: dict[str, float]) -> np.ndarray:
    return np.array([values[name] for name in DEPTH_METRICS])


def _crops(name: str, sizes: np.ndarray) -> np.ndarray:
    return np.array([crop_window(name, *size) for size in sizes.tolist()], dtype=np.int32)


def _stereo(inputs: Arrays) -> Arrays:
    pred, protocol = inputs["pred"][:, 0], PROTOCOLS["disparity"]
    tallies = [compare_disparity(p, gt, protocol).regions["all"] for p, gt in zip(pred, inputs["gt"][:, 0])]
    found = _named("batch", mean_over_images(tallies)) | _named("dataset", Tally.joined(tallies).values())
    found["devkit_D1"] = found["dataset_D1"]
    if "gt_double" in inputs:
        pairs = zip(pred, inputs["gt_double"][:, 0])
        spring = [compare_disparity(p, gt, PROTOCOLS["spring"]).regions["all"] for p, gt in pairs]
        found |= _named("spring", Tally.joined(spring).values())
    return found


def _flow(inputs: Arrays) -> Arrays:
    protocol, channels_last = PROTOCOLS["flow"], (np.moveaxis(inputs[n], 1, -1) for n in ("pred", "gt"))
    images = [compare_flow(p, gt, protocol).regions for p, gt in zip(*channels_last)]
    tallies = [regions["all"] for regions in images]
    names = {"EPE": ("EPE",), "L1": ("L1err",), "Fl": ("Fl",)}
    found = _named("batch", mean_over_images(tallies), names)
    found |= _named("dataset", Tally.joined(tallies).values(), names)
    found["devkit_Fl"] = found["dataset_Fl"]
    for region in images[0]:
        found[f"dataset_{region}"] = Tally.joined(regions[region] for regions in images).values()["EPE"]
    return found


def _named(prefix: str, values: dict[str, float], names: dict[str, tuple[str, ...]] = NAMES) -> Arrays:
    """Our values under the official names: ``bad-1`` is ``bad_1.0``."""
    found = {f"{prefix}_{theirs}": values[ours] for ours, all_of in names.items() for theirs in all_of}
    bad = {float(name[4:]): value for name, value in values.items() if name.startswith("bad-")}
    return found | {f"{prefix}_bad_{limit:.1f}": value for limit, value in bad.items()}
