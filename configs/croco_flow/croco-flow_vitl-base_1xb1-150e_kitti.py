"""CroCo-Flow's main model fine-tuned on KITTI 2012 and 2015: crops of 352 x 1216, 150 epochs.

One crop at a time, gradients of eight summed; it starts from the main model. All 394 frames with ground truth
are trained on, as published, so that the figures printed on those of 2015 do not tell how good it is: that
is the benchmark's to say (published: Fl-all 3.64). Tiles overlap by 0.99 as for the submission.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/datasets/matching_loaders.py",
    "../_base_/models/croco_flow.py",
    "../_base_/schedules/croco_finetune.py",
]

load_from = "checkpoints/crocoflow.pth"  # dense3d convert croco-flow crocoflow.pth ...
crop = (352, 1216)
model = dict(network=dict(init_cfg=None), crop_size=crop, test_cfg=dict(overlap=0.99))
train_pipeline = [
    dict(type="LoadStereo"),
    dict(type="CrocoFlowAugmentation", size=crop),
    dict(type="PackStereoInputs"),
]
train_dataloader = dict(
    **_base_._training,
    batch_size=1,
    dataset=dict(
        type="ConcatDataset",
        datasets=[
            dict(type="KittiFlow", data_root="data/kitti_2015", benchmark="2015", pipeline=train_pipeline),
            dict(type="KittiFlow", data_root="data/kitti_2012", benchmark="2012", pipeline=train_pipeline),
        ],
    ),
)
val_dataloader = dict(
    **_base_._validation,
    dataset=dict(
        type="KittiFlow",
        data_root="data/kitti_2015",
        benchmark="2015",
        test_mode=True,
        pipeline=_base_._test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="FlowMetric", protocol="flow")
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=150, val_interval=150)
optim_wrapper = dict(optimizer=dict(lr=2e-5), accumulative_counts=8)
param_scheduler = [_base_._warm_up, dict(end=150, T_max=149, **_base_._cosine)]
default_hooks = dict(checkpoint=dict(interval=5))
