"""Mask2Former for semantic segmentation on mmseg's model; inputs are padded to multiples of 32 in tests.

Cheng et al., CVPR 2022 (arXiv 2112.01527). The data set's classes and the crop are ADE20K's.
"""

model = dict(
    type="mmseg.EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(512, 512),
        test_cfg=dict(size_divisor=32),
    ),
    decode_head=dict(type="dense3d.Mask2FormerSemanticHead", in_channels="backbone", num_classes=150),
    test_cfg=dict(mode="whole"),
)
tta_model = dict(type="mmseg.SegTTAModel")
