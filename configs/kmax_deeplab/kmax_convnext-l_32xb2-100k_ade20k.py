"""kMaX-DeepLab with ConvNeXt-L on ADE20K panoptic: PQ 50.0 in the official code.

Weights: ``convnext_large_22k_1k_384.pth`` of the official ConvNeXt repository, put into ``checkpoints/``.
"""

_base_ = ["./kmax_r50_32xb2-100k_ade20k.py"]

model = dict(
    backbone=dict(
        _delete_=True,
        type="dense3d.KMaXConvNeXt",
        arch="large",
        drop_path_rate=0.7,
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/convnext_large_22k_1k_384.pth"),
    ),
)
# ConvNeXt's norms stand before the down-sampling and after the stem's convolution.
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            "downsample.1": dict(_delete_=True),
            "downsample.0": dict(decay_mult=0.0),
            "stem.1": dict(decay_mult=0.0),
            "gamma": dict(decay_mult=0.0),
        }
    )
)
