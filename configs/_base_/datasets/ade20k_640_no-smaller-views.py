"""ADE20K, crops of 640 x 640, as BEiT augments in tests: views below the crop's size are enlarged to it.

Of the ratios 0.5 to 1.75, three thus give the same view, which counts three times.
"""

_base_ = "./ade20k_640.py"

tta_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [
                dict(type="mmseg.Resize", scale=(4 * side, side), keep_ratio=True)
                for side in (640, 640, 640, 800, 960, 1120)
            ],
            [dict(type="mmseg.RandomFlip", prob=p) for p in (0.0, 1.0)],
            [dict(type="mmseg.LoadAnnotations")],
            [dict(type="mmseg.PackSegInputs")],
        ],
    ),
]
