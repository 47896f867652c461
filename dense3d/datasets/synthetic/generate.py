"""Making a synthetic data set as a whole: recipe, lock, worker processes, and the rename that finishes it.

Imports neither torch nor the renderer by itself: asking for a data set that is there costs milliseconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from dense3d.datasets.synthetic.classes import CATEGORIES
from dense3d.datasets.synthetic.clouds import CLOUD_LAYOUTS, make_clouds
from dense3d.datasets.synthetic.grids import GRIDS, make_grids
from dense3d.errors import ConfigError, DataError, did_you_mean

# Raise it whenever the same recipe gives other scenes, labels or pixels than before, beyond rounding.
WORLD_VERSION = 2
MANIFEST = "synthetic.json"
# Names of WRITERS, known here without importing what the writers need.
LAYOUTS = ("coco", "coco_panoptic", "ade20k", "kitti", "stereo", "posed", "classes")
# Names of COMPOSITIONS.
SCENES = ("room", "close_up", "street", "stereo", "tour", "object")
SPLITS = ("train", "val")
# Each worker holds some 250 MB, and more of them than this wait for the disk.
MAX_WORKERS = 16
LINE_SECONDS = 10.0


@dataclass(frozen=True)
class Recipe:
    """Everything that the bytes of a data set depend on."""

    layouts: tuple[str, ...]
    train: int
    val: int
    size: tuple[int, int]
    seed: int
    scenes: str | None = None
    world_version: int = WORLD_VERSION

    def __post_init__(self) -> None:
        if not self.layouts:
            raise ConfigError(f"a synthetic data set needs at least one layout of {', '.join(LAYOUTS)}")
        for layout in self.layouts:
            if layout not in LAYOUTS:
                hint = did_you_mean(layout, LAYOUTS)
                raise ConfigError(f"unknown layout {layout!r}{hint} (known: {', '.join(LAYOUTS)})")
        if self.scenes not in (None, *SCENES):
            hint = did_you_mean(self.scenes, SCENES)
            raise ConfigError(f"unknown scenes {self.scenes!r}{hint} (known: {', '.join(SCENES)})")
        if min(self.train, self.val) < 0 or self.train + self.val == 0:
            raise ConfigError(
                f"train={self.train}, val={self.val}: the numbers of images must not be negative or both zero"
            )
        if min(self.size) < 32:
            raise ConfigError(f"size={self.size[0]}x{self.size[1]}: images need at least 32x32 pixels")
        if self.seed < 0:
            raise ConfigError(f"seed={self.seed}: the seed must not be negative")


def make_dataset(
    root: str | os.PathLike,
    layouts: Sequence[str] = ("coco",),
    train: int = 1000,
    val: int = 200,
    size: tuple[int, int] = (320, 240),
    seed: int = 0,
    scenes: str | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> bool:
    """Render a data set, unless it is there already.

    All layouts share the folder and the scenes. Files are made in a hidden folder beside ``root`` that takes
    its name at the end, so ``root`` is never half a data set; a lock beside it admits one process at a time.
    The same recipe gives the same bytes whatever the number of workers.

    Args:
        root: folder to create.
        layouts: any of ``coco``, ``coco_panoptic``, ``ade20k``; or ``kitti``; or ``stereo``; or ``classes``,
            a folder a class; or ``posed``, whose samples are sequences of views.
        train, val: number of images in each split.
        size: width and height in pixels.
        seed: sample ``index`` of a split depends only on seed, split, index, size and scenes.
        scenes: ``"room"``, ``"close_up"`` (a room with one to three large things), ``"street"``,
            ``"stereo"``, ``"tour"`` or ``"object"`` (one of ten classes); what the layouts usually show
            unless given.
        workers: processes; one a CPU core unless given.
        overwrite: replace a synthetic data set of another recipe.
        progress: show a progress bar on the terminal.

    Returns:
        True if the data set was made, False if it was there.

    Raises:
        ConfigError: an argument is out of range.
        DataError: ``root`` holds another recipe or something else, cannot be written, or rendering failed.
    """
    recipe = Recipe(tuple(dict.fromkeys(layouts)), train, val, (int(size[0]), int(size[1])), seed, scenes)
    if workers is None:
        workers = min(os.cpu_count() or 1, MAX_WORKERS)
    if workers < 1:
        raise ConfigError(f"workers={workers}: at least one process must render")
    return made_whole(root, recipe, overwrite, lambda folder: _render(folder, recipe, workers, progress))


def made_whole(
    root: str | os.PathLike, recipe: Any, overwrite: bool, write: Callable[[Path], dict[str, Any] | None]
) -> bool:
    """Make a folder that is a data set of a recipe, whole or not at all, unless it is there.

    Args:
        root: the folder.
        recipe: a dataclass of plain values; its manifest tells data sets of other recipes apart.
        overwrite: replace a synthetic data set of another recipe.
        write: writes everything but the manifest into the hidden folder that it is given, and returns what
            the manifest says beside the recipe.

    Returns:
        True if the data set was made, False if it was there.

    Raises:
        DataError: ``root`` holds another recipe or something else, or cannot be written.
    """
    root = Path(os.path.abspath(root))  # noqa: PTH100 - resolve() would follow a link to the data
    if _is_done(root, recipe, overwrite):
        return False
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(root.parent / f".{root.name}.lock"):
            # Another process may have made it while this one waited.
            if _is_done(root, recipe, overwrite):
                return False
            _remove_leftovers(root)
            with _temporary_folder(root) as folder:
                manifest = {"recipe": asdict(recipe), **(write(folder) or {})}
                (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
                _replace(root, folder)
    except OSError as error:
        raise DataError(
            f"the data set {root} was not made, because writing failed: {error}; nothing is left"
        ) from error
    return True


def ensure_dataset(root: str | os.PathLike, **recipe: Any) -> Path:
    """Path of the data set, made first if it is missing; for configs and several processes at once.

    Args:
        root: its folder.
        recipe: as for :func:`make_dataset`, or with ``layouts=("shapes",)`` or ``("rooms",)`` as for
            :func:`~dense3d.datasets.synthetic.clouds.make_clouds`, or ``("grids",)`` as for
            :func:`~dense3d.datasets.synthetic.grids.make_grids`. Of many callers one renders and the others
            wait for it.

    Returns:
        ``root`` as an absolute path.
    """
    layouts = tuple(recipe.get("layouts", ()))
    if len(layouts) == 1 and layouts[0] in CLOUD_LAYOUTS:
        make_clouds(root, layouts[0], **{key: value for key, value in recipe.items() if key != "layouts"})
    elif layouts == (GRIDS,):
        make_grids(root, **{key: value for key, value in recipe.items() if key != "layouts"})
    else:
        make_dataset(root, **recipe)
    return Path(root).absolute()


def read_manifest(root: Path) -> dict[str, Any] | None:
    """Content of ``root``'s manifest, or None where there is none.

    Raises:
        DataError: the file cannot be read as one.
    """
    path = root / MANIFEST
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content["recipe"], dict):
            raise TypeError("'recipe' is not a table")
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is not a manifest of a synthetic data set ({error}); remove {root} and make it again"
        ) from error
    return content


def _is_done(root: Path, recipe: Any, overwrite: bool) -> bool:
    """Whether ``root`` holds this recipe; raises where it holds anything that must not be replaced."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    manifest = read_manifest(root)
    if manifest is None:
        raise DataError(
            f"{root} exists and is not a synthetic data set (it has no {MANIFEST}); choose another folder"
        )
    wanted = json.loads(json.dumps(asdict(recipe)))
    differences = [
        f"{key} is {manifest['recipe'].get(key)!r} instead of {value!r}"
        for key, value in wanted.items()
        if manifest["recipe"].get(key) != value
    ]
    if differences and not overwrite:
        raise DataError(
            f"{root} holds a synthetic data set of another recipe: {'; '.join(differences)}; "
            "choose another folder or pass overwrite (--overwrite)"
        )
    return not differences


