"""Every registry of dense3d: children of mmengine's roots, scope ``dense3d``, filled on first use.

Names in a config resolve like this: ``type="X"`` is dense3d's X, else mmengine's or mmcv's;
``type="mmdet.X"`` and ``type="mmseg.X"`` name the other libraries, and inside such a dict
a name without a prefix is that library's (:func:`dense3d.config.load_config` marks it); ours are
written ``dense3d.X`` there. Modules are imported when a registry is first asked for a name.
"""

from __future__ import annotations

from mmengine import registry as root
from mmengine.registry import Registry

from dense3d.ops import install_mmcv_extension

SCOPE = "dense3d"

# mmcv.ops and mmdet.models import a compiled extension that the mmcv wheel does not carry.
install_mmcv_extension()


def _child(name: str, parent: Registry, *locations: str) -> Registry:
    return Registry(name, parent=parent, scope=SCOPE, locations=list(locations))


MODELS = _child(
    "model",
    root.MODELS,
    "dense3d.layers",
    "dense3d.backbones",
    "dense3d.adapters",
    "dense3d.pretraining",
    "dense3d.detection2d",
    "dense3d.detection3d",
    "dense3d.segmentation",
    "dense3d.engine",
)
DATASETS = _child("dataset", root.DATASETS, "dense3d.datasets.catalog")
DATA_SAMPLERS = _child("data sampler", root.DATA_SAMPLERS, "dense3d.engine")
TRANSFORMS = _child("transform", root.TRANSFORMS, "dense3d.datasets.catalog")
METRICS = _child("metric", root.METRICS, "dense3d.evaluation.catalog")
EVALUATOR = _child("evaluator", root.EVALUATOR)
HOOKS = _child("hook", root.HOOKS, "dense3d.engine")
LOOPS = _child("loop", root.LOOPS, "dense3d.engine")
RUNNERS = _child("runner", root.RUNNERS, "dense3d.engine")
LOG_PROCESSORS = _child("log processor", root.LOG_PROCESSORS, "dense3d.engine")
OPTIMIZERS = _child("optimizer", root.OPTIMIZERS)
OPTIM_WRAPPERS = _child("optimizer wrapper", root.OPTIM_WRAPPERS)
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    "optimizer wrapper constructor", root.OPTIM_WRAPPER_CONSTRUCTORS, "dense3d.engine.layer_decay"
)
WEIGHT_INITIALIZERS = _child("weight initializer", root.WEIGHT_INITIALIZERS)
MODEL_WRAPPERS = _child("model wrapper", root.MODEL_WRAPPERS)
PARAM_SCHEDULERS = _child("parameter scheduler", root.PARAM_SCHEDULERS)
TASK_UTILS = _child("task util", root.TASK_UTILS)
VISUALIZERS = _child("visualizer", root.VISUALIZERS)
VISBACKENDS = _child("visualizer backend", root.VISBACKENDS)
