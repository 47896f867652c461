"""VoteNet on SUN RGB-D: 10 classes, oriented boxes. Paper: AP25 57.7."""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/datasets/sunrgbd_detection.py",
    "../_base_/models/votenet.py",
    "../_base_/schedules/votenet_180e.py",
]

# bed, table, sofa, chair, toilet, desk, dresser, night stand, bookshelf, bathtub
mean_sizes = [
    (2.114256, 1.620300, 0.927272),
    (0.791118, 1.279516, 0.718182),
    (0.923508, 1.867419, 0.845495),
    (0.591958, 0.552978, 0.827272),
    (0.699104, 0.454178, 0.756250),
    (0.695190, 1.346299, 0.736364),
    (0.528526, 1.002642, 1.172878),
    (0.500618, 0.632163, 0.683424),
    (0.404671, 1.071108, 1.688889),
    (0.765840, 1.398258, 0.472728),
]
model = dict(num_classes=10, mean_sizes=mean_sizes, num_heading_bins=12)
