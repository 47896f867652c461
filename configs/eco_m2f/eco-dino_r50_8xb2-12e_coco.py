"""Step A of ECO-M2F for DINO, ResNet-50, COCO: images may leave after 2 ... 6 encoder layers.

The recipe of arXiv 2404.15244 on a detector; the schedule is mmdet's. Steps B and C: ``docs/eco-m2f.md``.
"""

_base_ = "../dino/dino_r50_8xb2-12e_coco.py"

model = dict(
    type="dense3d.EarlyExitDINO",
    min_depth=2,
    depth=6,
    count_cost=True,
)
find_unused_parameters = True  # layers behind the exit of a batch
val_evaluator = [{{_base_.val_evaluator}}, dict(type="dense3d.ExitCostMetric")]
test_evaluator = [{{_base_.test_evaluator}}, dict(type="dense3d.ExitCostMetric")]
