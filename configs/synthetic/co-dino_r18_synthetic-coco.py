"""Co-DINO with a ResNet-18 from random weights on synthetic COCO data: minutes on two CPU cores.

The Co-DETR of arXiv 2211.12860 made as small as ``dino_r18_synthetic-coco.py``, with the same data and
schedule: Faster R-CNN and ATSS train beside DINO and add their positives to its queries.
"""

_base_ = ["./dino_r18_synthetic-coco.py"]

strides = [8, 16, 32, 64, 128]
auxiliary_weight = 2 * 2.0  # decoder layers, lambda_2
rpn_assigner = dict(
    type="MaxIoUAssigner", pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3, match_low_quality=True
)
rcnn_assigner = dict(
    type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5, match_low_quality=False
)
faster_rcnn = dict(
    type="dense3d.FasterRCNNAuxiliaryHead",
    _scope_="mmdet",
    rpn_head=dict(
        type="RPNHead",
        in_channels=128,
        feat_channels=128,
        anchor_generator=dict(
            type="AnchorGenerator",
            octave_base_scale=4,
            scales_per_octave=3,
            ratios=[0.5, 1.0, 2.0],
            strides=strides,
        ),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder"),
        loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=auxiliary_weight),
        loss_bbox=dict(type="L1Loss", loss_weight=auxiliary_weight),
    ),
    roi_head=dict(
        type="StandardRoIHead",
        bbox_roi_extractor=dict(
            type="SingleRoIExtractor",
            roi_layer=dict(type="RoIAlign", output_size=7, sampling_ratio=0),
            out_channels=128,
            featmap_strides=strides[:-1],
            finest_scale=56,
        ),
        bbox_head=dict(
            type="Shared2FCBBoxHead",
            in_channels=128,
            fc_out_channels=256,
            num_classes=6,
            bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_stds=[0.1, 0.1, 0.2, 0.2]),
            reg_decoded_bbox=True,
            loss_cls=dict(type="CrossEntropyLoss", loss_weight=auxiliary_weight),
            loss_bbox=dict(type="GIoULoss", loss_weight=10 * auxiliary_weight),
        ),
    ),
    train_cfg=dict(
        rpn=dict(
            assigner=rpn_assigner,
            sampler=dict(type="RandomSampler", num=128, pos_fraction=0.5, add_gt_as_proposals=False),
            allowed_border=-1,
            pos_weight=-1,
        ),
        rpn_proposal=dict(
            nms_pre=500, max_per_img=100, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0
        ),
        rcnn=dict(
            assigner=rcnn_assigner,
            sampler=dict(type="RandomSampler", num=64, pos_fraction=0.25),
            pos_weight=-1,
        ),
    ),
)
atss = dict(
    type="dense3d.ATSSAuxiliaryHead",
    _scope_="mmdet",
    num_classes=6,
    in_channels=128,
    stacked_convs=1,
    feat_channels=128,
    anchor_generator=dict(
        type="AnchorGenerator", ratios=[1.0], octave_base_scale=8, scales_per_octave=1, strides=strides
    ),
    bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_stds=[0.1, 0.1, 0.2, 0.2]),
    loss_cls=dict(type="FocalLoss", use_sigmoid=True, loss_weight=auxiliary_weight),
    loss_bbox=dict(type="GIoULoss", loss_weight=2 * auxiliary_weight),
    loss_centerness=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=auxiliary_weight),
    train_cfg=dict(assigner=dict(type="ATSSAssigner", topk=9), allowed_border=-1, pos_weight=-1),
)
model = dict(
    type="dense3d.CoDINO",
    _scope_="mmdet",
    bbox_head=dict(
        type="dense3d.CoDINOHead",
        _scope_="mmdet",
        loss_cls=dict(_delete_=True, type="QualityFocalLoss", use_sigmoid=True, beta=2.0),
    ),
    auxiliary_heads=[faster_rcnn, atss],
    max_positive_queries=50,
    test_cfg=dict(max_per_img=50, nms=dict(type="soft_nms", iou_threshold=0.8)),
)
