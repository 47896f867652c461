"""Five-way ten-shot classification of families that the small Point-MAE has not seen, on a CPU.

Five of the nine held-out families are drawn for each fold, ten clouds of each to train with and twenty others
to test with. ``dense3d few-shot`` runs the folds. Batches have 25 clouds.
"""

_base_ = ["./point-mae-classify_pt-tiny_synthetic-shapes.py"]

_fold = dict(
    type="FewShotFold", _delete_=True, way=5, shot=10, queries=20, fold=0, classes={{_base_.held_out}}
)
_clouds = dict(type="SyntheticShapes", data_root={{_base_.data_root}}, split="train")
model = dict(num_classes=5)
train_dataloader = dict(
    batch_size=25,
    dataset=dict(part="train", dataset=dict(**_clouds, pipeline={{_base_.train_pipeline}}), **_fold),
)
val_dataloader = dict(
    dataset=dict(
        part="test", dataset=dict(**_clouds, test_mode=True, pipeline={{_base_.test_pipeline}}), **_fold
    )
)
test_dataloader = val_dataloader

max_iters = 150  # as many steps as the official 150 epochs of one step
train_cfg = dict(max_iters=max_iters, val_interval=30)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=10),
    dict(
        type="CosineAnnealingLR",
        by_epoch=False,
        begin=10,
        end=max_iters,
        T_max=max_iters - 10,
        eta_min=1e-6,
    ),
]
default_hooks = dict(checkpoint=dict(interval=max_iters, max_keep_ckpts=1))
