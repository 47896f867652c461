"""A whole data set, scene by scene; what is there already is not made again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dense3d.datasets.pointcloud.base import choice
from dense3d.datasets.pointcloud.loading import Arrays
from dense3d.datasets.pointcloud.scannet import DETECTION_CLASSES
from dense3d.datasets.pointcloud.sunrgbd import CLASSES as SUNRGBD_CLASSES
from dense3d.datasets.prepared import scannet, sunrgbd
from dense3d.datasets.prepared.manifest import NAME, Manifest, read_manifest
from dense3d.datasets.prepared.workers import prepared_scenes
from dense3d.errors import ConfigError, DataError
from dense3d.files import atomic_write, is_file, is_folder, remove_stale_temporaries, require_writable_folder

Scenes = list[dict[str, Any]]
MISSING = "missing.txt"  # paths of the files that kept a preparation from starting


@dataclass(frozen=True)
class Kind:
    """A data set that can be prepared.

    Args:
        classes: of its boxes.
        axis_aligned: whether its scans can be turned so that boxes need no yaw.
        labels: versions of its annotation, the usual one first.
        max_points: of a scene, 0 for all, unless another number is asked for.
        read: a scene's arrays.
    """

    classes: tuple[str, ...]
    axis_aligned: bool
    labels: tuple[str, ...]
    max_points: int
    read: Callable[[dict[str, Any]], Arrays]


KINDS = {
    "scannet": Kind(DETECTION_CLASSES, True, ("v2",), 0, scannet.read_scan),
    "sunrgbd": Kind(SUNRGBD_CLASSES, False, ("v1", "v2"), 50_000, sunrgbd.read_frame),
}


def prepare(
    dataset: str,
    root: str | Path,
    out: str | Path,
    labels: str | None = None,
    align: bool = True,
    max_points: int | None = None,
    workers: int | None = None,
    skip_missing: bool = False,
    progress: bool = False,
) -> Manifest:
    """Turn a data set of rooms into one ``.npz`` a scene, for ``PreparedRooms``.

    A killed run goes on where it was; so does one of a data set of which more files have come.

    Args:
        dataset: ``"scannet"`` or ``"sunrgbd"``.
        root: its folder, as released; see docs/indoor-detection-data.md.
        out: folder to fill.
        labels: version of the annotation, ``"v1"`` (usual for detectors) or ``"v2"`` of SUN RGB-D.
        align: turn ScanNet's scans by their ``axisAlignment``.
        max_points: keep so many of each scene at random, 0 for all; all of ScanNet and 50,000 of SUN RGB-D
            unless given.
        workers: processes; one a CPU core unless given.
        skip_missing: leave out scenes whose files are missing or damaged, instead of refusing.
        progress: show it on standard error, with the time that is left.

    Returns:
        what is in the folder now.

    Raises:
        ConfigError: an argument is wrong, or does not fit the data set.
        DataError: files are missing or damaged, or ``out`` was prepared in another way or from another root.
    """
    kind = KINDS[choice("dataset", dataset, tuple(KINDS))]
    manifest = Manifest(
        dataset,
        kind.classes,
        axis_aligned=kind.axis_aligned and align,
        labels=choice("labels", labels or kind.labels[0], kind.labels),
        max_points=_points(kind.max_points if max_points is None else max_points),
        splits={},
    )
    root, out = Path(root), Path(out)
    manifest = replace(manifest, root=str(root.resolve()))
    if not is_folder(root):
        raise DataError(f"{root}: there is no such folder; it is to hold {dataset} as it is released")
    _require_same(manifest, out)
    require_writable_folder(out)
    scenes, left_out = _complete(_listed(manifest, root), skip_missing, out)
    manifest = replace(manifest, splits=_splits(scenes), left_out=tuple(left_out))
    out.mkdir(parents=True, exist_ok=True)
    manifest.write(out)
    faults = _make(manifest, scenes, out, workers or os.cpu_count() or 1, progress)
    if faults and not skip_missing:
        more = f" ({len(faults)} scenes failed)" if len(faults) > 1 else ""
        raise DataError(f"{next(iter(faults.values()))}{more}; skip_missing (--skip-missing) leaves them out")
    kept = [scene for scene in scenes if scene["out"] not in faults]
    if not kept:
        raise DataError(f"no scene of {root} could be prepared; {next(iter(faults.values()))}")
    left_out += [*faults.values(), *(f"{s['id']}: {words}" for s in kept for words in s.get("faults", ()))]
    manifest = replace(manifest, splits=_splits(kept), left_out=tuple(left_out), complete=True)
    manifest.write(out)
    return manifest


def _points(number: int) -> int:
    if number < 0:
        raise ConfigError(f"max_points={number}: it is a number of points, or 0 for all")
    return number


def _require_same(manifest: Manifest, out: Path) -> None:
    """Refuse a folder that holds something else, or was prepared in another way."""
    others = [path for path in out.iterdir() if path.name != MISSING] if is_folder(out) else []
    if others and not is_file(out / NAME):
        raise DataError(f"{out} holds other files; name a folder that is new or empty")
    if not is_file(out / NAME):
        return
    there = read_manifest(out)
    for name, value in manifest.settings.items():
        before = getattr(there, name)
        if before != value:
            raise DataError(
                f"{out} was prepared with {name}={before!r}, now it is {value!r}; name another folder, or "
                "delete that one"
            )
    if there.root and there.root != manifest.root:
        raise DataError(
            f"{out} was prepared from {there.root}, now it is {manifest.root}: name another folder; or, "
            f"where the data set was only moved, correct root in {out / NAME}"
        )


def _listed(manifest: Manifest, root: Path) -> Scenes:
    """All scenes, each with the files that it needs."""
    if manifest.dataset == "scannet":
        return list(scannet.list_scans(root, manifest.axis_aligned))
    absent = [str(path) for path in sunrgbd.needed_files(root, manifest.labels) if not is_file(path)]
    if absent:
        raise DataError(
            f"{', '.join(absent)} {'do' if absent[1:] else 'does'} not exist; unpack SUN RGB-D there"
        )
    scenes = list(sunrgbd.list_frames(root, manifest.labels))
    return [{**scene, "needs": [scene["depth"], scene["image"]]} for scene in scenes]


def _complete(scenes: Scenes, skip_missing: bool, out: Path) -> tuple[Scenes, list[str]]:
    """The scenes whose files are all there, and a sentence for each other one."""
    absent = {scene["id"]: [p for p in scene["needs"] if not is_file(p)] for scene in scenes}
    absent = {name: paths for name, paths in absent.items() if paths}
    sentences = [f"{name}: {', '.join(paths)} missing" for name, paths in absent.items()]
    if not scenes:
        raise DataError("the data set lists no scene")
    if absent and (not skip_missing or len(absent) == len(scenes)):
        with atomic_write(out / MISSING, "w") as file:
            file.write("\n".join(path for paths in absent.values() for path in paths) + "\n")
        first = next(iter(absent.values()))[0]
        raise DataError(
            f"{len(absent)} of {len(scenes)} scenes lack files, the first {first}; all are listed in "
            f"{out / MISSING}, and skip_missing (--skip-missing) leaves those scenes out"
        )
    (out / MISSING).unlink(missing_ok=True)
    return [scene for scene in scenes if scene["id"] not in absent], sentences


def _splits(scenes: Iterable[dict[str, Any]]) -> dict[str, tuple[str, ...]]:
    splits: dict[str, list[str]] = {"train": [], "val": []}
    for scene in scenes:
        splits[scene["split"]].append(scene["id"])
    return {split: tuple(ids) for split, ids in splits.items()}


def _make(manifest: Manifest, scenes: Scenes, out: Path, workers: int, progress: bool) -> dict[str, str]:
    """Make the files that are not there; a sentence for each that failed, by its file."""
    from dense3d.datasets.synthetic.generate import with_bar

    waiting = []
    for split in manifest.splits:
        remove_stale_temporaries(out / split) if is_folder(out / split) else None
    for scene in scenes:
        file = out / scene["split"] / f"{scene['id']}.npz"
        scene |= {"kind": manifest.dataset, "out": str(file), "max_points": manifest.max_points}
        if not is_file(file):
            waiting.append(scene)
    noun = f"of {len(scenes)} scenes of {manifest.dataset}"
    answers = prepared_scenes(waiting, workers)
    done = with_bar(answers, len(waiting), progress and bool(waiting), noun, ("preparing", "prepared"))
    return {scene["out"]: fault for scene, fault in done if fault is not None}
