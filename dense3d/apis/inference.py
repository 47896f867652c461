"""Predictions on image files: pictures, COCO-style results, label maps and KITTI's result files."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import MODELS, DefaultScope

from dense3d.apis.inference_3d import frame_fields, needs_calibration, write_lines
from dense3d.apis.testing import augment
from dense3d.config import check_config, load_config
from dense3d.datasets.image_folder import images_below
from dense3d.datasets.panoptic.agreement import counted_segments
from dense3d.datasets.panoptic.files import write_panoptic
from dense3d.datasets.panoptic.id_map import write_id_map
from dense3d.engine.bad_batches import naming_samples
from dense3d.engine.channels import fill_channels
from dense3d.engine.checkpoint import load_checkpoint, load_into, weights_of
from dense3d.errors import ConfigError, DataError
from dense3d.files import atomic_write
from dense3d.visualization.pictures import Painter, panoptic_segments, write_label_map


class Inferencer:
    """A trained model that takes image files.

    Args:
        config: config file or loaded config, the one the checkpoint was trained with.
        checkpoint: checkpoint file.
        device: ``"cuda"``, ``"cpu"``, ...; the GPU if there is one.
        options: settings that override the config's.
        tta: augment each image and merge the predictions, see :func:`dense3d.apis.test`.
        calibration: of detectors of 3D boxes, a file or folder, see :func:`infer`.

    Attributes:
        classes: class names, from the checkpoint.
        detects_3d: whether images need calibrations.

    Raises:
        ConfigError, CheckpointError: one sentence on what is wrong.
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path,
        device: str | None = None,
        options: dict[str, Any] | None = None,
        tta: bool = False,
        calibration: str | Path | None = None,
    ) -> None:
        self.cfg = config if isinstance(config, Config) else load_config(config, options)
        check_config(self.cfg)
        pipeline = _inference_pipeline(self.cfg)
        self.detects_3d, self.calibration = needs_calibration(pipeline), calibration
        if calibration is not None and not self.detects_3d:
            raise ConfigError(f"{self.cfg.filename} describes no detector of 3D boxes: leave --calib out")
        if tta:
            augment(self.cfg)
            pipeline = _inference_pipeline(self.cfg)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        loaded = load_checkpoint(checkpoint)
        self.dataset_meta = dict(loaded.get("meta", {}).get("dataset_meta") or {})
        self.classes: tuple[str, ...] = tuple(self.dataset_meta.get("classes", ()))
        with DefaultScope.overwrite_default_scope(self.cfg.default_scope):
            model_cfg = fill_channels(self.cfg.model)
            model_cfg.setdefault("data_preprocessor", self.cfg.get("data_preprocessor"))
            self.model = MODELS.build(model_cfg)
            bare = self.model.module if tta else self.model
            self.pipeline = Compose(pipeline)
        load_into(bare, weights_of(loaded, checkpoint), source=str(checkpoint))
        self.model.to(self.device).eval()

    def __call__(self, images: Sequence[str | Path], batch_size: int = 1) -> Iterator[Any]:
        """Data samples of ``images`` in their order, with boxes in pixels of the original image.

        Raises:
            DataError: an image or, before the first is looked at, any image's calibration cannot be read, or
                the model refuses an image (too small, for instance).
        """
        inputs = [self._describe(path, index) for index, path in enumerate(images)]
        for start in range(0, len(inputs), batch_size):
            with DefaultScope.overwrite_default_scope(self.cfg.default_scope):
                batch = pseudo_collate([self._load(item) for item in inputs[start : start + batch_size]])
                with torch.no_grad(), naming_samples(batch):
                    samples = self.model.test_step(batch)
                yield from samples

    def _describe(self, path: str | Path, index: int) -> dict:
        """What the pipeline starts from."""
        item = dict(img_path=str(path), img_id=index)
        return item | frame_fields(Path(path), self.calibration) if self.detects_3d else item

    def _load(self, item: dict) -> dict:
        path = item["img_path"]
        if cv2.imread(path, cv2.IMREAD_COLOR) is None:
            raise DataError(f"{path} is not a readable image: replace or remove the file")
        return self.pipeline(item)


