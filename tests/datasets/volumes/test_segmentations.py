"""Segmentations written and read: 3D Slicer's fields, DICOM SEG, NIfTI's codes, other grids, wrong files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dense3d.datasets.volumes import open_volume, read_segmentation, write_segmentation
from dense3d.errors import ConfigError, DataError, Dense3dError
from tests.datasets.volumes.files import (
    AFFINE,
    LPS,
    labels_of,
    oblique,
    phantom,
    write_dicom,
    write_meta,
    write_nifti,
    write_nrrd,
)
from tests.datasets.volumes.test_dicom import multi_frame

PHANTOM = phantom()
LABELS = labels_of(PHANTOM)
NAMES = {1: "Leber", 2: "Gefäße | links", 3: "a\nb"}
COLORS = {1: (1.0, 0.0, 0.0), 2: (0.0, 0.5, 1.0), 3: (0.25, 0.75, 0.5)}


@pytest.fixture
def volume(tmp_path: Path):
    return open_volume(write_nifti(tmp_path / "scan.nii", PHANTOM, oblique())).canonical()


def test_seg_nrrd_has_the_fields_of_slicer(tmp_path: Path, volume) -> None:
    sitk = pytest.importorskip("SimpleITK")
    path = tmp_path / "a.seg.nrrd"
    write_segmentation(path, LABELS, volume, NAMES, COLORS)
    image = sitk.ReadImage(str(path))
    field = image.GetMetaData
    assert [field(f"Segment{n}_LabelValue") for n in range(3)] == ["1", "2", "3"]
    assert [field(f"Segment{n}_Layer") for n in range(3)] == ["0", "0", "0"]
    assert field("Segment1_Name") == "Gefäße | links"
    assert field("Segment2_Name") == "a b"  # a header has a line a field
    assert [float(part) for part in field("Segment1_Color").split()] == [0, 0.5, 1]
    assert field("Segment0_Extent") == "0 11 0 9 0 7"
    assert field("Segmentation_MasterRepresentation") == "Binary labelmap"
    assert field("Segmentation_ReferenceImageExtentOffset") == "0 0 0"
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).transpose(2, 1, 0), LABELS)
    read = read_segmentation(path, volume)
    assert dict(read.names) == {1: "Leber", 2: "Gefäße | links", 3: "a b"}
    assert dict(read.colors) == COLORS


def test_overlapping_segments_are_layers(tmp_path: Path, volume) -> None:
    nrrd = pytest.importorskip("nrrd")
    masks = np.stack([PHANTOM > 2000, PHANTOM > 4000, PHANTOM < 0])
    path = tmp_path / "a.seg.nrrd"
    write_segmentation(path, masks, volume, {1: "organ", 2: "lesion", 3: "air"})
    data, header = nrrd.read(str(path))
    assert header["kinds"] == ["list", "domain", "domain", "domain"]
    assert np.isnan(header["space directions"][0]).all()
    for number, mask in enumerate(masks):
        layer, value = int(header[f"Segment{number}_Layer"]), int(header[f"Segment{number}_LabelValue"])
        np.testing.assert_array_equal(data[layer] == value, mask)
    read = read_segmentation(path, volume)
    assert dict(read.names) == {1: "organ", 2: "lesion", 3: "air"}
    assert any(f"overlap in {int((masks[0] & masks[1]).sum())} voxels" in note for note in read.notes)
    with pytest.raises(ConfigError, match="belong to several segments"):
        write_segmentation(tmp_path / "a.nii", masks, volume)


def test_labels_that_no_field_names_are_kept(tmp_path: Path, volume) -> None:
    named = {"Segment0_Name": "second", "Segment0_LabelValue": 2}
    read = read_segmentation(write_nrrd(tmp_path / "a.seg.nrrd", LABELS, oblique(), **named), volume)
    np.testing.assert_array_equal(read.labels, LABELS)
    assert dict(read.names) == {1: "Segment 1", 2: "second", 3: "Segment 3"}


def test_layers_that_use_one_label_each_as_slicer_writes_them(tmp_path: Path, volume) -> None:
    nrrd = pytest.importorskip("nrrd")
    directions = np.vstack([np.full(3, np.nan), (LPS @ oblique())[:3, :3].T])
    fields = {"space": "LPS", "space directions": directions, "space origin": (LPS @ oblique())[:3, 3]}
    for number, name in enumerate(("first", "second")):
        fields |= {f"Segment{number}_{key}": value for key, value in (("Name", name), ("LabelValue", 1))}
        fields[f"Segment{number}_Layer"] = number
    layers = np.stack([LABELS == 1, LABELS == 2]).astype(np.uint8)
    nrrd.write(str(tmp_path / "a.seg.nrrd"), layers, fields)
    read = read_segmentation(tmp_path / "a.seg.nrrd", volume)
    np.testing.assert_array_equal(read.labels, np.where(LABELS < 3, LABELS, 0))
    assert dict(read.names) == {1: "first", 2: "second"}


def test_nifti_keeps_codes_forms_and_zooms(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(PHANTOM, AFFINE)
    image.set_qform(oblique(), 1)
    image.set_sform(AFFINE, 4)
    nibabel.save(image, tmp_path / "scan.nii.gz")
    volume = open_volume(tmp_path / "scan.nii.gz").canonical()
    for name in ("a.nii", "a.nii.gz"):
        write_segmentation(tmp_path / name, LABELS, volume)
        header = nibabel.load(tmp_path / name).header
        for form in ("get_sform", "get_qform"):
            mine, theirs = (getattr(h, form)(coded=True) for h in (header, image.header))
            assert mine[1] == theirs[1]
            np.testing.assert_allclose(mine[0], theirs[0], atol=1e-5)
        assert header.get_intent()[0] == "label"
        assert header.get_data_dtype() == np.uint8
        np.testing.assert_allclose(header.get_zooms(), image.header.get_zooms())


@pytest.mark.parametrize("as_one_file", [False, True])
def test_dicom_seg_round_trip(tmp_path: Path, as_one_file: bool) -> None:
    highdicom = pytest.importorskip("highdicom")
    where = tmp_path / "series"
    if as_one_file:
        where = multi_frame(tmp_path / "enhanced.dcm", PHANTOM, oblique())
    else:
        write_dicom(where, PHANTOM, oblique())
    volume = open_volume(where).canonical()
    labels = volume.from_source(LABELS)
    path = tmp_path / "out.dcm"
    write_segmentation(path, labels, volume, NAMES, COLORS)
    seg = highdicom.seg.segread(path)
    assert [seg.get_segment_description(n).segment_label for n in seg.segment_numbers] == list(NAMES.values())
    if hasattr(seg, "get_volume"):  # since 0.25
        theirs = seg.get_volume(combine_segments=True)
        for index in np.argwhere(theirs.array)[::7]:
            world = LPS @ theirs.affine @ [*index, 1]
            mine = np.rint(np.linalg.inv(volume.affine) @ world)[:3].astype(int)
            assert labels[tuple(mine)] == theirs.array[tuple(index)]
    read = read_segmentation(path, volume)
    np.testing.assert_array_equal(read.labels, labels)
    assert read.notes == ()
    assert dict(read.names) == NAMES
    for label, color in COLORS.items():
        np.testing.assert_allclose(read.colors[label], color, atol=0.02)


def test_dicom_seg_of_overlaps_and_on_another_grid(tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    volume = open_volume(write_dicom(tmp_path / "series", PHANTOM, oblique())).canonical()
    masks = np.stack([volume.from_source(PHANTOM) > 2000, volume.from_source(PHANTOM) > 4000])
    write_segmentation(tmp_path / "out.dcm", masks, volume, {1: "organ", 2: "lesion"})
    read = read_segmentation(tmp_path / "out.dcm", volume)
    np.testing.assert_array_equal(read.labels, masks[0])
    assert any(f"overlap in {int(masks[1].sum())} voxels" in note for note in read.notes)
    half = AFFINE @ np.diag([0.5, 0.5, 0.5, 1])  # other voxels of the same patient, not turned
    half[:3, :3] = oblique()[:3, :3] / 2
    fine = open_volume(
        write_nifti(tmp_path / "fine.nii", np.kron(PHANTOM, np.ones((2, 2, 2), np.int16)), half)
    )
    read = read_segmentation(tmp_path / "out.dcm", fine)
    assert any("resampled" in note for note in read.notes)
    np.testing.assert_array_equal(read.labels[::2, ::2, ::2], PHANTOM > 2000)


def test_dicom_seg_needs_a_series(tmp_path: Path, volume) -> None:
    with pytest.raises(
        ConfigError, match=r"DICOM SEG refers to the images of a DICOM series, and scan.nii is none"
    ):
        write_segmentation(tmp_path / "out.dcm", LABELS, volume)
    assert not (tmp_path / "out.dcm").exists()


@pytest.mark.parametrize(
    ("name", "write"),
    [("l.nii", write_nifti), ("l.nrrd", write_nrrd), ("l.mha", write_meta), ("l.mhd", write_meta)],
)
def test_labelmaps_of_other_grids_are_resampled(tmp_path: Path, volume, name: str, write) -> None:
    assert np.array_equal(read_segmentation(write(tmp_path / name, LABELS, oblique()), volume).labels, LABELS)
    coarse = oblique() @ np.diag([2.0, 2, 2, 1])
    coarse[:3, 3] = (oblique() @ [0.5, 0.5, 0.5, 1])[:3]
    read = read_segmentation(write(tmp_path / f"2{name}", LABELS[::2, ::2, ::2], coarse), volume)
    np.testing.assert_array_equal(read.labels, np.kron(LABELS[::2, ::2, ::2], np.ones((2, 2, 2), np.uint8)))
    assert any("grid of 6 x 5 x 4 voxels differs" in note for note in read.notes)


def test_labels_cropped_to_a_part_lie_where_they_belong(tmp_path: Path, volume) -> None:
    affine = oblique()
    affine[:3, 3] = (oblique() @ [4, 3, 2, 1])[:3]
    read = read_segmentation(write_nifti(tmp_path / "l.nii", LABELS[4:9, 3:8, 2:7], affine), volume)
    expected = np.zeros_like(LABELS)
    expected[4:9, 3:8, 2:7] = LABELS[4:9, 3:8, 2:7]
    np.testing.assert_array_equal(read.labels, expected)


def test_labels_without_a_place_need_the_same_shape(tmp_path: Path, volume) -> None:
    np.save(tmp_path / "l.npy", LABELS)
    np.testing.assert_array_equal(read_segmentation(tmp_path / "l.npy", volume).labels, LABELS)
    np.save(tmp_path / "l.npy", LABELS[:-1])
    with pytest.raises(
        DataError, match=r"11 x 10 x 8 voxels and states no place, but scan.nii has 12 x 10 x 8"
    ):
        read_segmentation(tmp_path / "l.npy", volume)


def test_a_forgotten_place_is_that_of_the_volume(tmp_path: Path, volume) -> None:
    for name, write in (("eye.nii", write_nifti), ("eye.mha", write_meta)):
        read = read_segmentation(write(tmp_path / name, LABELS, np.eye(4)), volume)
        np.testing.assert_array_equal(read.labels, LABELS)
        assert any("affine is the identity" in note for note in read.notes)
    without_codes = write_nifti(tmp_path / "codes.nii", LABELS, oblique(), sform_code=0, qform_code=0)
    content = bytearray(without_codes.read_bytes())
    content[252:256] = b"\0" * 4  # nibabel writes the sform's code anew
    without_codes.write_bytes(content)
    read = read_segmentation(without_codes, volume)
    np.testing.assert_array_equal(read.labels, LABELS)
    assert read.notes == ("the file states no place: voxels were taken in the volume's own order",)


def test_what_is_no_segmentation_of_this_volume_is_refused(tmp_path: Path, volume) -> None:
    away = oblique()
    away[:3, 3] += 500
    with pytest.raises(DataError, match=r"none of its labelled voxels lies inside scan.nii"):
        read_segmentation(write_nifti(tmp_path / "away.nii", LABELS, away), volume)
    with pytest.raises(DataError, match="no whole numbers"):
        read_segmentation(write_nifti(tmp_path / "f.nii", PHANTOM / np.float32(3), oblique()), volume)
    with pytest.raises(DataError, match="are no labels, which are integers of 0 to 65535"):
        read_segmentation(write_nifti(tmp_path / "n.nii", PHANTOM, oblique()), volume)
    floats = read_segmentation(write_nifti(tmp_path / "w.nii", LABELS.astype(np.float32), oblique()), volume)
    np.testing.assert_array_equal(floats.labels, LABELS)


def test_wrong_requests(tmp_path: Path, volume) -> None:
    with pytest.raises(ConfigError, match=r"written as .nii.gz, .nii, .seg.nrrd, .dcm"):
        write_segmentation(tmp_path / "a.png", LABELS, volume)
    with pytest.raises(ConfigError, match=r"shape \(3, 3, 3\) do not lie on the \(12, 10, 8\) voxels"):
        write_segmentation(tmp_path / "a.nii", LABELS[:3, :3, :3], volume)
    with pytest.raises(ConfigError, match="red, green, blue of 0 to 1"):
        write_segmentation(tmp_path / "a.nii", LABELS, volume, colors={1: (255, 0, 0)})
    assert list(tmp_path.glob("a.*")) == []


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.seg.nrrd"])
def test_a_write_that_fails_leaves_the_earlier_file(tmp_path: Path, volume, name: str, monkeypatch) -> None:
    path = tmp_path / name
    write_segmentation(path, LABELS, volume, NAMES)
    before = path.read_bytes()
    monkeypatch.setattr("os.fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(Dense3dError, match="no space is left on the disk"):
        write_segmentation(path, LABELS * 0 + 1, volume)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir() if file.name.endswith(".tmp")] == []
