"""Mask2Former with ViT-CoMer-L from BEiT v2, 80k iterations of ADE20K.

MIoU 61.7, 62.1 multi-scale in the paper. Xia et al., CVPR 2024 (arXiv 2403.07392). Its repository has this
head and schedule for COCO-Stuff; for ADE20K, ViT-Adapter starts from what COCO-Stuff has taught
(``load_from`` and ``strict_load=False`` with the other config's checkpoint). The released networks' BEiT
class is not in the repository, so whether its sum is stage by stage, as in the other segmentors, is not
known; nor are its views of multi-scale tests: those of ViT-Adapter here. Weights:
``dense3d convert beit``.
"""

_base_ = ["../mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py", "../_base_/backbones/vit_comer.py"]

crop_size = (896, 896)
width = 1024
model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(
        _delete_=True,
        **_base_._vit_comer_l,
        vit=dict(
            arch=dict(name="beitv2_large_patch16", layer_scale=1e-6, pretrain_size=896),
            prefix_tokens=False,
            drop_path_rate=0.3,
            with_cp=True,
            init_cfg=dict(type="Pretrained", checkpoint="checkpoints/beitv2_large_patch16.pth"),
        ),
        gamma_init=1e-6,
        stagewise=True,
    ),
    decode_head=dict(
        head=dict(
            num_queries=200,
            embed_dims=width,
            num_heads=32,
            encoder_channels=4 * width,
            decoder_channels=4 * width,
        )
    ),
    test_cfg=dict(mode="slide", crop_size=crop_size, stride=(512, 512)),
)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", reduce_zero_label=True),
    dict(type="RandomResize", scale=(3584, 896), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(3584, 896), keep_ratio=True),
    dict(type="ResizeToMultiple", size_divisor=32),
    dict(type="LoadAnnotations", reduce_zero_label=True),
    dict(type="PackSegInputs"),
]
tta_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [
                dict(type="mmseg.Resize", scale=(4 * side, side), keep_ratio=True)
                for side in (800, 832, 864, 896)
            ],
            [dict(type="mmseg.ResizeToMultiple", size_divisor=32)],
            [dict(type="mmseg.RandomFlip", prob=p) for p in (0.0, 1.0)],
            [dict(type="mmseg.LoadAnnotations")],
            [dict(type="mmseg.PackSegInputs")],
        ],
    ),
]
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

optim_wrapper = dict(
    type="OptimWrapper",
    clip_grad=None,
    optimizer=dict(lr=2e-5),
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(_delete_=True, decay_rate=0.9),
)
max_iters = 80_000
train_cfg = dict(max_iters=max_iters)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type="PolyLR", power=1.0, begin=1500, end=max_iters, eta_min=0.0, by_epoch=False),
]
