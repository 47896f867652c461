"""CroCo-Stereo on SceneFlow alone, both passes, tested on FlyingThings3D's test frames.

No published recipe: that of ``croco-stereo_vitl-base_1xb6-32e_stereo-mix.py`` on the part of its data that
anyone can download in one place.
"""

_base_ = ["./croco-stereo_vitl-base_1xb6-32e_stereo-mix.py"]

_scene_flow = dict(type="SceneFlow", passes=("clean", "final"), pipeline=_base_.train_pipeline)
train_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(_scene_flow, data_root="data/sceneflow/FlyingThings3D", only=["TRAIN/*"]),
            dict(_scene_flow, data_root="data/sceneflow/Driving"),
            dict(_scene_flow, data_root="data/sceneflow/Monkaa"),
        ]
    )
)
test_dataloader = dict(dataset=dict(indices=None))
