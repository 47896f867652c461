"""Timings of dense3d next to its peers, in one process and in turns: ``dense3d benchmark SUITE``.

A suite is a module with ``CASES``, a list of :class:`dense3d.benchmarks.timing.Case` or, in the suite
``models``, of :class:`dense3d.benchmarks.models.ModelCase`; the suites ``transfer-function`` and ``stereo``
measure quality and have cases of their own.
"""

from __future__ import annotations

import importlib

from dense3d.errors import ConfigError, did_you_mean

# name -> module with CASES
SUITES: dict[str, str] = {
    "backbones": "dense3d.benchmarks.backbones",
    "boxes3d-eval": "dense3d.benchmarks.boxes3d_eval",
    "depth-metrics": "dense3d.benchmarks.depth_metrics",
    "kitti-eval": "dense3d.benchmarks.kitti_eval",
    "models": "dense3d.benchmarks.models",
    "ops": "dense3d.benchmarks.ops",
    "panoptic-quality": "dense3d.benchmarks.panoptic_quality",
    "pointops": "dense3d.benchmarks.pointops",
    "rasterize": "dense3d.benchmarks.rasterize",
    "scenes": "dense3d.benchmarks.scenes",
    "stereo": "dense3d.benchmarks.stereo",
    "transfer-function": "dense3d.benchmarks.transfer_function",
    "volumes": "dense3d.benchmarks.volumes",
}


def load_cases(suite: str, only: list[str] | None = None) -> list:
    """Cases of a suite, or those of the names in ``only``.

    Raises:
        ConfigError: there is no such suite, or no case of that name in it.
    """
    if suite not in SUITES:
        hint = did_you_mean(suite, SUITES) or f"; there are: {', '.join(SUITES)}"
        raise ConfigError(f"no benchmark suite is named {suite!r}{hint}")
    cases = importlib.import_module(SUITES[suite]).CASES
    names = {case.name for case in cases}
    for name in only or []:
        if name not in names:
            hint = did_you_mean(name, names) or f"; there are: {', '.join(sorted(names))}"
            raise ConfigError(f"the suite {suite!r} has no case named {name!r}{hint}")
    return [case for case in cases if not only or case.name in only]
