"""Which reader a file is for: by its name, else by its first bytes."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

from dense3d.datasets.volumes.header import VolumeFile
from dense3d.datasets.volumes.raw import RawLayout, open_raw
from dense3d.errors import DataError, did_you_mean


@dataclass(frozen=True)
class VolumeFormat:
    """A kind of file.

    Args:
        name: for a person.
        suffixes: of file names, lower case.
        module: of this package that reads it.
        function: of the module.
        magic: pairs of offset and bytes that such a file begins with.
        pyramid: whether a file may hold several resolutions.
    """

    name: str
    suffixes: tuple[str, ...]
    module: str
    function: str
    magic: tuple[tuple[int, bytes], ...] = ()
    pyramid: bool = False

    def open(self, path: str, raw: RawLayout | None, limit: int | None = None) -> VolumeFile:
        """Judge a file by its header; of several resolutions that for ``limit`` is taken."""
        if self.name == "raw":
            return open_raw(path, raw)
        module = importlib.import_module(f"dense3d.datasets.volumes.{self.module}")
        function = getattr(module, self.function)
        return function(path, limit) if self.pyramid else function(path)


RAW = VolumeFormat("raw", (".raw", ".raw.gz"), "raw", "open_raw")
DICOM = VolumeFormat("DICOM", (".dcm", ".dicom", ".ima"), "dicom", "open_dicom", ((128, b"DICM"),))
TIFF = VolumeFormat(
    "TIFF",
    (".tif", ".tiff"),
    "tiff",
    "open_tiff",
    ((0, b"II*\0"), (0, b"MM\0*"), (0, b"II+\0"), (0, b"MM\0+")),
)
ZARR = VolumeFormat("OME-Zarr", (".zarr",), "ome_zarr", "open_zarr", pyramid=True)
FORMATS = (
    VolumeFormat(
        "NIfTI",
        (".nii", ".nii.gz", ".hdr", ".img", ".hdr.gz", ".img.gz", ".mgh", ".mgz"),
        "nifti",
        "open_nifti",
        ((344, b"n+1\0"), (4, b"n+2\0")),
    ),
    VolumeFormat("NumPy", (".npy",), "numpy_files", "open_npy", ((0, b"\x93NUMPY"),)),
    VolumeFormat("NumPy", (".npz",), "numpy_files", "open_npz"),
    VolumeFormat("MetaImage", (".mhd", ".mha"), "metaimage", "open_metaimage"),
    VolumeFormat("NRRD", (".nrrd", ".nhdr"), "nrrd", "open_nrrd", ((0, b"NRRD"),)),
    DICOM,
    TIFF,
    ZARR,
    RAW,
)


def format_of(path: str, raw: RawLayout | None = None) -> VolumeFormat:
    """The format of a file or folder.

    Args:
        path: must exist.
        raw: a layout makes it a raw file.

    Raises:
        DataError: none fits.
    """
    if raw is not None:
        return RAW
    name = Path(path).name.lower()
    if Path(path).is_dir():
        return _folder_format(path)
    fitting = [
        (len(suffix), entry) for entry in FORMATS for suffix in entry.suffixes if name.endswith(suffix)
    ]
    if fitting:
        return max(fitting, key=lambda pair: pair[0])[1]
    with Path(path).open("rb") as file:
        start = file.read(512)
    for entry in FORMATS:
        if any(start[offset : offset + len(magic)] == magic for offset, magic in entry.magic):
            return entry
    known = sorted({suffix for entry in FORMATS for suffix in entry.suffixes})
    suffix = Path(name).suffix
    raise DataError(
        f"{path}: no volume format is known by {suffix or 'this name'}{did_you_mean(suffix, known)}; "
        f"dense3d reads {', '.join(dict.fromkeys(entry.name for entry in FORMATS))}: convert it to one of "
        "them, or state the layout of a raw file"
    )


def _folder_format(path: str) -> VolumeFormat:
    """What a folder holds: a Zarr group, slices as TIFF, or DICOM files."""
    files = {file.name.lower() for file in Path(path).iterdir()}
    if files & {"zarr.json", ".zgroup", ".zattrs"} or path.lower().rstrip("/\\").endswith(".zarr"):
        return ZARR
    if any(name.endswith((".tif", ".tiff")) for name in files):
        return TIFF
    return DICOM
