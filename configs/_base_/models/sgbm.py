"""Semi-global matching without weights, filled from the left: OpenCV's, with its documentation's settings."""

model = dict(
    type="SemiGlobalMatching",
    data_preprocessor=dict(type="StereoDataPreprocessor"),
    disparities=192,
    margin=True,
    fill=True,
)
test_cfg = dict(type="TestLoop")
