"""What segmentors change in the runtime: iterations are counted, not epochs."""

_base_ = "./runtime.py"

default_hooks = dict(
    logger=dict(interval=50),
    checkpoint=dict(by_epoch=False, interval=16_000, save_best="mIoU"),
)
visualizer = dict(type="mmseg.SegLocalVisualizer")
log_processor = dict(by_epoch=False)
tta_model = dict(type="mmseg.SegTTAModel")
