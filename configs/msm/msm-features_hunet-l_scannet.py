"""Features of masked scene modelling for clouds: the released network, pre-trained on ScanNet.

Hermosilla et al., "Masked Scene Modeling", CVPR 2025. For ``dense3d infer`` with the released checkpoint, or
one of ``msm_hunet-l_4xb4-800e_scannet.py``; there is nothing to train. Colour and normal are read; what a
cloud lacks is 0. ``model.backbone.shuffle_curves="always"`` draws the order of the curves anew each time, as
the released code does; ``model.mapping="consistent"`` samples maps at the places where their voxels are.
"""

_base_ = ["../_base_/runtime.py", "../_base_/models/hunet_large.py"]

model = dict(type="SceneFeatures", data_preprocessor=dict(type="PointDataPreprocessor"))
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="ScanNet",
        data_root="data/scannet",
        split="val",
        test_mode=True,
        pipeline=[
            dict(type="LoadPoints"),
            dict(type="PackPointInputs", features=("colors", "normals"), fill=0.0),
        ],
    ),
)
