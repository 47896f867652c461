"""Synthetic rooms as radiance grids, made on first use: 60 to train with, 20 to validate."""

data_root = "data/synthetic/grids_64/"
synthetic_data = dict(root=data_root, layouts=("grids",), train=60, val=20, size=64, seed=0)
_loading = dict(type="LoadRadianceGrid")
_packing = dict(type="PackGridInputs")
train_pipeline = [_loading, dict(type="GridAugmentation"), _packing]
test_pipeline = [_loading, _packing]
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(type="SyntheticGrids", data_root=data_root, split="train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="SyntheticGrids", data_root=data_root, split="val", test_mode=True, pipeline=test_pipeline
    ),
)
test_dataloader = val_dataloader
