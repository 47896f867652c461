"""MonoDINO-DETR + DAB with a ViT-B on KITTI's cars: queries are six-dimensional anchors that move."""

_base_ = ["./monodino-detr_vitb_1xb8-195e_kitti-car.py"]

model = dict(anchors=True)