@dataclass
class InferenceReport:
    """What a run of :func:`infer` wrote, and the files it could not read.

    ``results`` is ``predictions.json``, of detectors of 3D boxes the folder of result files.
    """

    results: Path
    pictures: list[Path] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def infer(
    config: str | Path | Config,
    checkpoint: str | Path,
    inputs: Iterable[str | Path],
    out: str | Path,
    score_threshold: float = 0.3,
    batch_size: int = 1,
    device: str | None = None,
    options: dict[str, Any] | None = None,
    tta: bool = False,
    calibration: str | Path | None = None,
) -> InferenceReport:
    """Run a model on images and write pictures and results.

    Args:
        config: config file or loaded config.
        checkpoint: checkpoint file.
        inputs: images, folders (searched recursively) and globs.
        out: folder; gets a picture per image under ``pictures/``, ``predictions.json``, a list in COCO's
            result format in which every entry also names its file and category, and of segmentors the
            classes of all pixels as ``labels/*.png``, numbered as in the data set's annotations; of panoptic
            models also ``panoptic.json`` and ``panoptic/*.png`` in COCO's format. Detectors of 3D boxes
            write KITTI's result files ``results/*.txt`` in place of ``predictions.json``, and draw the boxes
            in the image and from above.
        score_threshold: predictions below it are neither drawn nor written.
        batch_size: images at a time.
        device, tta: see :class:`Inferencer`.
        options: settings that override the config's.
        calibration: for detectors of 3D boxes, a calibration file of KITTI's format for all images, or a
            folder with a file of each image's name; by default the folder ``calib`` beside theirs.

    Raises:
        DataError: no image is found, or an image has no calibration. Unreadable files are left out and listed
            in the report.
    """
    images = find_images(inputs)
    model = Inferencer(config, checkpoint, device, options, tta, calibration)
    out = Path(out)
    readable = [p for p in images if cv2.haveImageReader(str(p)) and cv2.imread(str(p)) is not None]
    report = InferenceReport(out / ("results" if model.detects_3d else "predictions.json"))
    report.unreadable = [str(p) for p in images if p not in set(readable)]
    draw = Painter(model.dataset_meta, model.model.data_preprocessor, score_threshold)
    names = _picture_names(readable)
    entries: list[dict] = []
    panoptic: list[dict] = []
    for index, (path, sample) in enumerate(zip(readable, model(readable, batch_size))):
        sample = sample.cpu()
        entries += _coco_entries(sample, index + 1, path, model, score_threshold)
        target = out / "pictures" / names[path]
        draw(path, sample, target)
        if model.detects_3d:
            write_lines(sample, (report.results / names[path]).with_suffix(".txt"), score_threshold)
        if "pred_sem_seg" in sample:
            write_label_map(sample, (out / "labels" / names[path]).with_suffix(".png"), model.dataset_meta)
        if "pred_panoptic_seg" in sample:
            png = (out / "panoptic" / names[path]).with_suffix(".png")
            panoptic.append(_write_panoptic(sample, index + 1, png, model))
        report.pictures.append(target)
    if not model.detects_3d:
        with atomic_write(report.results, "w") as file:
            json.dump(entries, file)
    if panoptic:
        write_panoptic(out / "panoptic.json", panoptic)
    return report


def find_images(inputs: Iterable[str | Path]) -> list[Path]:
    """Image files named by paths, folders (recursively) and globs, each once, sorted within an input.

    Raises:
        DataError: an input matches no image.
    """
    found: dict[Path, None] = {}
    for item in inputs:
        path = Path(item)
        if path.is_dir():
            matches = images_below(path)
        elif path.is_file():
            matches = [path]
        else:
            matches = [Path(p) for p in sorted(glob.glob(str(item), recursive=True)) if Path(p).is_file()]  # noqa: PTH207
        if not matches:
            raise DataError(f"{item} names no image: give image files, a folder of them, or a glob in quotes")
        found.update(dict.fromkeys(matches))
    return list(found)


