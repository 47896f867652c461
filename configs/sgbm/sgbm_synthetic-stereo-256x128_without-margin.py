"""``sgbm_synthetic-stereo-256x128.py`` as OpenCV matches: nothing in the first columns, which are filled."""

_base_ = ["./sgbm_synthetic-stereo-256x128.py"]

model = dict(margin=False)
