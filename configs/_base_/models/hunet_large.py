"""The released large HUNet, 67.610 M parameters, which HUNet's defaults are: 2 to 32 centimetres."""

model = dict(voxel_size=0.02, backbone=dict(in_channels=6, drop_path=0.2))
