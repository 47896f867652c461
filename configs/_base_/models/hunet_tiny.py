"""A small HUNet for minutes on a CPU: levels of 8, 16, 32 and 64 centimetres, attention on the coarsest."""

model = dict(
    voxel_size=0.08,
    backbone=dict(
        in_channels=6,
        channels=(16, 32, 64, 96),
        convs=(1, 1, 1, 1),
        attentions=(0, 0, 0, 1),
        num_heads=(2, 4, 8, 12),
        windows=(256, 256, 256, 256),
        decoder_channels=(32, 48, 64, 96),
        decoder_convs=(1, 1, 1, 1),
        decoder_attentions=(0, 0, 0, 1),
        decoder_num_heads=(2, 4, 8, 12),
        decoder_windows=(256, 256, 256, 256),
        drop_path=0.0,
        attn_drop=0.0,
    ),
)
