"""Step A of ECO-M2F on synthetic panoptic data: a parent whose images may leave after 2 ... 6 encoder layers.

The small Mask2Former of ``mask2former_r18_synthetic-panoptic.py`` with half of its channels and six encoder
layers (arXiv 2404.15244). Steps B and C: ``docs/eco-m2f.md``.
"""

_base_ = ["./mask2former_r18_synthetic-panoptic.py"]

model = dict(
    type="ECOM2F",
    min_depth=2,
    depth=6,
    count_cost=True,
    backbone=dict(model_kwargs=dict(channels=(32, 64, 128, 256))),
    head=dict(embed_dims=64, encoder_layers=6, encoder_channels=256, decoder_channels=256),
)

data_root = "data/synthetic/panoptic_close-up_64x64/"
val_evaluator = [
    dict(
        type="PanopticQualityMetric",
        ann_file=data_root + "annotations/panoptic_val2017.json",
        seg_prefix=data_root + "annotations/panoptic_val2017/",
    ),
    dict(type="ExitCostMetric"),
]
test_evaluator = val_evaluator
