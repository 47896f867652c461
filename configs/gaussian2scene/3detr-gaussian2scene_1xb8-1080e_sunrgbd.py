"""3DETR on SUN RGB-D from the encoders of Gaussian2Scene: three layers of clouds, three shared ones.

As PiMAE's transfer: everything else starts fresh, and the encoder learns at half the rate.
"""

_base_ = ["../threedetr/3detr_1xb8-1080e_sunrgbd.py"]

pretrained = "work_dirs/gaussian2scene-stage2_1xb8-100e_sunrgbd/epoch_100.pth"
model = dict(
    encoder=dict(num_layers=6, init_cfg=dict(type="Pretrained", checkpoint=pretrained)),
)
optim_wrapper = dict(
    optimizer=dict(lr=7e-4),
    paramwise_cfg=dict(custom_keys={"encoder.": dict(lr_mult=0.5)}),
)
