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

Clouds are drawn on their pages:
[reconstructions of Point-MAE](point-mae.md#what-the-small-network-learns) and
[features of masked scene modelling](msm.md#what-it-learns-on-synthetic-rooms).

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
        training: settings that shorten the run.
        options: settings for prediction.
        part: the part of the result to draw; the first.
    """

    title: str
    config: str
    metric: tuple[str, str]
    images: tuple[int, ...] = (0, 1, 2, 3)
    training: dict = field(default_factory=dict)
    options: dict = field(default_factory=dict)
    part: str = ""

    @property
    def command(self) -> str:
        settings = " ".join(f"{key}={value}" for key, value in self.training.items())
        return f"dense3d train {self.config}" + (f" --cfg-options {settings}" if settings else "")

    @property
    def file(self) -> str:
        return self.title.lower().replace(" ", "-") + ".jpg"


PQ = ("panoptic/PQ", "PQ")
MIOU = ("semantic/mIoU", "mIoU in per cent")
CAR = ("kitti/Car/3d_ap40_moderate_loose", "AP40 of cars (3D, IoU 0.5, moderate)")
NOTHING = ("", "")
THIRD = {"train_cfg.max_epochs": 2, "param_scheduler.1.T_max": 2}
HALF = {"train_cfg.max_epochs": 3, "param_scheduler.1.T_max": 3}
INSTANCES = {"+model.test_cfg.instance_on": True}
TASKS = (
    Task("Detection", "dino_r18_synthetic-coco", ("coco/bbox_mAP", "box AP")),
    Task("Panoptic segmentation", "mask2former_r18_synthetic-panoptic", PQ, training=THIRD),
    Task(
        "Instance segmentation",
        "mask2former_r18_synthetic-panoptic",
        NOTHING,
        training=THIRD,
        options=INSTANCES,
        part="Instances",
    ),
    Task("Semantic segmentation", "vit-comer-t_upernet_synthetic-ade20k", MIOU),
    Task("3D boxes from one image", "monodetr_r18_synthetic-kitti", CAR, images=(0, 1), training=HALF),
    Task("Masked autoencoding", "mae_vit-tiny_synthetic", NOTHING, images=(0, 1)),
)


def checkpoint_of(run: Path, task: Task) -> Path:
    """Last checkpoint of a run; trains where there is none."""
    pointer = run / "last_checkpoint"
    if not pointer.is_file():
        from dense3d.apis import train

        train(task.config, work_dir=run, options=task.training)
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
    dataset = DATASETS.build({"_scope_": cfg.default_scope, **cfg.val_dataloader.dataset})
    return [dataset.get_data_info(index)["img_path"] for index in indices]


def picture(predictor, path: str, part: str) -> np.ndarray:
    """RGB picture of the prediction, drawn at a size at which labels can be read."""
    image = cv2.imread(path)
    if image.shape[0] <= HEIGHT // 2 and not predictor.detects_3d:  # the test pipeline makes it small again
        scale = HEIGHT / image.shape[0]
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        result = predictor(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    else:
        result = predictor(path)
    chosen = [each for each in result.parts if type(each).__name__ == part]
    return chosen[0].draw(result.image) if chosen else result.plot()


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
        predictor = dense3d.load(task.config, checkpoint_of(run, task), options=task.options)
        paths = held_out(task.config, task.images)
        plots = [picture(predictor, path, task.part) for path in paths]
        write(PAGES / "images" / "gallery" / task.file, row_of(plots))
        strip.append(plots[min(2, len(plots) - 1)])
        name, title = task.metric
        value = last_evaluation(run).get(name)
        figure = "" if value is None else f" {title} {value:.3f} on held-out images."
        page.append(f"## {task.title}\n\n`{task.command}`.{figure}\n\n")
        page.append(f"![{task.title}](images/gallery/{task.file})\n\n")
        print(f"{task.title}: {figure.strip() or 'drawn'}")
    write(PAGES / "images" / "tasks.jpg", row_of(strip[:5]))
    (PAGES / "gallery.md").write_text("".join(page).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
