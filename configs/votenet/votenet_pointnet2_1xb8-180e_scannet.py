"""VoteNet on ScanNet V2: 18 classes, boxes along the axes. Paper: AP25 58.6, AP50 33.5."""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/datasets/scannet_detection.py",
    "../_base_/models/votenet.py",
    "../_base_/schedules/votenet_180e.py",
]

# cabinet, bed, chair, sofa, table, door, window, bookshelf, picture, counter, desk, curtain, refrigerator,
# shower curtain, toilet, sink, bathtub, garbage bin
mean_sizes = [
    (0.769667, 0.811602, 0.925737),
    (1.876858, 1.842560, 1.193157),
    (0.613280, 0.614861, 0.718270),
    (1.395501, 1.512155, 0.834436),
    (0.979496, 1.067515, 0.632969),
    (0.531663, 0.595558, 1.750015),
    (0.962471, 0.724623, 1.148187),
    (0.832219, 1.049094, 1.687566),
    (0.211322, 0.420616, 0.537285),
    (1.444007, 1.897083, 0.269857),
    (1.029426, 1.404080, 0.875543),
    (1.376641, 0.655218, 1.681313),
    (0.665082, 0.711119, 1.298853),
    (0.419992, 0.379069, 1.751397),
    (0.593596, 0.591249, 0.739190),
    (0.508676, 0.506561, 0.301362),
    (1.151153, 1.054630, 0.497068),
    (0.475353, 0.492495, 0.580212),
]
model = dict(num_classes=18, mean_sizes=mean_sizes, num_heading_bins=1)
