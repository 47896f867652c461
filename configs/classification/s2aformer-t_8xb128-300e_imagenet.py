"""S2AFormer-T on ImageNet-1k: sizes of ours after the paper, hence no figure of it.

Xu et al., IEEE TIP 2025 (arXiv 2505.22195).
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/image_classifier.py",
    "../_base_/datasets/imagenet_224.py",
    "../_base_/schedules/imagenet_300e.py",
]

model = dict(backbone=dict(type="S2AFormer", arch="tiny", drop_path_rate=0.1))
