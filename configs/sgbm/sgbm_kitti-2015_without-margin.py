"""``sgbm_kitti-2015.py`` as OpenCV matches: nothing in the first columns, which are filled, too."""

_base_ = ["./sgbm_kitti-2015.py"]

model = dict(margin=False)
