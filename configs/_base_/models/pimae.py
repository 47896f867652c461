"""PiMAE with the sizes and quirks of its released configuration; ``preset`` says which those are."""

model = dict(
    type="Gaussian2SceneStage1",
    data_preprocessor=dict(type="SceneDataPreprocessor"),
    preset="pimae",
    dim=256,
    num_groups=128,
    group_size=32,
    point_encoder=dict(type="PatchLayers", depth=3, num_heads=4, feedforward_dim=128, dropout=0.1),
    shared_encoder=dict(depth=3, num_heads=4, feedforward_dim=128, dropout=0.1),
    decoder=dict(dim=192, shared_depth=1, image_depth=2, point_depth=2),
    mask_ratio=0.6,
    image_mask_ratio=0.6,
)
