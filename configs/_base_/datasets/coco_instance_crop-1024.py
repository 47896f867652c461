"""COCO boxes and masks, augmented as for ViT-Adapter and ViT-CoMer: DETR's, then 1024 x 1024 at most."""

_base_ = "./coco_instance.py"

train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(type="RandomCrop", crop_type="absolute_range", crop_size=(1024, 1024), allow_negative_crop=True),
    _base_.train_pipeline[-1],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
