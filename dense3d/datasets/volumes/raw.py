"""Files without a header, whose layout a person states or whose name tells it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dense3d.datasets.volumes.binary import Binary
from dense3d.datasets.volumes.geometry import checked_affine, checked_shape, spacing_affine
from dense3d.datasets.volumes.header import VolumeFile, VolumeHeader
from dense3d.errors import ConfigError, DataError, did_you_mean

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
NAMED = re.compile(
    r"(?<!\d)(\d+)x(\d+)x(\d+)[_.-](u?int(?:8|16|32)|float(?:32|64)?)(?![a-z0-9])", re.IGNORECASE
)
REMEDY = "state shape and type, for instance RawLayout((512, 512, 300), 'uint16') or --raw 512x512x300:uint16"


@dataclass(frozen=True)
class RawLayout:
    """How the samples of a raw file lie.

    Args:
        shape: (X, Y, Z); x changes fastest.
        dtype: "uint8", "int16", "float32" ...
        spacing: millimetres between voxel centres.
        byte_order: "little" or "big".
        offset: bytes before the first sample.

    Raises:
        ConfigError: a value is none of these.

    Example:
        >>> RawLayout.parse("64x48x20:int16:0.5x0.5x2:big")
        RawLayout(shape=(64, 48, 20), dtype='int16', spacing=(0.5, 0.5, 2.0), byte_order='big', offset=0)
    """

    shape: tuple[int, int, int]
    dtype: str
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    byte_order: str = "little"
    offset: int = 0

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ConfigError(
                f"raw volume: {self.dtype!r} is no type of samples{did_you_mean(str(self.dtype), DTYPES)}; "
                f"choose one of {', '.join(DTYPES)}"
            )
        if self.byte_order not in ("little", "big"):
            raise ConfigError(f"raw volume: the byte order is 'little' or 'big', not {self.byte_order!r}")
        if len(self.shape) != 3 or any(not isinstance(n, (int, np.integer)) or n < 1 for n in self.shape):
            raise ConfigError(
                f"raw volume: a shape has three positive sizes, x y z, not {self.shape}; {REMEDY}"
            )
        if len(self.spacing) != 3 or not all(0 < step < float("inf") for step in self.spacing):
            raise ConfigError(f"raw volume: a spacing has three positive lengths in mm, not {self.spacing}")
        if self.offset < 0:
            raise ConfigError(
                f"raw volume: an offset counts bytes from the start and cannot be {self.offset}"
            )

    @property
    def numpy_dtype(self) -> np.dtype:
        """With byte order."""
        return np.dtype(self.dtype).newbyteorder("<" if self.byte_order == "little" else ">")

    @staticmethod
    def parse(text: str) -> RawLayout:
        """``SHAPE:TYPE[:SPACING][:big|little][:offset=N]`` of a command line.

        Raises:
            ConfigError: the text is something else.
        """
        shape, *rest = text.split(":")
        if not rest:
            raise ConfigError(f"raw volume: {text!r} gives no type of samples; {REMEDY}")
        options: dict = {}
        try:
            for word in rest[1:]:
                if word in ("big", "little"):
                    options["byte_order"] = word
                elif word.startswith("offset="):
                    options["offset"] = int(word.removeprefix("offset="))
                else:
                    options["spacing"] = tuple(float(part) for part in word.split("x"))
            sizes = tuple(int(part) for part in shape.split("x"))
        except ValueError as error:
            raise ConfigError(f"raw volume: {text!r} is no layout; {REMEDY}") from error
        return RawLayout(sizes, rest[0], **options)


def open_raw(path: str, layout: RawLayout | None) -> VolumeFile:
    """Judge a raw file by its size.

    Args:
        path: the file; ``.gz`` is decompressed while it is read.
        layout: of its samples. Without one the name is asked, which often reads like
            ``bonsai_256x256x256_uint8.raw``.

    Raises:
        DataError: the file has another size than the layout, or nothing tells its layout.
    """
    notes = []
    if layout is None:
        layout, notes = _named_layout(path)
    shape = checked_shape(path, layout.shape)
    affine = checked_affine(path, spacing_affine(layout.spacing))
    compression = "gzip" if path.lower().endswith(".gz") else None
    binary = Binary(path, layout.offset, layout.numpy_dtype, shape, compression=compression)
    size = Path(path).stat().st_size
    if not compression and size != layout.offset + binary.total:
        raise DataError(
            f"{path}: {' x '.join(map(str, shape))} voxels of "
            f"{layout.dtype}{f' after {layout.offset} bytes' if layout.offset else ''} are "
            f"{layout.offset + binary.total} bytes, but the file has {size}; "
            f"{_suggestion(shape, size - layout.offset)}"
        )
    binary.check()
    header = VolumeHeader(path, "raw", shape, binary.dtype, affine, notes=tuple(notes), placed=False)
    return VolumeFile(header, binary.axis, binary.slabs, None if compression else binary.mapped)


def _named_layout(path: str) -> tuple[RawLayout, list[str]]:
    match = NAMED.search(Path(path).name)
    if not match:
        raise DataError(f"{path}: a raw file does not say its layout; {REMEDY}")
    dtype = match.group(4).lower()
    layout = RawLayout(
        tuple(int(size) for size in match.groups()[:3]), dtype + ("32" if dtype == "float" else "")
    )
    text = " x ".join(map(str, layout.shape))
    return layout, [
        f"shape {text} and type {layout.dtype} were taken from the file's name; spacing is unknown (1 mm)"
    ]


def _suggestion(shape: tuple[int, int, int], size: int) -> str:
    """What would fit: a type of another width, or another number of slices."""
    count = shape[0] * shape[1] * shape[2]
    types = [name for name in DTYPES if count * np.dtype(name).itemsize == size]
    return (
        f"with this shape its type would be {' or '.join(types)}"
        if types
        else "correct shape, type or offset"
    )
