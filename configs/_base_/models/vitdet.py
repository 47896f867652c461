"""Mask R-CNN as ViTDet has it: a simple pyramid for a neck, layer norms in the heads.

Li et al., "Exploring Plain Vision Transformer Backbones for Object Detection", ECCV 2022 (arXiv
2203.16527).

The official backbone adds decomposed relative positions, which these ViTs do not have.
"""

_base_ = "mmdet::_base_/models/mask-rcnn_r50_fpn.py"

norm_cfg = dict(type="dense3d.ChannelLayerNorm", eps=1e-6)
model = dict(
    data_preprocessor=dict(pad_size_divisor=32),
    neck=dict(_delete_=True, type="dense3d.PooledLevels", num_outs=5),
    rpn_head=dict(num_convs=2),
    roi_head=dict(
        bbox_head=dict(
            _delete_=True,
            type="Shared4Conv1FCBBoxHead",
            in_channels=256,
            fc_out_channels=1024,
            roi_feat_size=7,
            num_classes=80,
            bbox_coder=dict(
                type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2]
            ),
            reg_class_agnostic=False,
            norm_cfg=norm_cfg,
            loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
            loss_bbox=dict(type="L1Loss", loss_weight=1.0),
        ),
        mask_head=dict(norm_cfg=norm_cfg),
    ),
)
