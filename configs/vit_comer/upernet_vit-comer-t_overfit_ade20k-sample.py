"""Overfit real ADE20K images, a check of the whole path on real annotations.

Training and evaluation data are the same images: the two of ``validation``. The network sees them with a
short side of 256 pixels; mIoU is that of the annotations' full size. It starts from what the synthetic run
has learned, as far as shapes fit (150 classes in place of 9 and the norms of the head start anew): run
``configs/synthetic/vit-comer-t_upernet_synthetic-ade20k.py`` first. ``DENSE3D_SAMPLE_DATA`` names the folder
that holds ``ade20k/ADEChallengeData2016`` (``data/samples`` by default).
"""

_base_ = ["../synthetic/vit-comer-t_upernet_synthetic-ade20k.py"]

data_root = "{{$DENSE3D_SAMPLE_DATA:data/samples}}/ade20k/ADEChallengeData2016/"
synthetic_data = None
load_from = "work_dirs/vit-comer-t_upernet_synthetic-ade20k/iter_1000.pth"
strict_load = False

# Pooled to one cell, a batch of two has no statistics to speak of: groups of channels have.
norm_cfg = dict(_delete_=True, type="GN", num_groups=8)
# Road and earth have less than 0.5 % of the pixels: alike, they are not learnt in so few iterations.
weights = {0: 3.0, 6: 30.0, 9: 3.0, 13: 60.0, 17: 10.0}  # wall, road, grass, earth, plant
class_weight = [weights.get(label, 1.0) for label in range(150)]
model = dict(
    decode_head=dict(
        num_classes=150,
        norm_cfg=norm_cfg,
        loss_decode=dict(class_weight=class_weight),
    ),
    auxiliary_head=None,  # of logits for 150 classes, a second set costs as much as the network
)

scale = (352, 256)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="mmseg.LoadAnnotations", reduce_zero_label=True),
    dict(type="mmseg.Resize", scale=scale, keep_ratio=True),
    dict(type="mmseg.PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="mmseg.Resize", scale=scale, keep_ratio=True),
    dict(type="mmseg.LoadAnnotations", reduce_zero_label=True),
    dict(type="mmseg.PackSegInputs"),
]
# one size, also mirrored
tta_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [dict(type="mmseg.Resize", scale=scale, keep_ratio=True)],
            [dict(type="mmseg.LoadAnnotations", reduce_zero_label=True)],
            [dict(type="mmseg.RandomFlip", prob=p) for p in (0.0, 1.0)],
            [dict(type="mmseg.PackSegInputs")],
        ],
    ),
]
dataset = dict(
    _delete_=True,
    type="mmseg.ADE20KDataset",
    data_root=data_root,
    data_prefix=dict(img_path="images/validation", seg_map_path="annotations/validation"),
)
train_dataloader = dict(batch_size=2, dataset=dict(**dataset, pipeline=train_pipeline))
val_dataloader = dict(batch_size=1, dataset=dict(**dataset, test_mode=True, pipeline=test_pipeline))
test_dataloader = val_dataloader

max_iters = 250
train_cfg = dict(max_iters=max_iters, val_interval=125)
default_hooks = dict(checkpoint=dict(interval=125))
optim_wrapper = dict(optimizer=dict(lr=1e-3, weight_decay=0.0))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min=1e-6),
]
