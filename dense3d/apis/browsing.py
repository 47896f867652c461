"""A look at the data before training: the batches that a model would see, and the scan of the files."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner

from dense3d.apis.setup import make_synthetic_data
from dense3d.config import check_config, load_config
from dense3d.config.building import explained_building
from dense3d.config.moving import SPLITS
from dense3d.datasets.scan import ScanReport, scan_config
from dense3d.datasets.strict import skipped_samples, with_strict_dataset
from dense3d.errors import ConfigError, DataError
from dense3d.files import atomic_write, require_writable_folder
from dense3d.visualization.annotations import draw_sample, grid
from dense3d.visualization.pictures import denormalised

COLUMNS, ROWS = 4, 3


@dataclass
class Browsed:
    """Sheets of pictures that were written, and sentences on samples that were skipped."""

    sheets: list[Path] = field(default_factory=list)
    drawn: int = 0
    skipped: list[str] = field(default_factory=list)


def browse(
    config: str | Path | Config,
    out: str | Path,
    number: int = 24,
    split: str = "train",
    options: dict[str, Any] | None = None,
    seed: int = 0,
) -> Browsed:
    """Draw samples as the model would get them: augmented, batched, preprocessed, with their annotations.

    Args:
        config: config file, name of a shipped one, or loaded config.
        out: folder for the sheets, PNG files of twelve pictures each.
        number: samples.
        split: ``"train"``, ``"val"`` or ``"test"``.
        options: settings that override the config's.
        seed: of shuffling and augmentation.

    Raises:
        ConfigError, DataError: one sentence on what is wrong.
    """
    require_writable_folder(out)
    if number < 1:
        raise ConfigError(f"{number} samples cannot be drawn: give 1 or more")
    cfg = _prepared(config, options, (split,))
    loader_cfg = copy.deepcopy(cfg.get(f"{split}_dataloader"))
    if loader_cfg is None:
        raise ConfigError(f"{cfg.filename} has no {split}_dataloader: there is nothing to browse")
    for key in ("persistent_workers", "prefetch_factor"):
        loader_cfg.pop(key, None)
    loader_cfg.num_workers = 0
    torch.manual_seed(seed)
    np.random.seed(seed)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        with explained_building(cfg):
            loader = Runner.build_dataloader(with_strict_dataset(loader_cfg), seed=seed)
            preprocessor = _preprocessor(cfg)
        pictures = _pictures(loader, preprocessor, loader.dataset.metainfo, number, training=split == "train")
        result = _write_sheets(pictures, Path(out), split)
    result.skipped = skipped_samples(loader.dataset)
    return result


def check_data(config: str | Path | Config, options: dict[str, Any] | None = None) -> list[ScanReport]:
    """Scan all data sets of a config thoroughly: every annotation, every pixel of every image."""
    return scan_config(_prepared(config, options), quick=False)


def _prepared(
    config: str | Path | Config, options: dict[str, Any] | None, splits: tuple[str, ...] = SPLITS
) -> Config:
    cfg = config if isinstance(config, Config) else load_config(config, options)
    check_config(cfg)
    make_synthetic_data(cfg, splits)
    return cfg


def _preprocessor(cfg: Config) -> Any:
    """The model's data preprocessor, which normalises, pads and may augment batches."""
    settings = cfg.model.get("data_preprocessor") or cfg.get("data_preprocessor")
    if settings is None:
        raise ConfigError(
            f"{cfg.filename} has no data_preprocessor: batches cannot be drawn as the model sees them"
        )
    with DefaultScope.overwrite_default_scope(cfg.model.get("_scope_") or cfg.default_scope):
        return MODELS.build(dict(settings))


def _pictures(
    loader: Any, preprocessor: Any, metainfo: dict, number: int, training: bool
) -> Iterator[np.ndarray]:
    classes, palette = metainfo.get("classes") or (), metainfo.get("palette")
    if palette is not None and len(palette) < len(classes):
        palette = None
    left = number
    for batch in loader:
        batch = preprocessor(batch, training)
        if isinstance(batch["inputs"], dict):
            drawn = _drawn_clouds(batch, metainfo)
        else:
            drawn = (
                draw_sample(
                    denormalised(image, preprocessor, sample.get("channel_order") == "rgb"),
                    sample,
                    classes,
                    palette,
                )
                for image, sample in zip(batch["inputs"], batch["data_samples"])
            )
        for picture in drawn:
            if not left:
                return
            left -= 1
            yield picture


def _drawn_clouds(batch: dict, metainfo: dict) -> Iterator[np.ndarray]:
    from dense3d.pointcloud.batches import clouds_of
    from dense3d.visualization.clouds import draw_cloud_sample

    points, _, lengths = clouds_of(batch["inputs"])
    counts = [points.shape[1]] * len(points) if lengths is None else lengths.tolist()
    for cloud, count, sample in zip(points.cpu().numpy(), counts, batch["data_samples"]):
        yield draw_cloud_sample(
            cloud[:count], sample, metainfo.get("classes") or (), str(metainfo.get("up_axis", "z"))
        )


def _write_sheets(pictures: Iterator[np.ndarray], out: Path, split: str) -> Browsed:
    result, page = Browsed(), []

    def flush() -> None:
        path = out / f"{split}_{len(result.sheets):02d}.png"
        ok, encoded = cv2.imencode(".png", grid(page, min(COLUMNS, len(page)))[..., ::-1])
        if not ok:
            raise DataError(f"{path}: the picture could not be encoded")
        with atomic_write(path) as file:
            file.write(encoded.tobytes())
        result.sheets.append(path)
        result.drawn += len(page)
        page.clear()

    for picture in pictures:
        page.append(picture)
        if len(page) == COLUMNS * ROWS:
            flush()
    if page:
        flush()
    return result
