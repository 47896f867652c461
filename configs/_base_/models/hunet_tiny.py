"""A small HUNet for minutes on a CPU: levels of 10, 20, 40 and 80 centimetres, attention on the coarsest."""

model = dict(
    voxel_size=0.1,
    backbone=dict(
        in_channels=6,
        channels=(16, 32, 48, 64),
        convs=(1, 1, 1, 1),
        attentions=(0, 0, 0, 1),
        num_heads=(2, 4, 6, 8),
        windows=(256, 256, 256, 256),
        decoder_channels=(24, 32, 48, 64),
        decoder_convs=(1, 1, 1, 1),
        decoder_attentions=(0, 0, 0, 1),
        decoder_num_heads=(3, 4, 6, 8),
        decoder_windows=(256, 256, 256, 256),
        drop_path=0.0,
        attn_drop=0.0,
    ),
)
