"""Point-MAE pre-training of a small network on 12 families of synthetic objects, without labels, on a CPU.

The other nine families are for ``point-mae-few-shot_pt-tiny_synthetic-shapes.py``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/point_mae_tiny.py",
    "../_base_/datasets/synthetic_shapes.py",
    "../_base_/schedules/point_tiny.py",
]

train_dataloader = dict(dataset=dict(only={{_base_.pretraining}}))
val_dataloader = dict(dataset=dict(only={{_base_.pretraining}}))
test_dataloader = dict(dataset=dict(only={{_base_.pretraining}}))
val_evaluator = dict(type="ReconstructionError")
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=800))
log_processor = dict(by_epoch=False)
