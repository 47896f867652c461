"""Voxel super-resolution of Front3D-NeRF from 160 to 256 voxels a side.

Set ``model.pretrained`` to a checkpoint of NeRF-MAE; from scratch the authors leave out the position table
and stochastic depth (``model.encoder.position_table=False``, ``model.encoder.drop_path_rate=0.0``).
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/voxel_super_resolution.py",
    "../_base_/datasets/front3d_finer.py",
    "../_base_/schedules/nerf_mae_500e.py",
]

train_dataloader = dict(batch_size=8)
val_evaluator = dict(type="GridReconstruction")
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best="grid/psnr", rule="greater"))
