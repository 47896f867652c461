"""Pictures of predictions beside the ground truth, while a model is tested."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook

from dense3d.registry import HOOKS
from dense3d.visualization.pictures import Painter


@HOOKS.register_module()
class PictureHook(Hook):
    """Writes a picture for each tested image: label maps with a legend, or reconstructions.

    Args:
        folder: where to; pictures keep the names of their images.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    @master_only
    def after_test_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Draw the samples of a batch."""
        model = getattr(runner.model, "module", runner.model)
        painter = Painter(runner.test_dataloader.dataset.metainfo, model.data_preprocessor)
        for sample in outputs:
            path = Path(sample.img_path)
            painter(path, sample.cpu(), self.folder / f"{path.stem}.jpg")
