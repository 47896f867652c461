"""The release's pre-training mix of Front3D, HM3D and Hypersim, with quarter turns and flips."""

data_root = "data/nerf_mae/pretrain/"
_loading = dict(type="LoadRadianceGrid")
_packing = dict(type="PackGridInputs")
train_pipeline = [_loading, dict(type="GridAugmentation"), _packing]
test_pipeline = [_loading, _packing]
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(type="NeRFMAEPretraining", data_root=data_root, split="train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="NeRFMAEPretraining", data_root=data_root, split="val", test_mode=True, pipeline=test_pipeline
    ),
)
test_dataloader = dict(
    **{**val_dataloader, "dataset": dict(**{**val_dataloader["dataset"], "split": "test"})}
)
