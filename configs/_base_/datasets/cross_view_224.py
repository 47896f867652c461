"""Any pairs of views in a list, at 224 x 224, with CroCo's augmentation: crops and colours of their own.

``DENSE3D_VIEWS`` names the folder of the images and of the lists (``data/cross_view`` by default),
``DENSE3D_TRAIN_PAIRS`` and ``DENSE3D_VAL_PAIRS`` two lists in it, as ``dense3d make-pairs`` writes them;
without the second, the first serves for both, and the error is none of held-out pairs.
"""

data_root = "{{$DENSE3D_VIEWS:data/cross_view}}/"
train_pairs, val_pairs = "{{$DENSE3D_TRAIN_PAIRS:pairs.txt}}", "{{$DENSE3D_VAL_PAIRS:-}}"  # "-" if not set
if val_pairs == "-":
    val_pairs = train_pairs

train_pipeline = [
    dict(type="LoadCrossViews"),
    dict(type="CrossViewCrop", size=224, window=256),
    dict(type="CrossViewColor", brightness=0.4, contrast=0.4, saturation=0.4, hue=0.0),
    dict(type="PackStereoInputs"),
]
test_pipeline = [
    dict(type="LoadCrossViews"),
    dict(type="CrossViewCrop", size=224, window=256, random=False),
    dict(type="PackStereoInputs"),
]
train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(type="CrossViewPairs", data_root=data_root, ann_file=train_pairs, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=8,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="CrossViewPairs", data_root=data_root, ann_file=val_pairs, test_mode=True, pipeline=test_pipeline
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="ReconstructionError")
test_evaluator = val_evaluator
