"""UPerNet for crops and inference windows of 640."""

_base_ = "./upernet.py"

window = (640, 640)
model = dict(
    data_preprocessor=dict(size=window),
    test_cfg=dict(crop_size=window, stride=(426, 426)),
)