def _render(folder: Path, recipe: Recipe, workers: int, progress: bool) -> dict[str, Any]:
    from dense3d.datasets.synthetic.workers import Job, render_records
    from dense3d.datasets.synthetic.writers import WRITERS

    samples = [(split, index) for split in SPLITS for index in range(getattr(recipe, split))]
    job = Job(str(folder), recipe.layouts, recipe.seed, recipe.size, samples, recipe.scenes)
    records: dict[tuple[str, int], dict[str, Any]] = {}
    for split, index, record in with_bar(render_records(job, workers), len(samples), progress):
        records[split, index] = record
    for layout in recipe.layouts:
        writer = WRITERS[layout](folder)
        for split in SPLITS:
            writer.finish(split, [records[split, index][layout] for index in range(getattr(recipe, split))])
    return {"categories": [asdict(category) for category in CATEGORIES]}


def with_bar(
    items: Iterator,
    total: int,
    progress: bool,
    noun: str = "synthetic images, once",
    doing: tuple[str, str] = ("rendering", "rendered"),
) -> Iterator:
    """The items, with a bar on the terminal that shows how many of them are done."""
    if not progress:
        yield from items
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield from _with_lines(items, total, noun, doing)
        return
    columns = (TextColumn(doing[0]), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(doing[0], total=total)
        for item in items:
            yield item
            bar.advance(task)


def _with_lines(items: Iterator, total: int, noun: str, doing: tuple[str, str]) -> Iterator:
    """Where a bar would not show, in a log or a pipe, a line at the start and every ten seconds."""
    start = shown = time.monotonic()
    print(f"{doing[0]} {total} {noun}", file=sys.stderr, flush=True)
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - shown >= LINE_SECONDS:
            remaining = (now - start) / done * (total - done)
            print(f"{doing[1]} {done}/{total}  ETA {remaining:.0f} s", file=sys.stderr, flush=True)
            shown = now


@contextlib.contextmanager
def _temporary_folder(root: Path) -> Iterator[Path]:
    folder = root.with_name(f".{root.name}.making-{os.getpid()}")
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers(root: Path) -> None:
    """Clear what killed runs left; the lock is held, so nobody works in these folders."""
    for pattern in (f".{root.name}.making-*", f".{root.name}.old-*"):
        for folder in root.parent.glob(pattern):
            shutil.rmtree(folder, ignore_errors=True)


def _replace(root: Path, folder: Path) -> None:
    """Give ``folder`` the name ``root``, moving an older data set out of the way first."""
    old = root.with_name(f".{root.name}.old-{os.getpid()}")
    if root.exists():
        root.replace(old)
    folder.replace(root)
    shutil.rmtree(old, ignore_errors=True)
