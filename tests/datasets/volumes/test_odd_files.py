"""Files as other programs leave them: allowed by their format, and easily read wrong."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest

from dense3d.datasets.volumes import open_volume, read_segmentation, volume_of
from dense3d.errors import ConfigError, DataError
from tests.datasets.volumes.files import phantom, write_nifti

PHANTOM = phantom()


@pytest.mark.parametrize(
    ("short", "orientation"), [("RAST", "RAS"), ("LAST", "LAS"), ("LPST", "LPS"), ("RAS", "RAS")]
)
def test_short_names_of_spaces_with_time(tmp_path: Path, short: str, orientation: str) -> None:
    nrrd = pytest.importorskip("nrrd")
    size = len(short)
    values = PHANTOM if size == 3 else np.stack([PHANTOM, PHANTOM + 1], 3)
    fields = {"space": short, "space directions": np.eye(size), "space origin": np.zeros(size)}
    nrrd.write(str(tmp_path / "a.nrrd"), values, fields)
    volume = open_volume(tmp_path / "a.nrrd")
    assert volume.orientation == orientation
    assert not any("check left" in note for note in volume.notes)


def test_samples_of_nifti_follow_the_header_where_its_offset_is_zero(tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    path = write_nifti(tmp_path / "a.nii", PHANTOM)
    content = bytearray(path.read_bytes())
    struct.pack_into("<f", content, 108, 0)  # vox_offset, which niftilib then takes to be 352
    path.write_bytes(content)
    np.testing.assert_array_equal(open_volume(path).values, PHANTOM)


def _pages(path: Path, pages: list[np.ndarray], **options: object) -> Path:
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffWriter(path) as file:
        for page in pages:
            file.write(page, contiguous=False, **options)
    return path


@pytest.mark.parametrize("options", [{}, {"metadata": None}, {"compression": "zlib"}], ids=str)
def test_pages_written_one_by_one_are_a_stack(tmp_path: Path, options: dict) -> None:
    volume = open_volume(_pages(tmp_path / "a.tif", list(PHANTOM.T), **options))
    np.testing.assert_array_equal(volume.values, PHANTOM)


@pytest.mark.parametrize("predictor", [None, 2])
@pytest.mark.parametrize("dtype", ["u1", "<u2", "<f4"])
def test_lzw_needs_no_further_package(tmp_path: Path, dtype: str, predictor: int | None) -> None:
    pytest.importorskip("tifffile")
    from PIL import Image

    values = np.random.default_rng(0).integers(0, 200, (7, 9, 4)).astype(dtype)
    first, *others = [Image.fromarray(np.ascontiguousarray(page)) for page in values.T]
    tags = {} if predictor is None else {"tiffinfo": {317: predictor}}
    first.save(tmp_path / "a.tif", save_all=True, append_images=others, compression="tiff_lzw", **tags)
    np.testing.assert_array_equal(open_volume(tmp_path / "a.tif").values, values)


def test_a_compression_that_is_not_there_is_told_with_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile = pytest.importorskip("tifffile")
    path = _pages(tmp_path / "a.tif", list(PHANTOM.T), compression="zlib")

    def asarray(page: object) -> None:
        raise ValueError("<COMPRESSION.LERC: 34887> requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPage, "asarray", asarray)
    monkeypatch.setattr(tifffile.TiffFrame, "asarray", asarray)
    with pytest.raises(DataError, match=r"a\.tif: a page cannot be read .*pip install imagecodecs"):
        open_volume(path)


def test_pages_of_unlike_size_are_named(tmp_path: Path) -> None:
    pages = list(PHANTOM.T)
    pages[3] = pages[3][:5]
    with pytest.raises(DataError, match="page 1 is 12 x 10 int16, but page 4 is 12 x 5 int16"):
        open_volume(_pages(tmp_path / "a.tif", pages))
    both = _pages(tmp_path / "b.tif", [PHANTOM.T, PHANTOM.T[:3, :4]])
    assert any("2 series of images: the first is open" in note for note in open_volume(both).notes)


def test_a_mapped_file_with_nan_is_reduced(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    values = PHANTOM.astype(np.float32)
    values[0, 0, 0] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", values.T)
    volume = open_volume(tmp_path / "a.tif", limit=6)
    filled = np.where(np.isnan(values), np.nanmin(values), values)
    np.testing.assert_allclose(volume.values[0, 0, 0], filled[:2, :2, :2].mean(), rtol=1e-6)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.nii")
    with pytest.raises(DataError, match="a device or a pipe"):
        open_volume(tmp_path / "a.nii")


def test_arrays_are_checked_as_files_are() -> None:
    series = np.stack([PHANTOM, PHANTOM + 1], 3)
    np.testing.assert_array_equal(volume_of(series, frame=1).values, PHANTOM + 1)
    np.testing.assert_array_equal(volume_of(np.asfortranarray(PHANTOM)[::-1]).values, PHANTOM[::-1])
    values = PHANTOM.astype(np.float64)
    values[1, 2, 3] = np.inf
    filled = volume_of(values)
    assert filled.values[1, 2, 3] == PHANTOM.min()
    assert np.isinf(values[1, 2, 3])  # the array itself stays as it was
    assert "1 voxels are NaN or infinite" in filled.notes[0]
    for wrong, sentence in [
        (PHANTOM[0], "a picture of 10 x 8 pixels"),
        (PHANTOM[:, :, :1], "a picture of 12 x 10 x 1 pixels"),
        (PHANTOM * 0, "every voxel has the value 0"),
        (PHANTOM * 1j, "complex"),
        (PHANTOM.astype(object), "no numbers"),
        (PHANTOM[:0], "0 x 10 x 8"),
        (values * np.nan, "none of its voxels is a finite number"),
    ]:
        with pytest.raises(DataError, match=sentence):
            volume_of(wrong)
    for frame in (2, -1, 0.5, "1"):
        with pytest.raises(ConfigError, match="no frame"):
            volume_of(series, frame=frame)


def test_names_that_hide_what_a_file_is(tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    packed = write_nifti(tmp_path / "a.nii.gz", PHANTOM).rename(tmp_path / "a.nii")
    with pytest.raises(DataError, match=r"rename it to end in \.gz"):
        open_volume(packed)
    pytest.importorskip("zarr")
    (tmp_path / "b.zarr").mkdir()
    with pytest.raises(DataError, match="no folder with a Zarr group"):
        open_volume(tmp_path / "b.zarr")


def test_labels_of_nearly_the_same_place_need_no_word(tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    tilted = np.eye(4)
    tilted[0, 1] = 1e-6  # as rounding leaves it
    volume = open_volume(write_nifti(tmp_path / "a.nii", PHANTOM, tilted))
    write_nifti(tmp_path / "b.nii", (PHANTOM > 4000).astype(np.uint8), np.eye(4))
    found = read_segmentation(tmp_path / "b.nii", volume)
    assert found.notes == ()
    np.testing.assert_array_equal(found.labels, PHANTOM > 4000)
