"""ViDT+ with Swin-tiny and 300 tokens, 150 epochs of COCO on 8 GPUs with 2 images each: AP 51.4.

As the paper reports (arXiv 2204.07962); 50.8 with the last decoder layers left out in inference, which
``model.test_cfg.decoder_layers`` does. The body starts from Microsoft's ``swin_tiny_patch4_window7_224.pth``,
to be put into ``checkpoints/``.
"""

_base_ = "./vidt-plus_swin-tiny_8xb2-50e_coco.py"

max_epochs = 150
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=max_epochs, T_max=max_epochs, eta_min=1e-7)
]
