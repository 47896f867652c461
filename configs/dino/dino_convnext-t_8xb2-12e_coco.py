"""DINO, 4 scales, with a ConvNeXt-T: any timm backbone goes under the head, only its name changes."""

_base_ = "./dino_r50_8xb2-12e_coco.py"

model = dict(
    backbone=dict(
        model_name="convnext_tiny.in12k_ft_in1k",
        frozen_stages=-1,
        freeze_norm=False,
        model_kwargs=dict(drop_path_rate=0.2),
    )
)
