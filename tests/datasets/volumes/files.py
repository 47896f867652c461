"""Files of every format, written by the formats' own libraries, of one asymmetric phantom."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from dense3d.structures import AxisOrder

ORIENTATIONS = [
    AxisOrder(axes, flips)
    for axes in itertools.permutations(range(3))
    for flips in itertools.product((False, True), repeat=3)
]
AFFINE = np.array([[0.7, 0, 0, -20.0], [0, 1.1, 0, 13.0], [0, 0, 2.5, 4.0], [0, 0, 0, 1]])
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def phantom(shape: tuple[int, int, int] = (12, 10, 8)) -> np.ndarray:
    """int16 in which no mirroring or rotation leaves a voxel's neighbourhood as it is."""
    x, y, z = np.meshgrid(*(np.arange(size) for size in shape), indexing="ij")
    return (7 * x + 100 * y + 1000 * z - 900 + (x * y * z) % 5).astype(np.int16)


def labels_of(values: np.ndarray) -> np.ndarray:
    """Three structures, of which none is symmetric."""
    return ((values > 2000).astype(np.uint8) + (values > 4000) + (values > 5500)).astype(np.uint8)


def oblique(degrees: float = 20) -> np.ndarray:
    """AFFINE turned about two axes."""
    angle = np.radians(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    about_z = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    turned = AFFINE.copy()
    turned[:3, :3] = about_z @ about_x @ AFFINE[:3, :3]
    return turned


def write_nifti(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE, **header: object) -> Path:
    import nibabel

    image = nibabel.Nifti1Image(values, affine)
    for key, value in header.items():
        image.header[key] = value
    nibabel.save(image, path)
    return path


def write_nrrd(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE, **header: object) -> Path:
    import nrrd

    lps = LPS @ affine
    fields = {
        "space": "left-posterior-superior",
        "space directions": lps[:3, :3].T,
        "space origin": lps[:3, 3],
        "kinds": ["domain"] * 3,
        **header,
    }
    nrrd.write(str(path), values, {key: value for key, value in fields.items() if value is not None})
    return path


def write_meta(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE, compress: bool = False) -> Path:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(values.transpose(2, 1, 0)))
    lps = LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing([float(step) for step in spacing])
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    sitk.WriteImage(image, str(path), compress)
    return path


def write_zarr(
    path: Path, levels: list[np.ndarray], version: int = 2, unit: str = "millimeter", axes: str = "zyx"
) -> Path:
    """Levels in (..., Z, Y, X) order, each half of the one before."""
    import zarr

    options = {"zarr_format": version} if int(zarr.__version__.split(".")[0]) >= 3 else {}
    group = zarr.open_group(str(path), mode="w", **options)
    datasets = []
    for index, array in enumerate(levels):
        chunks = tuple(min(size, 8) for size in array.shape)
        made = group.create_array if hasattr(group, "create_array") else group.create_dataset
        made(str(index), shape=array.shape, chunks=chunks, dtype=array.dtype)[...] = array
        lead = [1.0] * (len(axes) - 3)
        scale = [*lead, 2.5 * 2**index, 1.1 * 2**index, 0.7 * 2**index]
        datasets.append(
            {"path": str(index), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        )
    kinds = {"t": "time", "c": "channel"}
    described = [
        {"name": axis, "type": kinds.get(axis, "space"), **({} if axis in "tc" else {"unit": unit})}
        for axis in axes
    ]
    multiscales = [{"version": "0.4" if version == 2 else "0.5", "axes": described, "datasets": datasets}]
    if version == 2:
        group.attrs["multiscales"] = multiscales
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": multiscales}
    return path


def write_dicom(
    folder: Path,
    values: np.ndarray,
    affine: np.ndarray = AFFINE,
    *,
    uid: str = "1.2.826.0.1.3680043.8.498.1",
    description: str = "series",
    leave_out: tuple[int, ...] = (),
    names: str = "slice_{:03d}.dcm",
    **attributes: object,
) -> Path:
    """A CT series whose columns, rows and slices are the three axes of ``values``, one file a slice.

    File names run against the order of positions.
    """
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset

    folder.mkdir(parents=True, exist_ok=True)
    lps = LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    for index in range(values.shape[2]):
        if index in leave_out:
            continue
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        meta.MediaStorageSOPInstanceUID = f"{uid}.{index + 1}"
        meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
        name = folder / names.format(values.shape[2] - index)
        data = FileDataset(str(name), {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = "1.2.3", uid, "1.2.4"
        data.Modality, data.SeriesDescription, data.SeriesNumber = "CT", description, 1
        data.PatientID, data.PatientName, data.InstanceNumber = "1", "Phantom^A", index + 1
        data.Rows, data.Columns = values.shape[1], values.shape[0]
        data.PixelSpacing = [float(spacing[1]), float(spacing[0])]
        data.SliceThickness = float(spacing[2])
        data.ImageOrientationPatient = [float(part) for part in (lps[:3, :2] / spacing[:2]).T.ravel()]
        data.ImagePositionPatient = [float(part) for part in lps[:3, 3] + index * lps[:3, 2]]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.PixelRepresentation = 15, 1
        data.PixelData = np.ascontiguousarray(values[:, :, index].T).astype("<i2").tobytes()
        for keyword, value in attributes.items():
            setattr(data, keyword, value(index) if callable(value) else value)
        if pydicom.__version__ < "3":
            data.is_little_endian, data.is_implicit_VR = True, False
        data.save_as(name, **({"enforce_file_format": True} if pydicom.__version__ >= "3" else {}))
    return folder
