"""CroCo-Stereo's main model on Middlebury's third evaluation at full size, with overlaps of 0.9 as submitted.

The official model is the main one as it is, not fine-tuned on Middlebury alone: training is that of
``croco-stereo_vitl-base_1xb6-32e_stereo-mix.py``, which sees these 15 scenes, so that figures on them tell
nothing of others. Tests of one image take hours on a CPU: ``trainingQ`` has a quarter of the width.
"""

_base_ = ["./croco-stereo_vitl-base_1xb6-32e_stereo-mix.py"]

model = dict(test_cfg=dict(overlap=0.9))
_dataset = dict(
    type="Middlebury",
    data_root="data/middlebury/MiddEval3/trainingF",
    test_mode=True,
    pipeline=_base_._test_pipeline,
)
val_dataloader = dict(dataset=dict(_delete_=True, **_dataset))
test_dataloader = val_dataloader
val_evaluator = dict(protocol="middlebury")
test_evaluator = val_evaluator
