"""``sgbm_sceneflow.py`` as OpenCV matches: nothing in the first columns, which are filled, too."""

_base_ = ["./sgbm_sceneflow.py"]

model = dict(margin=False)
