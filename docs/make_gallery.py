"""Make docs/gallery.md and its pictures from runs of the small configs, on held-out synthetic images.

    uv run docs/make_gallery.py                    # trains what has no run yet, about an hour on two cores
    uv run docs/make_gallery.py --runs work_dirs   # where the runs are, one folder a config

Every picture is what ``dense3d.load(config, checkpoint)(image).plot()`` gives, every figure the last
evaluation in the run's log.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

PAGES = Path(__file__).resolve().parent
HEAD = """# Gallery

Made by `docs/make_gallery.py` from runs of the small configs on two CPU cores. The images are synthetic and
were held out from training; nothing is picked: they are the first ones of their set.

"""
HEIGHT = 256  # pixels of a picture
GAP = 6


@dataclass(frozen=True)
class Task:
    """A row of the gallery.

    Attributes:
        title: heading on the page.
        config: name of the run.
        metric: name in the log, and how the page calls it.
        images: indices of held-out images.
        options: settings for prediction.
    """

    title: str
    config: str
    metric: tuple[str, str]
    images: tuple[int, ...] = (0, 1, 2, 3)
    options: dict = field(default_factory=dict)

    @property
    def file(self) -> str:
        return self.title.lower().replace(" ", "-") + ".jpg"


PQ = ("coco_panoptic/PQ", "PQ")
INSTANCES = {"model.test_cfg.panoptic_on": False, "+model.test_cfg.instance_on": True}
TASKS = (
    Task("Detection", "dino_r18_synthetic-coco", ("coco/bbox_mAP", "box AP")),
    Task("Panoptic segmentation", "mask2former_r18_synthetic-panoptic", PQ),
    Task("Instance segmentation", "mask2former_r18_synthetic-panoptic", PQ, options=INSTANCES),
    Task("Semantic segmentation", "vit-comer-t_upernet_synthetic-ade20k", ("semantic/mIoU", "mIoU in per cent")),
    Task("3D boxes from one image", "monodetr_r18_synthetic-kitti", ("", ""), images=(0, 1)),
    Task("Masked autoencoding", "mae_vit-tiny_synthetic", ("", ""), images=(0, 1)),
)


def checkpoint_of(run: Path, config: str) -> Path:
    """Last checkpoint of a run; trains where there is none."""
    pointer = run / "last_checkpoint"
    if not pointer.is_file():
        from dense3d.apis import train

        train(config, work_dir=run)
    return run / Path(pointer.read_text().strip()).name


def last_evaluation(run: Path) -> dict[str, float]:
    """Metrics of the last evaluation in a run's JSON logs."""
    rows: list[dict] = []
    for log in sorted(run.glob("*/vis_data/scalars.json")):
        rows += [json.loads(line) for line in log.read_text().splitlines()]
    return next((row for row in reversed(rows) if "loss" not in row), {})


def held_out(config: str, indices: tuple[int, ...]) -> list[str]:
    """Paths of validation images; synthetic data are rendered where they are not there."""
    from dense3d.apis.setup import make_synthetic_data
    from dense3d.config import load_config
    from dense3d.registry import DATASETS

    cfg = load_config(config)
    make_synthetic_data(cfg)
    dataset = DATASETS.build({**cfg.val_dataloader.dataset, "_scope_": cfg.default_scope})
    return [dataset.get_data_info(index)["img_path"] for index in indices]


def row_of(pictures: list[np.ndarray]) -> np.ndarray:
    """RGB pictures side by side, all of one height, on white."""
    resized = []
    for picture in pictures:
        scale = HEIGHT / picture.shape[0]
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        resized.append(cv2.resize(picture, (round(picture.shape[1] * scale), HEIGHT), interpolation=way))
        resized.append(np.full((HEIGHT, GAP, 3), 255, np.uint8))
    return np.concatenate(resized[:-1], axis=1)


def write(path: Path, picture: np.ndarray) -> None:
    """Write an RGB picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("work_dirs"), help="work directories, by config")
    runs = parser.parse_args().runs
    import dense3d

    page = [HEAD]
    strip = []
    for task in TASKS:
        run = runs / task.config
        predictor = dense3d.load(task.config, checkpoint_of(run, task.config), options=task.options)
        plots = [predictor(path).plot() for path in held_out(task.config, task.images)]
        write(PAGES / "images" / "gallery" / task.file, row_of(plots))
        strip.append(plots[0])
        name, title = task.metric
        value = last_evaluation(run).get(name)
        figure = "" if value is None else f" {title} {value:.3f} on the held-out images."
        page.append(f"## {task.title}\n\n`dense3d train {task.config}`.{figure}\n\n")
        page.append(f"![{task.title}](images/gallery/{task.file})\n\n")
        print(f"{task.title}: {figure.strip() or 'drawn'}")
    write(PAGES / "images" / "tasks.jpg", row_of(strip[:5]))
    (PAGES / "gallery.md").write_text("".join(page).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
