"""Stage one with the trunk of VoteNet, all of which VoteNet takes over; clouds of 20,000 points.

512 groups of 64 points cover a frame, and the trunk sees those of the 40 % that are visible.
"""

model = dict(
    type="Gaussian2SceneStage1",
    data_preprocessor=dict(type="SceneDataPreprocessor"),
    preset="gaussian2scene",
    dim=256,
    num_groups=512,
    group_size=64,
    point_encoder=dict(type="PointNet2", in_channels=1),
    shared_encoder=dict(depth=3, num_heads=4, feedforward_dim=128, dropout=0.1),
    decoder=dict(dim=192, shared_depth=1, image_depth=2, point_depth=2),
    mask_ratio=0.6,
    image_mask_ratio=0.6,
)