def _inference_pipeline(cfg: Config) -> list[dict]:
    """The test pipeline without its annotation loading."""
    for key in ("test_dataloader", "val_dataloader"):
        if cfg.get(key) is not None:
            dataset = cfg[key].dataset
            while "pipeline" not in dataset and "dataset" in dataset:
                dataset = dataset.dataset
            scope = dataset.get("_scope_")
            steps = _without_annotations(dataset.pipeline)
            for step in steps:
                if scope and "_scope_" not in step and "." not in step["type"]:
                    step["_scope_"] = scope
            return steps
    raise ConfigError(f"{cfg.filename} has no test_dataloader: its pipeline says how images are prepared")


def _without_annotations(pipeline: Sequence[dict]) -> list[dict]:
    """A pipeline less the steps that load annotations, also where it augments."""
    steps = []
    for step in pipeline:
        if "Annotations" in str(step.get("type")):
            continue
        step = dict(step)
        if step["type"].rpartition(".")[2] == "TestTimeAug":
            branches = [_without_annotations(branch) for branch in step["transforms"]]
            step["transforms"] = [branch for branch in branches if branch]
        steps.append(step)
    return steps


def _picture_names(paths: list[Path]) -> dict[Path, str]:
    """A file name per picture; files of one name from several folders are told apart by a number."""
    names: dict[Path, str] = {}
    used: dict[str, int] = {}
    for path in paths:
        count = used[path.stem] = used.get(path.stem, 0) + 1
        names[path] = f"{path.stem}.jpg" if count == 1 else f"{path.stem}_{count}.jpg"
    return names


def _write_panoptic(sample: Any, image_id: int, png: Path, model: Inferencer) -> dict[str, Any]:
    """Write the map of an image's segments; its entry for the JSON file."""
    ids, labels = panoptic_segments(sample, model.dataset_meta)
    write_id_map(png, ids)
    category_ids = model.dataset_meta.get("category_ids") or range(1, len(model.classes) + 1)
    segments = [{"id": i, "category_id": int(category_ids[label])} for i, label in enumerate(labels, start=1)]
    return {"image_id": image_id, "file_name": png.name, "segments_info": counted_segments(ids, segments)}


def _coco_entries(sample: Any, image_id: int, path: Path, model: Inferencer, threshold: float) -> list[dict]:
    """COCO result entries of one image: boxes as ``[x, y, width, height]`` in pixels, masks as RLE."""
    instances = sample.get("pred_instances")
    if instances is None:
        return []
    category_ids = model.dataset_meta.get("category_ids") or range(1, len(model.classes) + 1)
    entries = []
    boxes = instances.bboxes.numpy()  # (N, 4) x1, y1, x2, y2
    for i in np.flatnonzero(instances.scores.numpy() >= threshold):
        x1, y1, x2, y2 = (float(v) for v in boxes[i])
        label = int(instances.labels[i])
        entry = dict(
            image_id=image_id,
            file_name=str(path),
            category_id=int(category_ids[label]),
            category_name=model.classes[label] if model.classes else str(label),
            bbox=[x1, y1, x2 - x1, y2 - y1],
            score=float(instances.scores[i]),
        )
        if "masks" in instances:
            entry["segmentation"] = _rle(instances.masks[i])
        entries.append(entry)
    return entries


def _rle(mask: torch.Tensor) -> dict:
    from pycocotools import mask as mask_tools

    rle = mask_tools.encode(np.asfortranarray(mask.numpy().astype(np.uint8)))
    return dict(size=list(rle["size"]), counts=rle["counts"].decode())
