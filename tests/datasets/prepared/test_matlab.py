"""MATLAB's structures by both readers: SciPy's for old files, HDF5 for files of version 7.3."""

import numpy as np
import pytest
from scipy.io import savemat

from dense3d.datasets.prepared.matlab import read_structs, read_texts
from dense3d.errors import DataError
from tests.datasets.prepared.raw_trees import box, struct_array

FIELDS = {"K": None, "path": None, "boxes": {"centroid": None, "classname": None}, "absent": None}
MATRIX = np.arange(6.0).reshape(2, 3)
TWO = [box("chair", (1, 2, 3), (1, 1, 1), (1, 0, 0)), box("bed", (4, 5, 6), (1, 1, 1), (1, 0, 0))]


def _old(path):
    rows = [
        {"K": MATRIX, "path": "a/b", "boxes": struct_array(TWO)},
        {"K": 2 * MATRIX, "path": "c", "boxes": struct_array(TWO[:1])},
        {"K": MATRIX, "path": "", "boxes": np.zeros((0, 0))},
    ]
    savemat(path, {"Meta": struct_array(rows), "names": np.array([["x", "yz"]], dtype=object)})


def _new(path):
    """As MATLAB lays out ``save -v7.3``."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w", userblock_size=512) as file:
        store, count = file.create_group("#refs#"), iter(range(1000))

        def number(values):
            node = store.create_dataset(str(next(count)), data=np.asarray(values, dtype=float).T)
            node.attrs["MATLAB_class"] = np.bytes_("double")
            return node.ref

        def text(value):
            codes = np.array([[ord(letter)] for letter in value], dtype=np.uint16)
            node = store.create_dataset(str(next(count)), data=codes if value else np.zeros(2, np.uint64))
            node.attrs["MATLAB_class"] = np.bytes_("char")
            if not value:
                node.attrs["MATLAB_empty"] = np.uint8(1)
            return node.ref

        def references(group, name, found):
            group.create_dataset(name, data=np.array(found, dtype=h5py.ref_dtype)[:, None])

        def structs(boxes):
            if not boxes:
                node = store.create_dataset(str(next(count)), data=np.zeros(2, np.uint64))
                node.attrs["MATLAB_class"], node.attrs["MATLAB_empty"] = np.bytes_("struct"), np.uint8(1)
                return node.ref
            node = store.create_group(str(next(count)))
            node.attrs["MATLAB_class"] = np.bytes_("struct")
            centers = [number(one["centroid"]) for one in boxes]
            names = [text(one["classname"]) for one in boxes]
            if len(boxes) == 1:  # a structure alone holds its fields, not references to them
                node["centroid"], node["classname"] = file[centers[0]], file[names[0]]
            else:
                references(node, "centroid", centers)
                references(node, "classname", names)
            return node.ref

        meta = file.create_group("Meta")
        meta.attrs["MATLAB_class"] = np.bytes_("struct")
        references(meta, "K", [number(MATRIX), number(2 * MATRIX), number(MATRIX)])
        references(meta, "path", [text("a/b"), text("c"), text("")])
        references(meta, "boxes", [structs(TWO), structs(TWO[:1]), structs([])])
        references(file, "names", [text("x"), text("yz")])
        file["names"].attrs["MATLAB_class"] = np.bytes_("cell")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(512, b" "))


@pytest.mark.parametrize("write", [_old, _new])
def test_both_versions_give_the_same(write, tmp_path):
    write(tmp_path / "meta.mat")
    first, second, third = read_structs(tmp_path / "meta.mat", "Meta", FIELDS)
    np.testing.assert_array_equal(first["K"], MATRIX)
    np.testing.assert_array_equal(second["K"], 2 * MATRIX)
    assert (first["path"], second["path"], first["absent"]) == ("a/b", "c", None)
    assert [one["classname"] for one in first["boxes"]] == ["chair", "bed"]
    np.testing.assert_array_equal(first["boxes"][1]["centroid"], [4, 5, 6])
    assert [one["classname"] for one in second["boxes"]] == ["chair"]
    assert third["boxes"] == []
    assert read_texts(tmp_path / "meta.mat", "names") == ["x", "yz"]
    with pytest.raises(DataError, match=r"meta.mat has no variable 'other'"):
        read_structs(tmp_path / "meta.mat", "other", FIELDS)


@pytest.mark.parametrize("write", [_old, _new])
@pytest.mark.parametrize("length", [0, 60, 300, 700])
def test_cut_files_are_one_sentence(write, length, tmp_path):
    write(tmp_path / "meta.mat")
    content = (tmp_path / "meta.mat").read_bytes()
    (tmp_path / "cut.mat").write_bytes(content[:length])
    with pytest.raises(DataError, match=r"cut.mat"):
        read_structs(tmp_path / "cut.mat", "Meta", FIELDS)
