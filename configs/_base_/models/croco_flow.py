"""CroCo-Flow: ViT-L encoder and base decoder from the second version's pre-training, DPT head."""

# dense3d convert croco CroCo_V2_ViTLarge_BaseDecoder.pth checkpoints/croco_v2_vitl_base.pth
pretrained = "checkpoints/croco_v2_vitl_base.pth"
imagenet = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
model = dict(
    type="CrocoFlow",
    data_preprocessor=dict(type="StereoDataPreprocessor", **imagenet),
    network=dict(
        patch_size=16, pos_embed="RoPE100",
        enc_embed_dim=1024, enc_depth=24, enc_num_heads=16,
        dec_embed_dim=768, dec_depth=12, dec_num_heads=12,
        init_cfg=dict(type="Pretrained", checkpoint=pretrained),
    ),
    loss=dict(type="LaplacianLossBounded"),
    crop_size=(320, 384),
    test_cfg=dict(mode="tiles", overlap=0.7, tile_conf_mode="conf_expsigmoid_10_5", tile_batch_size=8),
)  # fmt: skip
