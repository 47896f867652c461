"""``sgbm_eth3d.py`` as OpenCV matches: nothing in the first columns, which are filled, too."""

_base_ = ["./sgbm_eth3d.py"]

model = dict(margin=False)
