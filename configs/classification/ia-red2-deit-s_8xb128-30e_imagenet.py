"""IA-RED^2 with DeiT-S in three groups on ImageNet-1k, fine-tuned for 30 epochs: top-1 79.1 in the paper.

Pan et al., NeurIPS 2021 (arXiv 2106.12620). ``dense3d test`` takes the authors' interpretation model as it
is. Training starts from it: the blocks learn from the tokens that its interpreters keep, and these stay as
they are. ``projects/ia_red2`` trains interpreters, of any plain ViT.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/image_classifier.py",
    "../_base_/datasets/imagenet_224.py",
    "../_base_/schedules/imagenet_300e.py",
]

model = dict(
    backbone=dict(
        type="IARed2",
        arch="deit_small_patch16",
        group_sizes=(4, 4, 4),
        drop_path_rate=0.1,
        init_cfg=dict(type="Pretrained", checkpoint="ia_red_deit_small.pth"),
    )
)

max_epochs, warm_up = 30, 1
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=5e-5))
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, begin=0, end=warm_up, by_epoch=True, convert_to_iter_based=True),
    dict(
        type="CosineAnnealingLR",
        begin=warm_up,
        end=max_epochs,
        T_max=max_epochs - warm_up,
        eta_min=1e-6,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
