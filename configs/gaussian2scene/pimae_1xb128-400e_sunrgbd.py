"""PiMAE on SUN RGB-D as released: random masks of photographs, all three losses."""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/datasets/sunrgbd_views.py",
    "../_base_/models/pimae.py",
    "../_base_/schedules/pimae_400e.py",
]
