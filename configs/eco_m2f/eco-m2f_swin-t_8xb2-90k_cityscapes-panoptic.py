"""Step A of ECO-M2F, Swin-T, Cityscapes panoptic: images may leave after 2 ... 6 encoder layers.

Yao et al., arXiv 2404.15244; the schedule is Mask2Former's. Steps B and C: ``docs/eco-m2f.md``.
"""

_base_ = ["../mask2former/mask2former_swin-t_8xb2-90k_cityscapes-panoptic.py"]

# The norm of each step's gradient is clipped, which would cancel the weight of a single exit: a step has all.
model = dict(type="dense3d.ECOM2F", min_depth=2, depth=6, exit_training="all", count_cost=True)
find_unused_parameters = True  # the gate's
val_evaluator = [{{_base_.val_evaluator}}, dict(type="ExitCostMetric")]
test_evaluator = [{{_base_.test_evaluator}}, dict(type="ExitCostMetric")]
