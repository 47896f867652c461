"""IA-RED^2 on DeiT-S and ImageNet-1k in three groups: of each 10 epochs of rewards and 20 of fine-tuning.

Top-1 79.1 at 2.9 GFLOPs in the paper, of 79.8 at 4.6. ``DENSE3D_DEIT_S`` names the official file of DeiT-S
(``deit_small_patch16_224-cd65a155.pth`` by default), ``DENSE3D_IMAGES`` the images. Images are not mixed:
a reward asks whether the one class of an image was found.
"""

_base_ = "dense3d::classification/ia-red2-deit-s_8xb128-30e_imagenet.py"

start = "{{$DENSE3D_DEIT_S:deit_small_patch16_224-cd65a155.pth}}"
model = dict(
    type="TokenReducingClassifier",
    group_sizes=(4, 4, 4),
    interpreter_heads=6,
    penalty=1.0,
    backbone=dict(
        _delete_=True,
        type="VisionTransformer",
        arch="deit_small_patch16",
        drop_path_rate=0.1,
        init_cfg=dict(type="Pretrained", checkpoint=start),
    ),
    data_preprocessor=dict(random_erasing=None, batch_augment=None),
)

interpreter, blocks = 10, 20
custom_hooks = [dict(type="TokenCurriculum", interpreter=interpreter, blocks=blocks, by_epoch=True)]
max_epochs = 3 * (interpreter + blocks)
train_cfg = dict(max_epochs=max_epochs, val_interval=10)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, begin=0, end=1, by_epoch=True, convert_to_iter_based=True)
]
optim_wrapper = dict(
    constructor="dense3d.NamePartsOptimWrapperConstructor",
    paramwise_cfg=dict(
        _delete_=True, custom_keys={"interpreters": dict(lr_mult=10, decay_mult=0)}, norm_decay_mult=0
    ),
    optimizer=dict(lr=5e-5),
)
find_unused_parameters = True
val_evaluator = [dict(type="ClassAccuracy"), dict(type="TokenCost")]
test_evaluator = val_evaluator
