"""CroCo v2 pre-training with a ViT-B encoder and the base decoder: 256 pairs a step, 125 epochs."""

_base_ = "./croco-v2_vitb-small_4xb64-125e_cross-view.py"

model = dict(network=dict(dec_embed_dim=768, dec_depth=12, dec_num_heads=12))
