"""All 48 orientations through files: read, canonical grid, a segmentation on it, and back onto the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dense3d.datasets.volumes import open_volume, read_segmentation, write_segmentation
from dense3d.structures import AxisOrder
from tests.datasets.volumes.files import (
    AFFINE,
    LPS,
    ORIENTATIONS,
    labels_of,
    phantom,
    write_dicom,
    write_meta,
    write_nifti,
    write_nrrd,
)

PHANTOM = phantom()
WRITERS = {".nii": write_nifti, ".nii.gz": write_nifti, ".nrrd": write_nrrd, ".mha": write_meta}


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("order", ORIENTATIONS, ids=str)
def test_one_patient_in_every_orientation(tmp_path: Path, order: AxisOrder, suffix: str) -> None:
    stored, affine = order.apply(PHANTOM), AFFINE @ order.index_affine(PHANTOM.shape)
    volume = open_volume(WRITERS[suffix](tmp_path / f"scan{suffix}", stored, affine)).canonical()
    np.testing.assert_array_equal(volume.values, PHANTOM)
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-5)
    labels = labels_of(volume.values)
    for name in ("labels.nii.gz", "labels.seg.nrrd"):
        write_segmentation(tmp_path / name, labels, volume, {1: "a", 2: "b", 3: "c"})
        read = read_segmentation(tmp_path / name, volume)
        np.testing.assert_array_equal(read.labels, labels)
        assert read.notes == ()
    _check_with_peers(tmp_path, labels_of(stored), affine)


@pytest.mark.parametrize("order", ORIENTATIONS[::3], ids=str)
def test_a_dicom_series_in_every_orientation(tmp_path: Path, order: AxisOrder) -> None:
    pytest.importorskip("pydicom")
    stored, affine = order.apply(PHANTOM), AFFINE @ order.index_affine(PHANTOM.shape)
    volume = open_volume(write_dicom(tmp_path / "series", stored, affine)).canonical()
    np.testing.assert_array_equal(volume.values, PHANTOM)
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-5)
    write_segmentation(tmp_path / "labels.nii", labels_of(PHANTOM), volume)
    written = open_volume(tmp_path / "labels.nii").canonical()
    np.testing.assert_array_equal(written.values, labels_of(PHANTOM))
    np.testing.assert_allclose(written.affine, AFFINE, atol=1e-5)


@pytest.mark.parametrize("order", ORIENTATIONS[::5], ids=str)
def test_labels_stored_in_another_axis_order(tmp_path: Path, order: AxisOrder) -> None:
    volume = open_volume(write_nifti(tmp_path / "scan.nii", PHANTOM)).canonical()
    labels = labels_of(PHANTOM)[2:, :9, 1:7]
    affine = AFFINE.copy()
    affine[:3, 3] = (AFFINE @ [2, 0, 1, 1])[:3]
    path = write_nifti(tmp_path / "l.nii", order.apply(labels), affine @ order.index_affine(labels.shape))
    expected = np.zeros(PHANTOM.shape, np.uint8)
    expected[2:, :9, 1:7] = labels
    np.testing.assert_array_equal(read_segmentation(path, volume).labels, expected)


def _check_with_peers(folder: Path, stored: np.ndarray, affine: np.ndarray) -> None:
    """What nibabel and pynrrd read are labels on the very voxels of the file."""
    import nibabel
    import nrrd

    image = nibabel.load(folder / "labels.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj), stored)
    np.testing.assert_allclose(image.affine, affine, atol=1e-5)
    np.testing.assert_allclose(image.get_qform(), affine, atol=1e-5)
    data, header = nrrd.read(str(folder / "labels.seg.nrrd"))
    np.testing.assert_array_equal(data, stored)
    np.testing.assert_allclose(header["space directions"].T, (LPS @ affine)[:3, :3], atol=1e-5)
    np.testing.assert_allclose(header["space origin"], (LPS @ affine)[:3, 3], atol=1e-5)


@pytest.mark.parametrize("order", ORIENTATIONS, ids=str)
def test_a_working_grid_leads_back_in_every_orientation(tmp_path: Path, order: AxisOrder) -> None:
    stored, affine = order.apply(PHANTOM), AFFINE @ order.index_affine(PHANTOM.shape)
    path = write_nifti(tmp_path / "scan.nii", stored, affine)
    working = open_volume(path, limit=5)
    np.testing.assert_allclose(working.values, open_volume(path).canonical().reduced(5).values)
    labels = labels_of(working.values)
    write_segmentation(tmp_path / "labels.nii", labels, working)
    full = open_volume(path).canonical()
    np.testing.assert_array_equal(
        read_segmentation(tmp_path / "labels.nii", full).labels, working.to_full(labels)
    )
    np.testing.assert_array_equal(working.from_full(working.to_full(labels)), labels)
