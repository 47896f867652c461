"""Co-DINO, 5 scales, with ViT-CoMer-L from BEiT v2, 16 epochs of COCO on 16 GPUs with 1 image each.

The Co-DETR model of the paper (Xia et al., CVPR 2024, arXiv 2403.07392; 62.1 box AP) with the settings that
its repository has for 64.3, of the multi-modal weights. Images have short sides of up to 1600 pixels.
Weights: ``dense3d convert beit`` on ``beitv2_large_patch16_224_pt1k_ft21k.pth``.
"""

_base_ = ["../co_detr/co-dino_r50_5scale_8xb2-12e_coco.py", "../_base_/backbones/vit_comer.py"]

model = dict(
    data_preprocessor=dict(pad_size_divisor=32),
    backbone=dict(
        _delete_=True,
        **_base_._vit_comer_l,
        vit=dict(
            arch=dict(name="beitv2_large_patch16", layer_scale=1e-6),
            prefix_tokens=False,
            drop_path_rate=0.3,
            window_size=[14, 14, 14, 14, 14, 56] * 4,
            window_padding="bias",
            with_cp=True,
            init_cfg=dict(type="Pretrained", checkpoint="checkpoints/beitv2_large_patch16.pth"),
        ),
        gamma_init=1e-6,
        with_vit_map=True,
    ),
    neck=dict(_delete_=True, type="dense3d.ViTCoMerNeck", in_channels="backbone", out_channels=256),
    encoder=dict(num_cp=6),
    dn_cfg=dict(box_noise_scale=0.4, group_cfg=dict(num_dn_queries=500)),
)
short_sides = [(side, 2176) for side in range(480, 1601, 32)]
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="RandomFlip", prob=0.5),
    dict(
        type="RandomChoice",
        transforms=[
            [dict(type="RandomChoiceResize", scales=short_sides, keep_ratio=True)],
            [
                dict(
                    type="RandomChoiceResize", scales=[(400, 4200), (500, 4200), (600, 4200)], keep_ratio=True
                ),
                dict(
                    type="RandomCrop",
                    crop_type="absolute_range",
                    crop_size=(384, 600),
                    allow_negative_crop=True,
                ),
                dict(type="RandomChoiceResize", scales=short_sides, keep_ratio=True),
            ],
        ],
    ),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(2176, 1312), keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

optim_wrapper = dict(optimizer=dict(lr=1e-4, weight_decay=0.05))
max_epochs = 16
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type="MultiStepLR", begin=0, end=max_epochs, by_epoch=True, milestones=[8], gamma=0.1)
]
