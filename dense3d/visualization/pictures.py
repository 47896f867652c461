"""Pictures of what models get and give, as ``dense3d infer`` and ``dense3d test --show-dir`` write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from dense3d.datasets.kitti.objects import KittiObjects
from dense3d.datasets.panoptic.id_map import decode_segments
from dense3d.errors import DataError
from dense3d.files import atomic_write
from dense3d.visualization.boxes3d import draw_frame, enlarged
from dense3d.visualization.panels import draw_segmentation, side_by_side
from dense3d.visualization.panoptic import draw_panels, panoptic_ground_truth


def denormalised(image: torch.Tensor, preprocessor: Any, is_rgb: bool = False) -> np.ndarray:
    """Undo a preprocessor's normalisation.

    Args:
        image: ``(3, H, W)``, preprocessed.
        preprocessor: mmengine's ``ImgDataPreprocessor`` or one derived from it.
        is_rgb: the preprocessor was given RGB, not mmcv's BGR.

    Returns:
        ``(H, W, 3)`` RGB, uint8.
    """
    image = image.detach().float().cpu()
    mean, std = getattr(preprocessor, "mean", None), getattr(preprocessor, "std", None)
    if mean is not None:
        image = image * std.cpu().view(-1, 1, 1) + mean.cpu().view(-1, 1, 1)
    # mmcv loads BGR; a preprocessor that does not convert leaves it so.
    converts = getattr(preprocessor, "_channel_conversion", None) or getattr(
        preprocessor, "channel_conversion", None
    )
    pixels = image.round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    return np.ascontiguousarray(pixels if bool(converts) != is_rgb else pixels[..., ::-1])


class Painter:
    """Draws what a model predicted, whatever it is, onto or beside its image.

    Args:
        dataset_meta: ``classes``, ``palette``, ... of the data set.
        preprocessor: the model's; it tells how to undo normalisation.
        threshold: scores of boxes below it are not drawn.
    """

    def __init__(self, dataset_meta: dict, preprocessor: Any = None, threshold: float = 0.3) -> None:
        self.dataset_meta, self.preprocessor, self.threshold = dataset_meta, preprocessor, threshold
        self._visualizer: Any = None

    def __call__(self, path: Path, sample: Any, target: Path) -> None:
        """Write the picture ``target`` of the prediction ``sample`` (on the CPU) for the image ``path``."""
        if "reconstruction" in sample:
            write_picture(self._reconstruction(sample), target)
        elif "predictions" in sample:
            write_picture(self._boxes_3d(path, sample), target)
        elif "pred_panoptic_seg" in sample:
            write_picture(self._panoptic(path, sample), target)
        elif "pred_sem_seg" in sample and "pred_instances" not in sample:
            write_picture(self._label_maps(path, sample), target)
        else:
            self._boxes(path, sample, target)

    def _reconstruction(self, sample: Any) -> np.ndarray:
        """Original, what the network saw of it, and what it made of that."""
        images = [sample.image, sample.masked, sample.reconstruction]
        panels = [denormalised(image, self.preprocessor) for image in images]
        panels[1][(sample.masked == 0).all(dim=0).numpy()] = 128
        return side_by_side(panels, 320)

    def _boxes_3d(self, path: Path, sample: Any) -> np.ndarray:
        """The frame with predicted and, where there are any, labelled 3D boxes, and the view from above."""
        found: KittiObjects = sample.predictions
        found = found.select(found.scores >= self.threshold)
        image, calibration = enlarged(_read(path), sample.calibration)
        return draw_frame(image, calibration, sample.get("objects"), found)

    def _panoptic(self, path: Path, sample: Any) -> np.ndarray:
        """All segments over the image, those of the ground truth on the left where there is one."""
        maps = {"prediction": panoptic_segments(sample, self.dataset_meta)}
        if "gt_sem_seg" in sample and "masks" in sample.get("gt_instances", ()):
            maps = {"ground truth": panoptic_ground_truth(sample), **maps}
        classes, palette = self.dataset_meta["classes"], self.dataset_meta.get("palette")
        return draw_panels(_read(path), maps, classes, palette)

    def _label_maps(self, path: Path, sample: Any) -> np.ndarray:
        """The image, the ground truth where there is one, and the prediction."""
        fields = [name for name in ("gt_sem_seg", "pred_sem_seg") if name in sample]
        maps = [_label_map(sample.get(name)) for name in fields]
        classes, palette = self.dataset_meta["classes"], self.dataset_meta.get("palette")
        return draw_segmentation(_read(path), maps, classes, palette)

    def _boxes(self, path: Path, sample: Any, target: Path) -> None:
        from mmdet.visualization import DetLocalVisualizer

        if self._visualizer is None:
            self._visualizer = DetLocalVisualizer()
            self._visualizer.dataset_meta = self.dataset_meta
        target.parent.mkdir(parents=True, exist_ok=True)
        self._visualizer.add_datasample(
            path.stem,
            _read(path),
            sample,
            draw_gt=False,
            show=False,
            out_file=str(target),
            pred_score_thr=self.threshold,
        )


def panoptic_segments(sample: Any, dataset_meta: dict) -> tuple[np.ndarray, np.ndarray]:
    """Map ``(H, W)`` of predicted segments, 0 void and then 1 .. S, and their labels ``(S,)``."""
    result = sample.pred_panoptic_seg
    coded = result.sem_seg[0].numpy()
    return decode_segments(coded, len(dataset_meta["classes"]), result.get("ignore_index"))


def write_label_map(sample: Any, target: Path, dataset_meta: dict) -> None:
    """Predicted classes as the annotations of the data set have them: with ``reduce_zero_label``, from 1."""
    labels = _label_map(sample.pred_sem_seg) + int(bool(dataset_meta.get("reduce_zero_label")))
    write_picture(labels.astype(np.uint8 if labels.max() < 256 else np.uint16), target)


def write_picture(picture: np.ndarray, target: Path) -> None:
    """Write RGB ``(H, W, 3)`` or numbers ``(H, W)``, in the format that the suffix names.

    Raises:
        DataError: it cannot be encoded.
    """
    pixels = picture[..., ::-1] if picture.ndim == 3 else picture
    ok, encoded = cv2.imencode(target.suffix, pixels)
    if not ok:
        raise DataError(f"{target}: the picture could not be encoded")
    with atomic_write(target) as file:
        file.write(encoded.tobytes())


def _label_map(field: Any) -> np.ndarray:
    data: torch.Tensor = field.data if "data" in field else field.sem_seg  # mmseg's name and mmdet's
    return data.reshape(data.shape[-2:]).numpy()


def _read(path: str | Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
