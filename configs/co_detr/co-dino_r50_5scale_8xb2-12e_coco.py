"""Co-DINO, 5 scales, ResNet-50, 12 epochs of COCO on 8 GPUs with 2 images each (arXiv 2211.12860).

52.1 box AP officially: DINO, Faster R-CNN and ATSS on one encoder. The weights of the auxiliary
losses are multiples of ``auxiliary_weight``: lambda_2 = 2 times the number of decoder layers.
"""

_base_ = "../dino/dino_r50_8xb2-12e_coco.py"


num_levels = 5
auxiliary_weight = 6 * 2.0
strides = [4, 8, 16, 32, 64, 128]

faster_rcnn = dict(
    type="dense3d.FasterRCNNAuxiliaryHead",
    _scope_="mmdet",
    rpn_head=dict(
        type="RPNHead",
        in_channels=256,
        feat_channels=256,
        anchor_generator=dict(
            type="AnchorGenerator",
            octave_base_scale=4,
            scales_per_octave=3,
            ratios=[0.5, 1.0, 2.0],
            strides=strides,
        ),
        bbox_coder=dict(
            type="DeltaXYWHBBoxCoder", target_means=[0.0, 0.0, 0.0, 0.0], target_stds=[1.0, 1.0, 1.0, 1.0]
        ),
        loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=auxiliary_weight),
        loss_bbox=dict(type="L1Loss", loss_weight=auxiliary_weight),
    ),
    roi_head=dict(
        type="StandardRoIHead",
        bbox_roi_extractor=dict(
            type="SingleRoIExtractor",
            roi_layer=dict(type="RoIAlign", output_size=7, sampling_ratio=0),
            out_channels=256,
            featmap_strides=strides[:-1],
            finest_scale=56,
        ),
        bbox_head=dict(
            type="Shared2FCBBoxHead",
            in_channels=256,
            fc_out_channels=1024,
            roi_feat_size=7,
            num_classes=80,
            bbox_coder=dict(
                type="DeltaXYWHBBoxCoder", target_means=[0.0, 0.0, 0.0, 0.0], target_stds=[0.1, 0.1, 0.2, 0.2]
            ),
            reg_class_agnostic=False,
            reg_decoded_bbox=True,
            loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=auxiliary_weight),
            loss_bbox=dict(type="GIoULoss", loss_weight=10 * auxiliary_weight),
        ),
    ),
    train_cfg=dict(
        rpn=dict(
            assigner=dict(
                type="MaxIoUAssigner",
                pos_iou_thr=0.7,
                neg_iou_thr=0.3,
                min_pos_iou=0.3,
                match_low_quality=True,
                ignore_iof_thr=-1,
            ),
            sampler=dict(
                type="RandomSampler", num=256, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=False
            ),
            allowed_border=-1,
            pos_weight=-1,
            debug=False,
        ),
        rpn_proposal=dict(
            nms_pre=4000, max_per_img=1000, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0
        ),
        rcnn=dict(
            assigner=dict(
                type="MaxIoUAssigner",
                pos_iou_thr=0.5,
                neg_iou_thr=0.5,
                min_pos_iou=0.5,
                match_low_quality=False,
                ignore_iof_thr=-1,
            ),
            sampler=dict(
                type="RandomSampler", num=512, pos_fraction=0.25, neg_pos_ub=-1, add_gt_as_proposals=True
            ),
            pos_weight=-1,
            debug=False,
        ),
    ),
)
atss = dict(
    type="dense3d.ATSSAuxiliaryHead",
    _scope_="mmdet",
    num_classes=80,
    in_channels=256,
    stacked_convs=1,
    feat_channels=256,
    anchor_generator=dict(
        type="AnchorGenerator", ratios=[1.0], octave_base_scale=8, scales_per_octave=1, strides=strides
    ),
    bbox_coder=dict(
        type="DeltaXYWHBBoxCoder", target_means=[0.0, 0.0, 0.0, 0.0], target_stds=[0.1, 0.1, 0.2, 0.2]
    ),
    loss_cls=dict(type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=auxiliary_weight),
    loss_bbox=dict(type="GIoULoss", loss_weight=2 * auxiliary_weight),
    loss_centerness=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=auxiliary_weight),
    train_cfg=dict(assigner=dict(type="ATSSAssigner", topk=9), allowed_border=-1, pos_weight=-1, debug=False),
)
model = dict(
    type="dense3d.CoDINO",
    num_feature_levels=num_levels,
    backbone=dict(out_strides=(4, 8, 16, 32)),
    neck=dict(num_outs=num_levels),
    encoder=dict(num_cp=4, layer_cfg=dict(self_attn_cfg=dict(num_levels=num_levels))),
    decoder=dict(layer_cfg=dict(cross_attn_cfg=dict(num_levels=num_levels))),
    bbox_head=dict(
        type="dense3d.CoDINOHead",
        _scope_="mmdet",
        loss_cls=dict(_delete_=True, type="QualityFocalLoss", use_sigmoid=True, beta=2.0, loss_weight=1.0),
    ),
    auxiliary_heads=[faster_rcnn, atss],
    test_cfg=dict(max_per_img=300, nms=dict(type="soft_nms", iou_threshold=0.8)),
)
optim_wrapper = dict(optimizer=dict(lr=2e-4))
