"""A small CroCo for minutes on CPU cores: patches of 16 pixels, four blocks before and four behind."""

model = dict(
    type="CroCo",
    data_preprocessor=dict(
        type="StereoDataPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
    ),
    network=dict(
        patch_size=16, pos_embed="RoPE100",
        enc_embed_dim=128, enc_depth=4, enc_num_heads=4,
        dec_embed_dim=128, dec_depth=4, dec_num_heads=4,
    ),
    mask_ratio=0.9,
    norm_pix_loss=True,
)  # fmt: skip
