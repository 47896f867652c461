"""Features of all points from the released large HUNet: 67.6 million parameters, 928 channels."""

model = dict(
    type="SceneFeatures",
    data_preprocessor=dict(type="PointDataPreprocessor"),
    backbone=dict(
        type="HUNet",
        in_channels=6,
        channels=(32, 64, 128, 256, 384),
        convs=(2, 2, 2, 2, 2),
        attentions=(0, 0, 0, 2, 2),
        num_heads=(4, 8, 16, 32, 48),
        windows=(1024, 1024, 1024, 1024, 1024),
        decoder_channels=(64, 96, 128, 256, 384),
        decoder_convs=(2, 2, 2, 2, 2),
        decoder_attentions=(0, 0, 0, 2, 2),
        decoder_num_heads=(4, 8, 16, 32, 48),
        decoder_windows=(1024, 1024, 1024, 1024, 1024),
        drop_path=0.2,
        attn_drop=0.1,
    ),
    voxel_size=0.02,
)
