"""AdamW for 100 epochs on one GPU with 128 images: 10 epochs of warm-up, then a cosine, as CoSwin trains."""

_base_ = "./imagenet_300e.py"

max_epochs, warm_up = 100, 10
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, begin=0, end=warm_up, by_epoch=True, convert_to_iter_based=True),
    dict(
        type="CosineAnnealingLR",
        begin=warm_up,
        end=max_epochs,
        T_max=max_epochs - warm_up,
        eta_min=1e-5,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
auto_scale_lr = dict(base_batch_size=128)
