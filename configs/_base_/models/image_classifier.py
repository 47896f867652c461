"""A classifier of 1000 classes on ImageNet's mean and deviation; configs give it a backbone.

Mixup, CutMix, random erasing and label smoothing as DeiT, Swin and ConvNeXt train.
"""

_preprocessor = dict(
    type="ClassDataPreprocessor",
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
)
_mixing = dict(mixup_alpha=0.8, cutmix_alpha=1.0, prob=1.0, switch_prob=0.5, mode="batch")
model = dict(
    type="ImageClassifier",
    data_preprocessor=dict(
        **_preprocessor,
        random_erasing=dict(probability=0.25, mode="pixel", max_count=1),
        batch_augment=_mixing,
    ),
    num_classes=1000,
    label_smoothing=0.1,
)
