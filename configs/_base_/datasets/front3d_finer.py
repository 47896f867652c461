"""Front3D-NeRF with grids of 256 voxels a side to find."""

data_root = "data/nerf_mae/finetune/front3d_rpn_data/"
_loading = dict(type="LoadRadianceGrid")
_packing = dict(type="PackGridInputs")
train_pipeline = [_loading, _packing]
test_pipeline = [_loading, _packing]
train_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="Front3DNeRF", data_root=data_root, split="train", finer="features_256", pipeline=train_pipeline
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="Front3DNeRF",
        data_root=data_root,
        split="val",
        finer="features_256",
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    **{**val_dataloader, "dataset": dict(**{**val_dataloader["dataset"], "split": "test"})}
)
