"""CroCo of the second version: rotary positions, ViT-B encoder, small decoder."""

model = dict(
    type="CroCo",
    data_preprocessor=dict(
        type="StereoDataPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
    ),
    network=dict(
        patch_size=16, pos_embed="RoPE100",
        enc_embed_dim=768, enc_depth=12, enc_num_heads=12,
        dec_embed_dim=512, dec_depth=8, dec_num_heads=16,
    ),
    mask_ratio=0.9,
    norm_pix_loss=True,
)  # fmt: skip
