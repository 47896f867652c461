"""VoteNet on PointNet++ with the sizes and losses of the paper; data sets set classes, sizes and headings.

``match_padding`` lets padded boxes at the origin be matched, as the official code does.
"""

model = dict(
    type="VoteNet",
    data_preprocessor=dict(type="PointDataPreprocessor"),
    backbone=dict(type="PointNet2", in_channels=1),
    num_classes=10,
    mean_sizes=[],
    num_heading_bins=12,
    proposals=dict(num_proposals=256, sampling="vote_fps", test_sampling="seed_fps"),
    criterion=dict(match_padding=True),
)
