"""A small search space and a classifier of it, with weights that are no longer those of the start."""

from __future__ import annotations

import torch

from projects.vit_resnas.classifiers import SupernetClassifier

STAGES = [
    dict(dims=(16, 12, 8), heads=(3, 2, 1), hidden=(24, 16, 8), head_dim=4, removable=(False, True, True)),
    dict(dims=(24, 20, 16), heads=(4, 2), hidden=(32, 16), head_dim=4, removable=(False, True)),
]
SPACE = dict(stages=STAGES, embed_channels=4)


def supernet(**settings) -> SupernetClassifier:
    """Of 56 x 56 images and 5 classes; every norm and bias differs from 1 and 0."""
    torch.manual_seed(0)
    backbone = dict(type="SuperViTResNAS", space=SPACE, pretrain_size=56, drop_path_rate=0.0, **settings)
    model = SupernetClassifier(backbone, 5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
        for norm in (m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2.0)
    return model
