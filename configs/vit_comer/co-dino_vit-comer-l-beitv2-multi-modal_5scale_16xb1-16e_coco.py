"""As ``co-dino_vit-comer-l-beitv2_5scale_16xb1-16e_coco.py`` from a BEiT v2 pre-trained on images and text.

64.3 box AP in the paper, with the published settings. Its repository does not say where those weights are.
Any BEiT v2-L of that shape goes into ``checkpoints/`` by ``dense3d convert beit``.
"""

_base_ = "./co-dino_vit-comer-l-beitv2_5scale_16xb1-16e_coco.py"

model = dict(
    backbone=dict(
        vit=dict(
            init_cfg=dict(type="Pretrained", checkpoint="checkpoints/beitv2_large_patch16_multi-modal.pth")
        )
    )
)
