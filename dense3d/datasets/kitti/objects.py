"""Label and result files: one object a line, 15 fields, and a score as the 16th in results.

The fields are: type, truncated (0..1), occluded (0..3), alpha, 2D box (left, top, right, bottom in pixels
from 0), dimensions (height, width, length in metres), location (x, y, z of the bottom face's centre in the
rectified camera frame: x right, y down, z forward, metres), rotation_y. Absent values are -1 (truncated,
occluded, dimensions), -10 (angles) and -1000 (location).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dense3d.errors import ConfigError, DataError, did_you_mean
from dense3d.files import atomic_write

CLASSES = ("Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc", "DontCare")
LABEL_FIELDS, RESULT_FIELDS = 15, 16
NO_LOCATION, NO_DIMENSION, NO_ANGLE = -1000.0, -1.0, -10.0
# columns of the numbers behind the type
TRUNCATED, OCCLUDED, ALPHA = range(3)
LEFT, TOP, RIGHT, BOTTOM = range(3, 7)
HEIGHT, WIDTH, LENGTH = range(7, 10)
X, Y, Z = range(10, 13)
ROTATION, SCORE = 13, 14
FARTHEST = 1e6  # training computes in float32, where squares of far greater numbers are infinite
BOX, DIMENSIONS, LOCATION = slice(LEFT, BOTTOM + 1), slice(HEIGHT, LENGTH + 1), slice(X, Z + 1)
FIELD_NAMES = (
    *("truncated", "occluded", "alpha", "left", "top", "right", "bottom"),
    *("height", "width", "length", "x", "y", "z", "rotation_y", "score"),
)
_KNOWN = {name.lower() for name in CLASSES}


@dataclass(frozen=True, eq=False)
class KittiObjects:
    """The objects of one frame in the order of the file's lines.

    Args:
        names: type of each object as it is spelt in the file.
        values: (N, 14) numbers of a label or (N, 15) of a result, the score last; float64.

    Example:
        >>> text = "Car 0.00 0 1.85 387.63 181.54 423.81 203.12 1.67 1.87 3.69 -16.53 2.39 58.49 1.57\\n"
        >>> objects = parse_objects(text)
        >>> objects.dimensions.tolist(), objects.location[0, 2].item()
        ([[1.67, 1.87, 3.69]], 58.49)
        >>> format_objects(objects) == text
        True
    """

    names: tuple[str, ...]
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    @property
    def is_result(self) -> bool:
        """Whether the objects have scores."""
        return self.values.shape[1] == RESULT_FIELDS - 1

    @property
    def truncated(self) -> np.ndarray:
        """(N,) truncated fraction, -1 where it is not given."""
        return self.values[:, TRUNCATED]

    @property
    def occluded(self) -> np.ndarray:
        """(N,) occlusion level 0 to 3, -1 where it is not given."""
        return self.values[:, OCCLUDED]

    @property
    def alpha(self) -> np.ndarray:
        """(N,) observation angle in radians, -10 where it is not given."""
        return self.values[:, ALPHA]

    @property
    def boxes2d(self) -> np.ndarray:
        """(N, 4) left, top, right, bottom in pixels."""
        return self.values[:, BOX]

    @property
    def dimensions(self) -> np.ndarray:
        """(N, 3) height, width, length in metres."""
        return self.values[:, DIMENSIONS]

    @property
    def location(self) -> np.ndarray:
        """(N, 3) centre of the bottom face in the rectified camera frame, metres."""
        return self.values[:, LOCATION]

    @property
    def rotation_y(self) -> np.ndarray:
        """(N,) turn about the camera's y axis in radians; 0 faces +x."""
        return self.values[:, ROTATION]

    @property
    def boxes3d(self) -> np.ndarray:
        """(N, 7) x, y, z, height, width, length, rotation_y."""
        return np.concatenate([self.location, self.dimensions, self.rotation_y[:, None]], axis=1)

    @property
    def scores(self) -> np.ndarray:
        """(N,) scores of a result."""
        if not self.is_result:
            raise ValueError("labels have no scores")
        return self.values[:, SCORE]

    @property
    def has_box3d(self) -> np.ndarray:
        """(N,) whether the 3D box is given, which it is not for DontCare and in 2D results."""
        return ~((self.dimensions == NO_DIMENSION).all(axis=1) & (self.location == NO_LOCATION).all(axis=1))

    def select(self, rows: np.ndarray) -> KittiObjects:
        """The objects at these indices or of this mask."""
        indices = np.arange(len(self))[rows]
        return KittiObjects(tuple(self.names[i] for i in indices), self.values[indices])

    def with_scores(self, scores: np.ndarray) -> KittiObjects:
        """The same objects as results.

        Args:
            scores: (N,) or one number.
        """
        column = np.broadcast_to(np.asarray(scores, dtype=np.float64), len(self))
        return KittiObjects(self.names, np.column_stack([self.values[:, :SCORE], column]))


