"""3DETR-m: attention to neighbourhoods, half of the points behind the first layer."""

_base_ = ["./threedetr.py"]

model = dict(
    encoder=dict(
        radii=(0.16, 0.64, 1.44),  # 0.4, 0.8 and 1.2 squared, as published weights expect
        downsampling=dict(num_points=1024, radius=0.4, num_neighbours=32, channels=(256, 256, 256)),
    )
)
