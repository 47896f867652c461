"""ADE20K, crops of 640 x 640 (150 classes, without the background).

Tested at a short side of 640 (long side at most 2560); augmented, at six ratios of that, each also mirrored:
the protocol behind published figures. mmseg's own ``tta_pipeline`` takes ratios of the original image.
"""

_base_ = "mmseg::_base_/datasets/ade20k_640x640.py"

train_dataloader = dict(batch_size=2)
tta_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [
                dict(type="mmseg.Resize", scale=(int(2560 * r), int(640 * r)), keep_ratio=True)
                for r in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
            ],
            [dict(type="mmseg.RandomFlip", prob=p) for p in (0.0, 1.0)],
            [dict(type="mmseg.LoadAnnotations")],
            [dict(type="mmseg.PackSegInputs")],
        ],
    ),
]