def parse_objects(
    text: str, source: str | Path = "label", is_result: bool = False, extra_classes: Iterable[str] = ()
) -> KittiObjects:
    """Objects of a label or result file's text.

    Args:
        text: whole content; empty for a frame without objects.
        source: name of the file, for messages.
        is_result: whether every line has a score.
        extra_classes: types beside KITTI's own that are known.

    Raises:
        DataError: a line has another number of fields, an unknown type, a value that is no finite number
            or far beyond any scene, dimensions that are not positive, a 2D box turned inside out, or a 3D
            box behind the camera. The message names the file, the line and the value.
    """
    lines = [(number, line.split()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, fields) for number, fields in lines if fields]
    wanted = RESULT_FIELDS if is_result else LABEL_FIELDS
    for number, fields in lines:
        if len(fields) != wanted:
            raise DataError(_wrong_count(f"{source}, line {number}", len(fields), is_result))
    names = tuple(fields[0] for _, fields in lines)
    try:
        values = np.array([[float(v) for v in fields[1:]] for _, fields in lines], dtype=np.float64)
    except ValueError:
        raise DataError(_not_a_number(source, lines)) from None
    objects = KittiObjects(names, values.reshape(len(names), wanted - 1))
    fault = first_fault(objects, extra_classes)
    if fault is not None:
        row, sentence = fault
        raise DataError(f"{source}, line {lines[row][0]}: {sentence}")
    return objects


