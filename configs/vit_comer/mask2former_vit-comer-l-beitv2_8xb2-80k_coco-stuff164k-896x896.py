"""Mask2Former with ViT-CoMer-L from BEiT v2, 80k iterations of COCO-Stuff 164k: mIoU 52.7 in the paper.

Xia et al., CVPR 2024 (arXiv 2403.07392). Settings as published, but the head's embeddings of queries,
classes, masks and levels learn at the full rate; the official optimiser gives them that of the patch
embedding, 7 % of it.
"""

_base_ = "./mask2former_vit-comer-l-beitv2_8xb2-80k_ade20k-896x896.py"

data_root = "data/coco_stuff164k"
model = dict(decode_head=dict(num_classes=171))
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomResize", scale=(3584, 896), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=(896, 896), cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(3584, 896), keep_ratio=True),
    dict(type="ResizeToMultiple", size_divisor=32),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(
    dataset=dict(
        type="COCOStuffDataset",
        data_root=data_root,
        data_prefix=dict(img_path="images/train2017", seg_map_path="annotations/train2017"),
        pipeline=train_pipeline,
    )
)
val_dataloader = dict(
    dataset=dict(
        type="COCOStuffDataset",
        data_root=data_root,
        data_prefix=dict(img_path="images/val2017", seg_map_path="annotations/val2017"),
        pipeline=test_pipeline,
    )
)
test_dataloader = val_dataloader
