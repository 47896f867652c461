"""Stage one of Gaussian2Scene on SUN RGB-D, for 3DETR."""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/datasets/sunrgbd_views.py",
    "../_base_/models/gaussian2scene_stage1.py",
    "../_base_/schedules/pimae_400e.py",
]
