"""``sgbm_synthetic-stereo.py`` as OpenCV matches: nothing in the first columns, which are filled, too."""

_base_ = ["./sgbm_synthetic-stereo.py"]

model = dict(margin=False)
