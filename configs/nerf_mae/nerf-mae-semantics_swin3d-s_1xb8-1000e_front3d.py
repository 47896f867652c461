"""Voxel semantics of Front3D-NeRF by the network of NeRF-MAE.

Set ``model.pretrained`` to a checkpoint of NeRF-MAE; from scratch the authors leave out the position table
and stochastic depth (``model.encoder.position_table=False``, ``model.encoder.drop_path_rate=0.0``).
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/voxel_segmenter.py",
    "../_base_/datasets/front3d_semantics.py",
    "../_base_/schedules/nerf_mae_1000e.py",
]

train_dataloader = dict(batch_size=8)
val_evaluator = dict(type="VoxelIoU")
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best="voxel/mIoU", rule="greater"))
