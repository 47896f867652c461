"""Point-MAE's encoder, pre-trained, with a class token and the head of its fine-tuning.

``init_cfg`` takes the official pre-training checkpoint as it is, a converted one, or one of
``point-mae_pt-s_1xb128-300e_shapenet55``; None starts from random weights.
"""

pretrained = "work_dirs/point-mae_pt-s_1xb128-300e_shapenet55/epoch_301.pth"
model = dict(
    type="PointClassifier",
    data_preprocessor=dict(type="PointDataPreprocessor"),
    backbone=dict(
        embed_dim=384,
        depth=12,
        num_heads=6,
        num_groups=64,
        group_size=32,
        drop_path_rate=0.1,
        init_cfg=dict(type="Pretrained", checkpoint=pretrained),
    ),
    num_classes=40,
    head=dict(hidden_channels=(256, 256), dropout=0.5),
    sampling=dict(num_points=1024),
)
