"""CroCo v2 pre-training with a ViT-L encoder and the base decoder: 512 pairs a step, 125 epochs.

The model of the published results on stereo and flow: learning rate 3e-4 for its 512 pairs a step.
"""

_base_ = "./croco-v2_vitb-base_4xb64-125e_cross-view.py"

model = dict(network=dict(enc_embed_dim=1024, enc_depth=24, enc_num_heads=16))
optim_wrapper = dict(optimizer=dict(lr=3e-4))
