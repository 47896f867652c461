"""CCNeXt as published (arXiv 2509.22627): timm's ConvNeXt-pico, ImageNet weights, a new first convolution."""

model = dict(
    type="CCNeXt",
    data_preprocessor=dict(type="StereoDataPreprocessor", mean=0, std=255, pad_divisor=32),
    backbone=dict(type="TimmBackbone", model_name="convnext_pico.d1_in1k", pretrained=True),
    encoder=dict(stem="replaced", window_size=0.26, attention_init="recommended"),
    decoder=dict(dual=True, scales=(0, 1, 2, 3), init="recommended"),
    loss=dict(smooth_weight=1e-3),
    min_depth=0.1,
    max_depth=100.0,
    nominal_baseline=0.1,
    flip_post_process=False,
)
