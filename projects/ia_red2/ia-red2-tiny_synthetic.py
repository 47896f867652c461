"""IA-RED^2 on the tiny ViT of ``vit-tiny_synthetic.py``, images of ten solids, in three groups.

``DENSE3D_TINY_VIT`` names its checkpoint (``work_dirs/vit-tiny/iter_3000.pth`` by default).
"""

_base_ = "vit-tiny_synthetic.py"

start = "{{$DENSE3D_TINY_VIT:work_dirs/vit-tiny/iter_3000.pth}}"
model = dict(
    type="TokenReducingClassifier",
    group_sizes=(2, 2, 2),
    interpreter_heads=8,
    penalty=1.0,
    backbone=dict(init_cfg=dict(type="Pretrained", checkpoint=start)),
)

interpreter, blocks = 150, 150
custom_hooks = [dict(type="TokenCurriculum", interpreter=interpreter, blocks=blocks)]
max_iters = 3 * (interpreter + blocks)
train_cfg = dict(max_iters=max_iters, val_interval=interpreter + blocks)
param_scheduler = [dict(type="ConstantLR", factor=1.0, by_epoch=False)]
optim_wrapper = dict(
    constructor="dense3d.NamePartsOptimWrapperConstructor",
    paramwise_cfg=dict(
        _delete_=True, custom_keys={"interpreters": dict(lr_mult=3, decay_mult=0)}, norm_decay_mult=0
    ),
    optimizer=dict(lr=5e-4),
)
val_evaluator = [dict(type="ClassAccuracy"), dict(type="TokenCost")]
test_evaluator = val_evaluator
