"""Which prediction belongs to which ground truth: by the names of files, or of folders with one map each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dense3d.errors import DataError, did_you_mean
from dense3d.evaluation.depth.map_files import ALL_SUFFIXES, MapSource
from dense3d.files import is_file, is_folder


@dataclass(frozen=True)
class Pairing:
    """Files that belong together.

    Args:
        pairs: name, prediction, ground truth, sorted by name.
        missing: names of ground truth without prediction.
        extra: predictions without ground truth.
    """

    pairs: list[tuple[str, Path, Path]]
    missing: list[str]
    extra: list[Path]


def pair_maps(
    predictions: MapSource, truth: MapSource, only: Iterable[str] | None = None, allow_missing: bool = False
) -> Pairing:
    """Pair maps by their relative path without suffix, by that name alone, or by their folder.

    Args:
        predictions, truth: two files, or two folders.
        only: names of the ground truth to evaluate (a split), with or without suffix.
        allow_missing: leave out ground truth without prediction.

    Raises:
        DataError: a path does not exist, a folder has no map, two files have one name, a name of ``only`` is
            not there, or ground truth has no prediction: which ones, and the nearest names that there are.
    """
    if is_file(predictions.path) and is_file(truth.path):
        return Pairing([(Path(truth.path).stem, Path(predictions.path), Path(truth.path))], [], [])
    theirs, ours = _maps(predictions, "prediction"), _maps(truth, "ground truth")
    if only is not None:
        ours = _selected(ours, only, truth.path)
    theirs = _renamed(theirs, ours)
    missing = [name for name in ours if name not in theirs]
    if missing and not (allow_missing and len(missing) < len(ours)):
        near = did_you_mean(missing[0], theirs) or f"; the first one there is {next(iter(theirs))!r}"
        remedy = "" if len(missing) == len(ours) else "; --allow-missing leaves such images out"
        raise DataError(
            f"{predictions.path}: {len(missing)} of {len(ours)} maps of the ground truth have no prediction, "
            f"the first is {missing[0]!r}{near.rstrip('?')}{remedy}"
        )
    extra = [] if only is not None else [path for name, path in theirs.items() if name not in ours]
    return Pairing([(name, theirs[name], ours[name]) for name in ours if name in theirs], missing, extra)


def beside(place: str | Path, name: str, truth: Path) -> Path | None:
    """The file that goes with one map of the ground truth: a mask or a calibration.

    Args:
        place: a file for all; a folder with a file for each map, named like it or like the beginning of its
            name (``000046.txt`` of ``000046_10.png``); or a file's name in the folder of each map.
        name: of the pair.
        truth: its ground truth.

    Returns:
        The file, or None.
    """
    if is_file(place):
        return Path(place)
    if not is_folder(place):
        candidate = truth.parent / str(place)
        return candidate if is_file(candidate) else None
    folder = (Path(place) / name).parent
    files = sorted(path for path in (folder if folder.is_dir() else Path(place)).iterdir() if path.is_file())
    fitting = [path for path in files if Path(name).name.startswith(path.stem)]
    return max(fitting, key=lambda path: len(path.stem), default=None)


def _maps(source: MapSource, role: str) -> dict[str, Path]:
    """Relative path without suffix -> file, sorted."""
    root = Path(source.path)
    if not is_folder(root):
        what = "is a file, and the other side a folder" if is_file(root) else "does not exist"
        raise DataError(f"{root} {what}; give two files or two folders")
    files = sorted(root.glob(source.glob) if source.glob else root.rglob("*"))
    files = [path for path in files if path.suffix.lower() in ALL_SUFFIXES and path.is_file()]
    if not files:
        pattern = f" that fits {source.glob!r}" if source.glob else ""
        raise DataError(f"{root} holds no {role}{pattern}: maps are {', '.join(ALL_SUFFIXES)} files")
    found: dict[str, Path] = {}
    for path in files:
        name = path.relative_to(root).with_suffix("").as_posix()
        if name in found:
            raise DataError(
                f"{found[name]} and {path} have one name: say which are meant, such as "
                f"--{'gt' if role == 'ground truth' else 'pred'}-glob '**/*{path.suffix}'"
            )
        found[name] = path
    return found


def _selected(ours: dict[str, Path], only: Iterable[str], where: str | Path) -> dict[str, Path]:
    names = [str(Path(line).with_suffix("") if Path(line).suffix in ALL_SUFFIXES else line) for line in only]
    absent = [name for name in names if name not in ours]
    if absent:
        raise DataError(
            f"{where}: {len(absent)} of the {len(names)} names of the split have no ground truth, the first "
            f"is {absent[0]!r}{did_you_mean(absent[0], ours).rstrip('?')}"
        )
    return {name: ours[name] for name in dict.fromkeys(names)}


def _renamed(theirs: dict[str, Path], ours: dict[str, Path]) -> dict[str, Path]:
    """The predictions under the names of the ground truth, by the first rule that finds any."""
    rules = (
        lambda name: name,
        lambda name: name.rpartition("/")[2],
        lambda name: name.rpartition("/")[0],  # one map in each scene's folder
    )
    for rule in rules:
        keys = {rule(name): name for name in ours}
        found = {rule(name): path for name, path in theirs.items()}
        if len(keys) == len(ours) and len(found) == len(theirs) and keys.keys() & found.keys():
            return {keys.get(key, key): path for key, path in found.items()}
    return theirs
