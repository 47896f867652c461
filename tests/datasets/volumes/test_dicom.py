"""DICOM series as scanners and archives deliver them, against SimpleITK."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from dense3d.datasets.volumes import open_volume, volume_header, write_segmentation
from dense3d.errors import DataError
from tests.datasets.volumes.files import AFFINE, LPS, oblique, phantom, write_dicom

pytest.importorskip("pydicom")
PHANTOM = phantom()


@pytest.mark.parametrize("affine", [AFFINE, LPS @ AFFINE, oblique()], ids=["ras", "lps", "oblique"])
def test_a_series_lies_where_simpleitk_puts_it(tmp_path: Path, affine: np.ndarray) -> None:
    sitk = pytest.importorskip("SimpleITK")
    folder = write_dicom(tmp_path / "series", PHANTOM, affine)
    volume = open_volume(folder)
    assert (volume.modality, volume.notes) == ("CT", ())
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    lps = np.eye(4)
    lps[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    lps[:3, 3] = image.GetOrigin()
    mine, theirs = volume.canonical(), sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    if np.allclose(LPS @ lps, volume.affine, atol=1e-4):
        np.testing.assert_array_equal(volume.values, theirs)
    for index in np.ndindex(3, 3, 3):  # the same value at the same place of the patient
        world = mine.affine @ [*index, 1]
        other = np.rint(np.linalg.inv(LPS @ lps) @ world)[:3].astype(int)
        assert mine.values[index] == theirs[tuple(other)]


def test_rescale_slopes(tmp_path: Path) -> None:
    same = open_volume(write_dicom(tmp_path / "a", PHANTOM, RescaleSlope=2, RescaleIntercept=-1024))
    np.testing.assert_array_equal(same.values, PHANTOM.astype(int) * 2 - 1024)
    assert same.values.dtype == np.int32
    own = open_volume(
        write_dicom(tmp_path / "b", PHANTOM, RescaleSlope=lambda i: 1 + i / 2, RescaleIntercept=0)
    )
    np.testing.assert_allclose(own.values, PHANTOM * (1 + np.arange(8) / 2), rtol=1e-6)
    assert any("slopes of their own" in note for note in own.notes)


def test_the_largest_of_several_series_is_opened_and_a_file_opens_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_dicom(tmp_path, PHANTOM, uid="1.2.9.1", description="thick", names="a{:03d}.dcm")
    write_dicom(
        tmp_path / "sub", PHANTOM[..., :4] + 1, uid="1.2.9.2", description="scout", names="b{:03d}.dcm"
    )
    (tmp_path / "README.txt").write_text("not an image")
    volume = open_volume(tmp_path)
    np.testing.assert_array_equal(volume.values, PHANTOM)
    assert "2 series" in volume.notes[0]
    assert "'scout' (4 images, b001.dcm)" in volume.notes[0]
    np.testing.assert_array_equal(open_volume(tmp_path / "sub" / "b002.dcm").values, PHANTOM[..., :4] + 1)
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(open_volume("./sub/b002.dcm").values, PHANTOM[..., :4] + 1)
    assert open_volume(".").name == tmp_path.name


def test_missing_slices_are_named_and_numbered(tmp_path: Path) -> None:
    write_dicom(tmp_path, PHANTOM, leave_out=(3, 5, 6))
    with pytest.raises(DataError) as caught:
        open_volume(tmp_path)
    sentence = str(caught.value)
    assert "3 of 8 slices are missing" in sentence
    assert "1 between slice 3 (slice_006.dcm) and 4 (slice_004.dcm)" in sentence
    assert "2 between slice 4 (slice_004.dcm) and 5 (slice_001.dcm)" in sentence


def test_a_tilted_gantry_keeps_its_shear(tmp_path: Path) -> None:
    tilted = AFFINE.copy()
    tilted[:3, 2] = [0, 0.6, 2.5]
    origin = (LPS @ tilted)[:3, 3]
    folder = write_dicom(
        tmp_path / "tilt",
        PHANTOM,
        AFFINE,
        ImagePositionPatient=lambda i: list(origin + i * (LPS @ tilted)[:3, 2]),
    )
    volume = open_volume(folder)
    np.testing.assert_allclose(volume.affine, tilted, atol=1e-6)
    assert any("tilted by 13.5 degrees" in note for note in volume.notes)


def test_slices_of_another_size_are_refused(tmp_path: Path) -> None:
    write_dicom(tmp_path, PHANTOM)
    write_dicom(
        tmp_path, PHANTOM[:6], leave_out=tuple(range(1, 8)), names="small{:03d}.dcm", SOPInstanceUID="1.9"
    )
    with pytest.raises(DataError, match=r"small008.dcm has 6 x 10 pixels .* most slices have 12 x 10"):
        open_volume(tmp_path)


def test_localizers_and_copies_are_passed_over(tmp_path: Path) -> None:
    write_dicom(tmp_path, PHANTOM)
    shutil.copy(tmp_path / "slice_001.dcm", tmp_path / "copy.dcm")
    turned = [0.0, 1, 0, 0, 0, -1]
    write_dicom(
        tmp_path, PHANTOM, leave_out=tuple(range(1, 8)), names="scout{:03d}.dcm", SOPInstanceUID="1.9",
        ImageOrientationPatient=turned,
    )  # fmt: skip
    volume = open_volume(tmp_path)
    np.testing.assert_array_equal(volume.values, PHANTOM)
    assert any("1 images of another direction" in note for note in volume.notes)


def test_colours_and_damaged_headers_beside_a_series_are_told(tmp_path: Path) -> None:
    write_dicom(tmp_path / "s", PHANTOM)
    write_dicom(tmp_path / "s", PHANTOM[..., :1], uid="1.2.9", names="a{:03d}.dcm", SamplesPerPixel=3)
    volume = open_volume(tmp_path / "s")
    np.testing.assert_array_equal(volume.values, PHANTOM)
    assert any("1 DICOM files were passed over" in note and "a001.dcm" in note for note in volume.notes)
    with pytest.raises(DataError, match=r"a001.dcm: its pixels are colours"):
        open_volume(tmp_path / "s" / "a001.dcm")
    (tmp_path / "s" / "slice_004.dcm").write_bytes((tmp_path / "s" / "slice_004.dcm").read_bytes()[:400])
    with pytest.raises(DataError, match="missing"):
        open_volume(tmp_path / "s")


def test_times_of_one_place_are_frames(tmp_path: Path) -> None:
    for time in range(2):
        write_dicom(
            tmp_path, PHANTOM + time, names=f"t{time}_{{:03d}}.dcm", AcquisitionNumber=time,
            SOPInstanceUID=lambda i, time=time: f"1.5.{time}.{i}",
        )  # fmt: skip
    assert volume_header(tmp_path).frames == 2
    np.testing.assert_array_equal(open_volume(tmp_path, frame=1).values, PHANTOM + 1)
    (tmp_path / "t1_004.dcm").unlink()
    with pytest.raises(DataError, match="incomplete or mixed"):
        open_volume(tmp_path)


def test_images_without_positions_are_ordered_by_number(tmp_path: Path) -> None:
    import pydicom

    write_dicom(tmp_path, PHANTOM)
    for file in tmp_path.iterdir():
        data = pydicom.dcmread(file)
        del data.ImagePositionPatient
        data.save_as(file)
    volume = open_volume(tmp_path)
    np.testing.assert_array_equal(volume.values, PHANTOM)
    assert any("state no positions" in note for note in volume.notes)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80"], ids=["RLE", "JPEG-LS"])
def test_compressed_samples(tmp_path: Path, syntax: str) -> None:
    pydicom = pytest.importorskip("pydicom", minversion="3.0")
    write_dicom(tmp_path, PHANTOM)
    for file in tmp_path.iterdir():
        data = pydicom.dcmread(file)
        try:
            data.compress(syntax)
        except RuntimeError:
            pytest.skip(f"pydicom has no encoder of {syntax} here")
        data.save_as(file)
    np.testing.assert_array_equal(open_volume(tmp_path).values, PHANTOM)


def test_simpleitk_decompresses_what_pydicom_cannot(tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK")
    from dense3d.datasets.volumes.dicom_pixels import _by_simpleitk
    from dense3d.datasets.volumes.dicom_slices import slices_of

    image = sitk.GetImageFromArray(np.ascontiguousarray(PHANTOM[:, :, :1].transpose(2, 1, 0)))
    sitk.WriteImage(image, str(tmp_path / "a.dcm"), True)  # JPEG 2000 in the versions of today
    ((item,), _) = slices_of([tmp_path / "a.dcm"])
    np.testing.assert_array_equal(_by_simpleitk(item, ValueError("no decoder"), {}), PHANTOM[:, :, 0].T)


def multi_frame(path: Path, values: np.ndarray, affine: np.ndarray) -> Path:
    """An enhanced CT whose frames run from the last slice to the first."""
    import pydicom
    from pydicom.dataset import Dataset

    write_dicom(path.parent / "single", values, affine)
    data = pydicom.dcmread(path.parent / "single" / "slice_008.dcm")
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    lps = LPS @ affine

    def group(keyword: str, **attributes: object) -> tuple[str, list[Dataset]]:
        item = Dataset()
        for name, value in attributes.items():
            setattr(item, name, value)
        return keyword, [item]

    shared = Dataset()
    measures = dict(PixelSpacing=data.PixelSpacing, SliceThickness=data.SliceThickness)
    for keyword, value in (
        group("PixelMeasuresSequence", **measures),
        group("PlaneOrientationSequence", ImageOrientationPatient=data.ImageOrientationPatient),
        group("PixelValueTransformationSequence", RescaleSlope=1, RescaleIntercept=-5),
    ):
        setattr(shared, keyword, value)
    data.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for index in reversed(range(values.shape[2])):
        frame = Dataset()
        position = [float(part) for part in lps[:3, 3] + index * lps[:3, 2]]
        setattr(frame, *group("PlanePositionSequence", ImagePositionPatient=position))
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = frames
    data.NumberOfFrames = len(frames)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(data, keyword)
    data.PixelData = np.ascontiguousarray(values[:, :, ::-1].transpose(2, 1, 0)).tobytes()
    data.save_as(path)
    return path


def test_a_multi_frame_file(tmp_path: Path) -> None:
    path = multi_frame(tmp_path / "enhanced.dcm", PHANTOM, oblique())
    shutil.rmtree(tmp_path / "single")
    volume = open_volume(path)
    np.testing.assert_array_equal(volume.values, PHANTOM - 5)
    np.testing.assert_allclose(volume.affine, oblique(), atol=1e-6)


def test_frames_without_positions_are_slices_in_order(tmp_path: Path) -> None:
    import pydicom

    write_dicom(tmp_path / "one", PHANTOM[..., :1])
    data = pydicom.dcmread(tmp_path / "one" / "slice_001.dcm")
    data.NumberOfFrames = PHANTOM.shape[2]
    data.PixelData = np.ascontiguousarray(PHANTOM.transpose(2, 1, 0)).tobytes()
    data.save_as(tmp_path / "cine.dcm")
    volume = open_volume(tmp_path / "cine.dcm")
    np.testing.assert_array_equal(volume.values, PHANTOM)
    assert any("state no positions" in note for note in volume.notes)
    assert volume.spacing == pytest.approx((0.7, 1.1, 2.5))


def test_truncated_and_false_headers(tmp_path: Path) -> None:
    import pydicom

    write_dicom(tmp_path, PHANTOM)
    file = tmp_path / "slice_003.dcm"
    content = file.read_bytes()
    file.write_bytes(content[:-100])
    with pytest.raises(DataError, match=r"slice_003.dcm: .*(truncated|damaged)"):
        open_volume(tmp_path)
    data = pydicom.dcmread(tmp_path / "slice_001.dcm")
    for other in tmp_path.iterdir():
        data = pydicom.dcmread(other)
        data.Rows = data.Columns = 60000
        data.save_as(other)
    with pytest.raises(DataError, match=r"declares 6.7 GiB of samples but the file has only"):
        volume_header(tmp_path)


def test_a_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(DataError, match="none of its files is a DICOM image"):
        open_volume(tmp_path)


def test_directions_that_a_scanner_rounded_differently_are_one_series(tmp_path: Path) -> None:
    cosines = [0.005 + (-1) ** index * 1e-6 for index in range(8)]  # on either side of where two digits part
    folder = write_dicom(
        tmp_path / "a", PHANTOM, ImageOrientationPatient=lambda index: [1, cosines[index], 0, 0, 1, 0]
    )
    volume = open_volume(folder)
    assert (volume.shape, volume.notes) == (PHANTOM.shape, ())
    assert volume.spacing[2] == pytest.approx(2.5)


@pytest.mark.parametrize("uid", ["", "1.2.3"], ids=["none", "the same for all"])
def test_slices_whose_uids_were_lost(tmp_path: Path, uid: str) -> None:
    folder = write_dicom(tmp_path / "a", PHANTOM, SOPInstanceUID=uid)
    shutil.copy(folder / "slice_001.dcm", folder / "copy.dcm")
    if uid:  # else nothing says that a copy is one
        np.testing.assert_array_equal(open_volume(folder).values, PHANTOM)
    (folder / "copy.dcm").unlink()
    np.testing.assert_array_equal(open_volume(folder).values, PHANTOM)


def test_a_segmentation_of_a_frame_refers_to_the_images_of_that_frame(tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    import pydicom

    folder = tmp_path / "a"
    for time in range(2):
        write_dicom(
            folder,
            PHANTOM + time,
            names=f"t{time}_{{:03d}}.dcm",
            TemporalPositionIdentifier=time,
            SOPInstanceUID=lambda index, time=time: f"1.2.7.{time}.{index}",
        )
    volume = open_volume(folder, frame=1)
    np.testing.assert_array_equal(volume.values, PHANTOM + 1)
    write_segmentation(tmp_path / "seg.dcm", PHANTOM > 4000, volume)
    (series,) = pydicom.dcmread(tmp_path / "seg.dcm").ReferencedSeriesSequence
    referenced = {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence}
    assert referenced
    assert all(uid.startswith("1.2.7.1.") for uid in referenced)


def test_sizes_of_pixels_that_were_rounded_differently_are_one_series(tmp_path: Path) -> None:
    steps = [0.70315 + (-1) ** index * 1e-7 for index in range(8)]
    folder = write_dicom(tmp_path / "a", PHANTOM, PixelSpacing=lambda index: [steps[index], 0.7])
    assert open_volume(folder).shape == PHANTOM.shape
    write_dicom(tmp_path / "b", PHANTOM, PixelSpacing=lambda index: [0.7 + (index == 3) / 100, 0.7])
    with pytest.raises(
        DataError, match=r"slice_005.dcm has .* 0.7 x 0.71 mm.* most slices have .* 0.7 x 0.7 mm"
    ):
        open_volume(tmp_path / "b")
    write_dicom(tmp_path / "c", PHANTOM, PixelRepresentation=lambda index: int(index != 3))
    with pytest.raises(DataError, match=r"16 bits without sign, but most slices have .* 16 bits with sign"):
        open_volume(tmp_path / "c")
