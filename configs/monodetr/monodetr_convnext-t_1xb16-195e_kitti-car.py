"""MonoDETR on KITTI's cars with a ConvNeXt-T of timm, as an example of another backbone.

Every backbone with maps of strides 8, 16 and 32 goes here; the config never repeats its channels.
"""

_base_ = ["./monodetr_r50_1xb16-195e_kitti-car.py"]

model = dict(
    backbone=dict(
        _delete_=True,
        type="TimmBackbone",
        model_name="convnext_tiny.fb_in1k",
        pretrained=True,
        out_strides=(8, 16, 32),
    )
)
