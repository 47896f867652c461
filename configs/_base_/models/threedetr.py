"""3DETR with the sizes of the paper; data sets set classes, headings, queries and weights."""

model = dict(
    type="ThreeDETR",
    data_preprocessor=dict(type="PointDataPreprocessor"),
    backbone=dict(
        type="PointNet2",
        in_channels=0,
        num_points=(2048,),
        radii=(0.2,),
        num_neighbours=(64,),
        channels=((64, 128, 256),),
        propagation=(),
    ),
    num_classes=10,
    num_heading_bins=12,
    num_queries=256,
    encoder=dict(num_layers=3, num_heads=4, feedforward_dim=128, dropout=0.1),
    decoder=dict(dim=256, num_layers=8, num_heads=4, feedforward_dim=256, dropout=0.1),
    head_dropout=0.3,
)
