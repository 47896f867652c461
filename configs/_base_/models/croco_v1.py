"""CroCo of the first version: fixed tables of positions, ViT-B encoder, small decoder."""

imagenet = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
model = dict(
    type="CroCo",
    data_preprocessor=dict(type="StereoDataPreprocessor", **imagenet),
    network=dict(
        img_size=224, patch_size=16, pos_embed="cosine",
        enc_embed_dim=768, enc_depth=12, enc_num_heads=12,
        dec_embed_dim=512, dec_depth=8, dec_num_heads=16,
    ),
    mask_ratio=0.9,
    norm_pix_loss=True,
)  # fmt: skip
