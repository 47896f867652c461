"""mmseg's mean IoU, which writes label maps whole, as wide as they need, and each under its own name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmseg.evaluation import IoUMetric as MMSegIoUMetric

from dense3d.registry import METRICS
from dense3d.results.names import FileNames
from dense3d.visualization.pictures import write_picture


@METRICS.register_module()
class IoUMetric(MMSegIoUMetric):
    """mmseg's ``IoUMetric`` (its arguments and numbers) with other files in ``output_dir``.

    mmseg's are of 8 bits, so that class 256 becomes 0, and images of one name in two folders share one.

    Args:
        output_dir: for a label map an image; numbered as the annotations, with ``reduce_zero_label`` from 1.
        *args, **kwargs: as for mmseg's.
    """

    def __init__(self, *args: Any, output_dir: str | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.folder = Path(output_dir) if output_dir else None
        self.names = FileNames()

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count, and write the label maps of one batch."""
        super().process(data_batch, data_samples)
        for sample in data_samples if self.folder is not None else ():
            labels = sample["pred_sem_seg"]["data"].squeeze(0).cpu().numpy()
            labels = labels + int(bool(sample.get("reduce_zero_label")))
            kind = np.uint8 if labels.max() < 256 else np.uint16
            write_picture(labels.astype(kind), self.folder / f"{self.names.of(sample['img_path'])}.png")
