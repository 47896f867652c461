"""CroCo v2 pre-training with a ViT-S encoder and the small decoder: the settings of ViT-B, at a lower price.

Nothing was published with this size; its encoder is that of DeiT-S.
"""

_base_ = "./croco-v2_vitb-small_4xb64-125e_cross-view.py"

model = dict(network=dict(enc_embed_dim=384, enc_num_heads=6))
