"""ViT-CoMer in its official sizes, around the plain vision transformers of ``vit.py``."""

_base_ = "./vit.py"

_vit_comer_s = dict(type="dense3d.ViTCoMer", num_heads=6, value_ratio=1.0)  # also ViT-CoMer-T
_vit_comer_b = dict(type="dense3d.ViTCoMer", num_heads=12, value_ratio=0.5)
_vit_comer_l = dict(type="dense3d.ViTCoMer", num_heads=16, value_ratio=0.5)