def read_objects(
    path: str | Path, is_result: bool = False, extra_classes: Iterable[str] = ()
) -> KittiObjects:
    """Read a label or result file; see :func:`parse_objects`.

    Raises:
        DataError: the file is missing, is not text, or has a faulty line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        kind = "result" if is_result else "label"
        raise DataError(
            f"{path}: the {kind} file does not exist; a frame without objects has an empty one"
        ) from None
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path} cannot be read as text ({error}); restore the file") from None
    return parse_objects(text, path, is_result, extra_classes)


def format_objects(objects: KittiObjects) -> str:
    """The file's text: at least two decimals, and as many as bring the same numbers back.

    Example:
        >>> objects = parse_objects("DontCare -1 -1 -10 1 2.5 3.125 4 -1 -1 -1 -1000 -1000 -1000 -10")
        >>> format_objects(objects)
        'DontCare -1 -1 -10 1.00 2.50 3.125 4.00 -1 -1 -1 -1000 -1000 -1000 -10\\n'
    """
    return "".join(f"{name} {_numbers(row)}\n" for name, row in zip(objects.names, objects.values.tolist()))


def write_objects(path: str | Path, objects: KittiObjects) -> None:
    """Write a label or result file, whole or not at all."""
    with atomic_write(path, "w") as file:
        file.write(format_objects(objects))


def class_names(extra_classes: Iterable[str]) -> tuple[str, ...]:
    """Classes that are given beside KITTI's own, checked.

    Raises:
        ConfigError: one of them cannot be the first word of a line, or is DontCare.
    """
    if isinstance(extra_classes, str):
        raise ConfigError(f"extra_classes is a list of names, such as [{extra_classes!r}]")
    names = tuple(extra_classes)
    for name in names:
        word = isinstance(name, str) and len(name.split()) == 1 and name == name.strip()
        if not word or "/" in name or name.lower() == "dontcare":
            raise ConfigError(f"extra_classes holds {name!r}; the name of a class is one word without /")
    return names


def first_fault(objects: KittiObjects, extra_classes: Iterable[str] = ()) -> tuple[int, str] | None:
    """Row of the first faulty object and what is wrong with it; None if all are sound."""
    known = _KNOWN | {name.lower() for name in extra_classes}
    for row, name in enumerate(objects.names):
        if name.lower() not in known:
            return row, _unknown_class(name, [*CLASSES, *extra_classes])
    for describe, mask in _faults(objects).items():
        if mask.any():
            row = int(np.flatnonzero(mask)[0])
            return row, describe(objects.values[row])
    return None


def without_faults(objects: KittiObjects) -> tuple[KittiObjects, list[str]]:
    """The detections that an evaluation takes, and what is wrong with each of the others.

    A network that has learned little predicts sizes that are negative or no numbers. Everybody who takes a
    model's detections, to evaluate, write or draw them, takes these.

    Example:
        >>> kept, dropped = without_faults(KittiObjects(("Car", "Car"), np.array([
        ...     [0, 0, 0, 10, 20, 30, 40, h, 1.6, 4, 1, 1.5, 20, 0, 0.9] for h in (1.5, -0.1)])))
        >>> len(kept), dropped[0].partition(";")[0]
        (1, 'height x width x length is -0.1 x 1.6 x 4')
    """
    found: dict[int, str] = {}
    for describe, mask in _faults(objects).items():
        for row in np.flatnonzero(mask).tolist():
            found.setdefault(row, describe(objects.values[row]))
    if not found:
        return objects, []
    sound = np.ones(len(objects), dtype=bool)
    sound[list(found)] = False
    return objects.select(sound), [found[row] for row in sorted(found)]


def _faults(objects: KittiObjects) -> dict[Callable[[np.ndarray], str], np.ndarray]:
    """(N,) which objects have a fault, by what describes that fault of a row."""
    values, occluded = objects.values, objects.occluded
    cared = np.array([name.lower() != "dontcare" for name in objects.names], dtype=bool)
    boxed = cared & objects.has_box3d
    bad = {
        _describe_infinite: ~np.isfinite(values),
        _describe_far: np.abs(values[:, :SCORE]) >= FARTHEST,
        _describe_occlusion: (occluded != np.rint(occluded)) | (occluded < -1) | (occluded > 3),
        _describe_truncation: (values[:, TRUNCATED] > 1)
        | ((values[:, TRUNCATED] < 0) & (values[:, TRUNCATED] != -1)),
        _describe_box: (values[:, RIGHT] < values[:, LEFT]) | (values[:, BOTTOM] < values[:, TOP]),
        _describe_dimensions: boxed[:, None] & (objects.dimensions <= 0),
        _describe_behind: boxed & (_farthest_depth(objects) <= 0),
    }
    return {describe: mask.any(axis=1) if mask.ndim > 1 else mask for describe, mask in bad.items()}


def _unknown_class(name: str, known: list[str]) -> str:
    name = name if len(name) <= 40 else name[:37] + "..."
    hint = did_you_mean(name, known).rstrip("?") or f"; known are {', '.join(known)}"
    return (
        f"unknown class {name!r}{hint}; classes beside KITTI's are named by extra_classes, or "
        "--extra-classes of eval-kitti"
    )


def _farthest_depth(objects: KittiObjects) -> np.ndarray:
    """(N,) largest z of the 3D box's corners."""
    width, length, turn = objects.values[:, WIDTH], objects.values[:, LENGTH], objects.rotation_y
    with np.errstate(invalid="ignore"):
        return objects.values[:, Z] + (np.abs(length * np.sin(turn)) + np.abs(width * np.cos(turn))) / 2


