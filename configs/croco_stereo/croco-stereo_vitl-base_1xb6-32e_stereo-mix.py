"""CroCo-Stereo's main model: crops of 352 x 704, six a step, 32 epochs of several data sets.

Weinzaepfel et al., "CroCo v2", ICCV 2023, and the official README: CREStereo, SceneFlow in both passes and
Booster come once, ETH3D 30 times, each Middlebury 50 times, with all its lights and exposures. On several
GPUs, divide the batch size by their number. Data sets that you do not have can be left out of the list, but
CREStereo makes the most of it.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/datasets/matching_loaders.py",
    "../_base_/models/croco_stereo.py",
    "../_base_/schedules/croco_finetune.py",
]

crop = (352, 704)
train_pipeline = [
    dict(type="LoadStereo"),
    dict(type="CrocoStereoAugmentation", size=crop),
    dict(type="PackStereoInputs"),
]
_scene_flow = dict(type="SceneFlow", passes=("clean", "final"), pipeline=train_pipeline)
root = "data/middlebury/"
_middlebury = {
    "2005": dict(views="Illum*/Exp*"),
    "2006": dict(views="Illum*/Exp*"),
    "2014": dict(right=("im1", "im1E", "im1L")),
    "2021/data": dict(views="ambient/*"),
    "MiddEval3/trainingF": dict(),
}
train_dataloader = dict(
    **_base_._training,
    batch_size=6,
    dataset=dict(
        type="ConcatDataset",
        datasets=[
            dict(type="CreStereo", data_root="data/crestereo", pipeline=train_pipeline),
            dict(_scene_flow, data_root="data/sceneflow/FlyingThings3D", only=["TRAIN/*"]),
            dict(_scene_flow, data_root="data/sceneflow/Driving"),
            dict(_scene_flow, data_root="data/sceneflow/Monkaa"),
            dict(
                type="RepeatDataset",
                times=30,
                dataset=dict(type="Eth3d", data_root="data/eth3d", pipeline=train_pipeline),
            ),
            *(
                dict(
                    type="RepeatDataset",
                    times=50,
                    dataset=dict(type="Middlebury", data_root=root + part, pipeline=train_pipeline, **views),
                )
                for part, views in _middlebury.items()
            ),
            dict(type="Booster", data_root="data/booster_gt", pipeline=train_pipeline),
        ],
    ),
)
val_dataloader = dict(
    **_base_._validation,
    dataset=dict(
        type="SceneFlow",
        data_root="data/sceneflow/FlyingThings3D",
        passes=("final",),
        only=["TEST/*"],
        indices=list(range(0, 4370, 100)),  # one of a hundred
        test_mode=True,
        pipeline=_base_._test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="DisparityMetric", protocol="sceneflow")
test_evaluator = val_evaluator
