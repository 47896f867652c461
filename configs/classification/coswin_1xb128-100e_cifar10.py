"""CoSwin on CIFAR-10: top-1 96.63 in the paper.

arXiv 2509.08959: 100 epochs, half of the batches mixed, by mixup or CutMix. The authors' repeated images and
learned augmentation are not built; images are cut out and mirrored.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/image_classifier.py",
    "../_base_/datasets/cifar10_32.py",
    "../_base_/schedules/small_images_100e.py",
]

model = dict(
    data_preprocessor=dict(batch_augment=dict(mixup_alpha=1.0, prob=0.5)),
    num_classes=10,
    backbone=dict(type="CoSwin", patch_size=2, drop_path_rate=0.1),
)
