"""``sgbm_middlebury.py`` as OpenCV matches: nothing in the first columns, which are filled, too."""

_base_ = ["./sgbm_middlebury.py"]

model = dict(margin=False)
