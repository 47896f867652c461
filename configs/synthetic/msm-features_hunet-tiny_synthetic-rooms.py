"""Features of the small HUNet, for ``dense3d infer`` with a checkpoint of
``msm_hunet-tiny_synthetic-rooms.py``; there is nothing to train."""

_base_ = ["../msm/msm-features_hunet-l_scannet.py", "../_base_/models/hunet_tiny.py"]

test_dataloader = dict(
    dataset=dict(type="SyntheticRooms", data_root="data/synthetic/rooms_scanned/", split="val")
)
