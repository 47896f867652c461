"""ViDT with Swin-T and 100 [DET] tokens (arXiv 2110.03921), and what ViDT+ adds (arXiv 2204.07962)."""

_base_ = "../backbones/swin.py"

model = dict(
    type="dense3d.ViDT",
    num_classes=80,
    data_preprocessor=dict(
        type="mmdet.DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=1,
    ),
    backbone=dict(
        type="dense3d.ReconfiguredSwin",
        arch="tiny",
        num_det_tokens=100,
        drop_path_rate=0.2,
        init_cfg=_base_._swin_t.init_cfg,
    ),
)
_plus = dict(
    pyramid_fusion=True,
    mask_vectors=dict(num_coefficients=256, side=128),
    iou_aware=True,
    token_label=True,
)
# Sizes beside Swin-T. Nano's weights are those of the authors' release.
_nano = dict(
    arch="nano",
    drop_path_rate=0.0,
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/swin_nano_patch4_window7_224.pth"),
)
_small = dict(arch="small", drop_path_rate=0.3, init_cfg=_base_._swin_s.init_cfg)
_base = dict(arch="base", drop_path_rate=0.3, init_cfg=_base_._swin_b_22k.init_cfg)
