"""CroCo-Flow's main model: crops of 320 x 384, eight a step, 240 epochs of 30 000 pairs of several data sets.

Weinzaepfel et al., "CroCo v2", ICCV 2023, and the official README: Sintel 40 times in each pass, FlyingThings
and FlyingChairs 4 times, TartanAir once. Two sequences of Sintel, temple_2 and temple_3, are held out, and
the checkpoint that is best on them is kept. An epoch of the recipe is 3750 iterations here.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/datasets/matching_loaders.py",
    "../_base_/models/croco_flow.py",
    "../_base_/schedules/croco_finetune.py",
]

train_pipeline = [
    dict(type="LoadStereo"),
    dict(type="CrocoFlowAugmentation", size=(320, 384)),
    dict(type="PackStereoInputs"),
]
held_out = ["*/temple_2/*", "*/temple_3/*"]
_sintel = dict(type="SintelFlow", data_root="data/sintel")
_repeated = {
    40: [dict(_sintel, without=held_out)],
    4: [
        dict(type="FlyingThings", data_root="data/sceneflow/FlyingThings3D", passes=("clean", "final")),
        dict(type="FlyingChairs", data_root="data/flying_chairs"),
    ],
    1: [dict(type="TartanAirFlow", data_root="data/tartanair")],
}
train_dataloader = dict(
    num_workers=4,
    persistent_workers=True,
    batch_size=8,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type="ConcatDataset",
        datasets=[
            dict(type="RepeatDataset", times=times, dataset=dict(dataset, pipeline=train_pipeline))
            for times, datasets in _repeated.items()
            for dataset in datasets
        ],
    ),
)
val_dataloader = dict(
    **_base_._validation,
    dataset=dict(_sintel, only=held_out, test_mode=True, pipeline=_base_._test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="FlowMetric", protocol="flow")
test_evaluator = val_evaluator

epoch, epochs = 3750, 240
train_cfg = dict(_delete_=True, type="IterBasedTrainLoop", max_iters=epochs * epoch, val_interval=epoch)
optim_wrapper = dict(optimizer=dict(lr=2e-5))
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=epoch),
    dict(
        type="CosineAnnealingLR", by_epoch=False, begin=epoch, end=epochs * epoch, T_max=(epochs - 1) * epoch,
        eta_min=0.0,
    ),
]  # fmt: skip
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=epoch, save_best="flow/EPE", rule="less"))
log_processor = dict(by_epoch=False)
