"""CroCo-Stereo's main model fine-tuned on Spring, left and right camera in turn as the reference, 8 epochs.

A pair whose reference is the right camera is mirrored, predicted and mirrored back by the model. Ground truth
of twice the size is halved by taking every second pixel in training; tests take the best of four. All
training sequences are trained on, as published, and printed figures are of these.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/datasets/matching_loaders.py",
    "../_base_/models/croco_stereo.py",
    "../_base_/schedules/croco_finetune.py",
]

load_from = "checkpoints/crocostereo.pth"  # dense3d convert croco-stereo crocostereo.pth ...
model = dict(network=dict(init_cfg=None), test_cfg=dict(overlap=0.9))
train_pipeline = [
    dict(type="LoadStereo"),
    dict(type="CrocoStereoAugmentation", size=(352, 704)),
    dict(type="PackStereoInputs"),
]
_spring = dict(type="SpringStereo", data_root="data/spring", references=("left", "right"))
train_dataloader = dict(**_base_._training, batch_size=6, dataset=dict(_spring, pipeline=train_pipeline))
val_dataloader = dict(
    **_base_._validation,
    dataset=dict(
        _spring,
        indices=list(range(0, 5000, 100)),  # one of a hundred
        test_mode=True,
        pipeline=[dict(type="LoadStereo", double="keep"), dict(type="PackStereoInputs")],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="DisparityMetric", protocol="spring")
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=8)
param_scheduler = [_base_._warm_up, dict(end=8, T_max=7, **_base_._cosine)]