def _describe_infinite(row: np.ndarray) -> str:
    column = int(np.flatnonzero(~np.isfinite(row))[0])
    return f"{FIELD_NAMES[column]} is {row[column]}; every field must be a finite number"


def _describe_far(row: np.ndarray) -> str:
    column = int(np.flatnonzero(np.abs(row[:SCORE]) >= FARTHEST)[0])
    return f"{FIELD_NAMES[column]} is {row[column]:g}; no pixel, metre or angle is beyond {FARTHEST:g}"


def _describe_occlusion(row: np.ndarray) -> str:
    return f"occluded is {row[OCCLUDED]:g}; it must be 0, 1, 2 or 3, or -1 where it is not given"


def _describe_truncation(row: np.ndarray) -> str:
    return f"truncated is {row[TRUNCATED]:g}; it must lie in 0..1, or be -1 where it is not given"


def _describe_box(row: np.ndarray) -> str:
    box = ", ".join(f"{v:g}" for v in row[BOX])
    return f"the 2D box ({box}) has its right side left of its left side, or its bottom above its top"


def _describe_dimensions(row: np.ndarray) -> str:
    size = " x ".join(f"{v:g}" for v in row[DIMENSIONS])
    return (
        f"height x width x length is {size}; dimensions must be positive, "
        "or -1 -1 -1 with the location -1000 -1000 -1000 where there is no 3D box"
    )


def _describe_behind(row: np.ndarray) -> str:
    place = ", ".join(f"{v:g}" for v in row[LOCATION])
    return f"the 3D box at ({place}) lies wholly behind the camera (z is forward); correct its location"


def _wrong_count(where: str, count: int, is_result: bool) -> str:
    kind, wanted = ("result", RESULT_FIELDS) if is_result else ("label", LABEL_FIELDS)
    hint = ""
    if is_result and count == LABEL_FIELDS:
        hint = "; the score is missing"
    elif not is_result and count == RESULT_FIELDS:
        hint = "; is it a result file?"
    return f"{where} has {count} fields, a {kind} has {wanted}{hint}"


def _not_a_number(source: str | Path, lines: list[tuple[int, list[str]]]) -> str:
    for number, fields in lines:
        for name, value in zip(FIELD_NAMES, fields[1:]):
            try:
                float(value)
            except ValueError:
                return f"{source}, line {number}: {name} is {value!r}, which is no number"
    raise AssertionError("called without a faulty field")


def _numbers(row: list[float]) -> str:
    """A line's numbers; absent values and the occlusion are written without decimals, as KITTI does."""
    cells = [
        _plain(row[TRUNCATED], NO_DIMENSION),
        f"{row[OCCLUDED]:g}",
        _plain(row[ALPHA], NO_ANGLE),
        *map(decimal, row[BOX]),
        *(_plain(v, NO_DIMENSION) for v in row[DIMENSIONS]),
        *(_plain(v, NO_LOCATION) for v in row[LOCATION]),
        _plain(row[ROTATION], NO_ANGLE),
        *map(decimal, row[SCORE:]),
    ]
    return " ".join(cells)


def _plain(value: float, absent: float) -> str:
    return f"{value:.0f}" if value == absent else decimal(value)


def decimal(value: float) -> str:
    """Fixed point with at least two decimals, exact.

    Example:
        >>> decimal(0.5), decimal(1 / 3), decimal(1e-7), decimal(-3.0)
        ('0.50', '0.3333333333333333', '0.0000001', '-3.00')
    """
    short = f"{value:.2f}"
    return short if float(short) == value else np.format_float_positional(value, trim="-")
