"""Opening from Python, and what goes in and out of a workspace by files with awkward content."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from transfer_function.cubes import two_cubes

import dense3d
from dense3d.datasets.volumes import RawLayout, write_segmentation
from dense3d.errors import ConfigError, DataError, Dense3dError
from dense3d.structures.volume import Volume
from dense3d.transfer_function import Workspace

pytest.importorskip("nibabel")
pytest.importorskip("nrrd")
CUBES = two_cubes()


def opened(volume: object = CUBES, **options: object) -> Workspace:
    return dense3d.transfer_function.open(volume, method="graph-quick", **options)


@pytest.mark.parametrize("wrong", [None, 7, [[[1]]], CUBES.values[0], CUBES.values * 0, CUBES.values * 1j])
def test_what_is_no_volume_is_refused_in_a_sentence(wrong: object) -> None:
    with pytest.raises(Dense3dError):
        opened(wrong)


def test_a_volume_made_by_hand_is_checked() -> None:
    values = CUBES.values.astype(float)
    values[0, 0, 0] = np.nan
    with pytest.raises(DataError, match="NaN"):
        opened(Volume(values, CUBES.affine))
    with pytest.raises(DataError, match="x, y and z"):
        opened(Volume(values[0], CUBES.affine))


@pytest.mark.parametrize("limit", [0, -3, 1.5, None, "8", True])
def test_a_limit_that_is_none(limit: object) -> None:
    with pytest.raises(ConfigError, match="limit="):
        opened(limit=limit)


def test_a_layout_as_text_and_as_an_object(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(CUBES.values.astype("<i2").tobytes("F"))
    layout = RawLayout(CUBES.shape, "int16")
    text = f"{'x'.join(map(str, CUBES.shape))}:int16"
    for raw in (layout, text):
        np.testing.assert_array_equal(opened(tmp_path / "a.raw", raw=raw).volume.values, CUBES.values)


def test_marks_of_no_class_or_place_are_refused_in_a_sentence() -> None:
    workspace = opened()
    cube = workspace.add_class("cube", opacity=np.float32(0.5))
    for mark in (
        lambda: workspace.click(cube, None),
        lambda: workspace.click("cube", (1, 1, 1)),
        lambda: workspace.box(cube, (0, 0), (1, 1, 1)),
    ):
        with pytest.raises(DataError):
            mark()
    assert workspace.stroke(cube, [(5, 5, 5)], radius=np.float32(3)) == "stroke on cube"


def two_structures(path: Path, names: dict[int, str]) -> tuple[Path, np.ndarray]:
    labels = np.zeros(CUBES.shape, np.uint8)
    labels[2, 3:5], labels[6, 1:3] = 1, 2
    write_segmentation(path, labels, CUBES, names)
    return path, labels


def test_structures_of_one_name_stay_two(tmp_path: Path) -> None:
    path, labels = two_structures(tmp_path / "a.seg.nrrd", {1: "tumour", 2: "tumour"})
    workspace = opened()
    workspace.import_segmentation(path)
    assert [one.name for one in workspace.classes] == ["tumour", "tumour (2)"]
    np.testing.assert_array_equal(workspace.labels_full(), labels)
    assert workspace.load_reference(path) == ["tumour", "tumour (2)"]
    assert list(workspace.dice().values()) == [1, 1]


def test_names_that_a_person_gives_join_labels(tmp_path: Path) -> None:
    path, labels = two_structures(tmp_path / "a.nii.gz", {})
    workspace = opened()
    workspace.import_segmentation(path, names={1: "bone", 2: "bone"})
    np.testing.assert_array_equal(workspace.labels_full(), labels > 0)
    workspace.load_reference(path, names={1: "bone", 2: "bone"})
    assert workspace.dice() == {1: 1}


def test_a_session_with_imported_names_can_be_read_again(tmp_path: Path) -> None:
    path, labels = two_structures(tmp_path / "a.seg.nrrd", {1: "left\x1b[31m kidney", 2: "x" * 300})
    workspace = opened()
    workspace.import_segmentation(path)
    workspace.import_segmentation(path, names={1: "a\nb"})
    workspace.save(tmp_path / "a.session.json")
    again = opened(session=tmp_path / "a.session.json")
    assert again.classes == workspace.classes
    np.testing.assert_array_equal(again.labels_full() > 0, labels > 0)
    again.close()


def test_many_structures_can_be_imported_again(tmp_path: Path) -> None:
    labels = (np.arange(np.prod(CUBES.shape)).reshape(CUBES.shape) % 201).astype(np.uint8)
    write_segmentation(tmp_path / "a.nii.gz", labels, CUBES)
    workspace = opened()
    for _ in range(2):  # the second time all of them join the classes of their names
        workspace.import_segmentation(tmp_path / "a.nii.gz")
    assert len(workspace.classes) == 200
    np.testing.assert_array_equal(workspace.labels_full(), labels)


def test_exports_name_the_file_that_was_asked_for(tmp_path: Path) -> None:
    workspace = opened()
    workspace.stroke(workspace.add_class("cube"), [(5, 5, 5)], radius=3)
    (tmp_path / "folder.nii.gz").mkdir()
    (tmp_path / "file").write_text("")
    for name in ("a.dcm", "folder.nii.gz", "file/a.csv"):
        with pytest.raises(ConfigError) as caught:
            workspace.export(tmp_path / name)
        assert str(tmp_path) in str(caught.value)
    with pytest.raises(ConfigError, match="is a folder"):
        workspace.save(tmp_path)


def test_exports_of_some_classes_leave_the_others_out(tmp_path: Path) -> None:
    import nibabel

    workspace = opened()
    first, second = workspace.add_class("first"), workspace.add_class("second")
    workspace.stroke(first, [(5, 5, 5)], radius=3)
    workspace.stroke(second, [(12, 5, 5)], radius=3)
    labels = workspace.labels_full()
    written = np.asarray(nibabel.load(workspace.export(tmp_path / "a.nii.gz", class_ids=[second])).dataobj)
    np.testing.assert_array_equal(written, np.where(labels == second, second, 0))
    with workspace.export(tmp_path / "a.csv").open() as file:
        counts = {int(row["id"]): int(row["voxels"]) for row in csv.DictReader(file)}
    assert counts == {one: int((labels == one).sum()) for one in (first, second)}


def test_a_person_is_told_how_labels_of_another_grid_were_taken(tmp_path: Path) -> None:
    import nibabel

    labels = np.zeros(CUBES.shape, np.uint8)
    labels[2:6, 4:8, 4:8] = 1
    coarse = CUBES.affine @ np.diag([2, 2, 2, 1.0])
    nibabel.save(nibabel.Nifti1Image(labels[::2, ::2, ::2], coarse), tmp_path / "coarse.nii.gz")
    with opened(session=tmp_path / "a.session.json") as workspace:
        workspace.import_segmentation(tmp_path / "coarse.nii.gz")
        (note,) = workspace.import_notes
        assert note.startswith("coarse.nii.gz: its grid of ")
        assert "resampled" in note
        workspace.undo()
        assert workspace.import_notes == ()
        workspace.redo()
    with opened(session=tmp_path / "a.session.json") as again:  # also after a restart
        assert again.import_notes == (note,)


def test_a_session_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is no folder"):
        opened(session=tmp_path / "file" / "a.session.json")


def test_the_volume_itself_is_never_overwritten(tmp_path: Path) -> None:
    import nibabel

    path = tmp_path / "ct.nii.gz"
    nibabel.save(nibabel.Nifti1Image(CUBES.values, CUBES.affine), path)
    (tmp_path / "link.nii.gz").symlink_to(path)
    before = path.read_bytes()
    workspace = opened(path)
    workspace.stroke(workspace.add_class("cube"), [(5, 5, 5)], radius=3)
    for write in (
        lambda: workspace.export(path),
        lambda: workspace.export(tmp_path / "link.nii.gz"),
        lambda: workspace.export(path, format="csv"),
        lambda: workspace.save(path),
    ):
        with pytest.raises(ConfigError, match="a file of the volume that is open"):
            write()
    assert path.read_bytes() == before
    for _ in range(2):  # an earlier export may be replaced
        workspace.export(tmp_path / "labels.nii.gz")


def test_a_slice_of_the_series_is_never_overwritten(tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    from tests.datasets.volumes.files import phantom, write_dicom

    folder = write_dicom(tmp_path / "series", phantom())
    workspace = opened(folder)
    workspace.add_class("one")
    for name in ("slice_001.dcm", "slice_008.dcm"):
        with pytest.raises(ConfigError, match="a file of the volume that is open"):
            workspace.export(folder / name)
