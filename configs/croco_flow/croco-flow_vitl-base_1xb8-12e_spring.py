"""CroCo-Flow's main model fine-tuned on Spring, both cameras, forwards and backwards, 12 epochs.

All training sequences are trained on, as published, and printed figures are of these.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/datasets/matching_loaders.py",
    "../_base_/models/croco_flow.py",
    "../_base_/schedules/croco_finetune.py",
]

load_from = "checkpoints/crocoflow.pth"  # dense3d convert croco-flow crocoflow.pth ...
model = dict(network=dict(init_cfg=None), test_cfg=dict(overlap=0.9))
train_pipeline = [
    dict(type="LoadStereo"),
    dict(type="CrocoFlowAugmentation", size=(320, 384)),
    dict(type="PackStereoInputs"),
]
_spring = dict(type="SpringFlow", data_root="data/spring")
train_dataloader = dict(**_base_._training, batch_size=8, dataset=dict(_spring, pipeline=train_pipeline))
val_dataloader = dict(
    **_base_._validation,
    dataset=dict(
        _spring,
        indices=list(range(0, 19000, 1000)),
        test_mode=True,
        pipeline=[dict(type="LoadStereo", double="keep"), dict(type="PackStereoInputs")],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="FlowMetric", protocol="spring-flow")
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=12)
optim_wrapper = dict(optimizer=dict(lr=2e-5))
param_scheduler = [_base_._warm_up, dict(end=12, T_max=11, **_base_._cosine)]
