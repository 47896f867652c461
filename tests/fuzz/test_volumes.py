"""Volume files of all formats, damaged or with other headers: they open, or end in one clear sentence."""

from __future__ import annotations

import functools
import json
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("nibabel")
pytest.importorskip("nrrd")
pytest.importorskip("SimpleITK")
pytest.importorskip("tifffile")
import skimage.measure  # noqa: F401 - before processes fork

from dense3d.datasets.volumes import (
    RawLayout,
    open_volume,
    read_segmentation,
    volume_header,
    write_segmentation,
)
from dense3d.errors import DataError
from tests.datasets.volumes.files import (
    labels_of,
    phantom,
    write_dicom,
    write_meta,
    write_nifti,
    write_nrrd,
    write_zarr,
)
from tests.fuzz.mutations import damaged, mutated
from tests.fuzz.outcomes import assert_clear

PHANTOM = phantom((7, 6, 5))
NUMBERS = (
    "0",
    "-1",
    "1",
    "3",
    "65535",
    "2147483647",
    "99999999999",
    "1e300",
    "nan",
    "inf",
    "-0.5",
    "",
    "x",
    "é",
)
KINDS = (
    *(
        "a.nii",
        "a.nii.gz",
        "a.hdr",
        "a.mgh",
        "raw.nrrd",
        "gzip.nrrd",
        "bzip2.nrrd",
        "a.seg.nrrd",
        "a.mha",
        "z.mha",
    ),
    *("a.npy", "a.npz", "a.tif", "z.tif", "j.tif", "a.dcm"),
)


@functools.cache
def sound(name: str) -> bytes:
    """The bytes of a file that opens."""
    import nibabel
    import tifffile

    stack = PHANTOM.transpose(2, 1, 0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        if name.endswith((".nii", ".nii.gz")):
            write_nifti(path, PHANTOM)
        elif name == "a.hdr":
            nibabel.save(nibabel.Nifti1Pair(PHANTOM, np.eye(4)), path)
        elif name == "a.mgh":
            nibabel.save(nibabel.MGHImage(PHANTOM, np.eye(4)), path)
        elif name == "a.seg.nrrd":
            fields = {
                "Segment0_Name": "a",
                "Segment0_LabelValue": 1,
                "Segment0_Layer": 0,
                "Segment0_Color": "1 0 0",
            }
            write_nrrd(path, labels_of(PHANTOM), **fields, encoding="gzip")
        elif name.endswith(".nrrd"):
            write_nrrd(path, PHANTOM, encoding=name.split(".")[0])
        elif name.endswith(".mha"):
            write_meta(path, PHANTOM, compress=name[0] == "z")
        elif name == "a.npy":
            np.save(path, PHANTOM)
        elif name == "a.npz":
            np.savez_compressed(path, volume=PHANTOM, spacing=[1.0, 2, 3])
        elif name == "j.tif":
            tifffile.imwrite(
                path, stack, imagej=True, resolution=(2, 2), metadata={"spacing": 3, "unit": "um"}
            )
        elif name.endswith(".tif"):
            tifffile.imwrite(path, stack, compression="zlib" if name[0] == "z" else None)
        else:
            return (write_dicom(Path(folder), PHANTOM) / "slice_003.dcm").read_bytes()
        return path.read_bytes()


@st.composite
def volume_files(draw: st.DrawFn) -> tuple[str, bytes]:
    """Name and content."""
    name = draw(st.sampled_from(KINDS))
    content = sound(name)
    change = draw(st.sampled_from(("bytes", "numbers", "fields")))
    if change == "bytes":
        return name, draw(damaged(content))
    if change == "numbers" and name.endswith((".nrrd", ".mha", ".npy")):
        return name, _other_numbers(draw, content)
    return name, _other_fields(draw, content)


def _other_numbers(draw: st.DrawFn, content: bytes) -> bytes:
    """A number of a text header replaced."""
    end = min(content.find(b"\n\n") % (len(content) + 1), 600)
    places = list(re.finditer(rb"[-\d.]+", content[:end]))
    for match in sorted(
        draw(st.lists(st.sampled_from(places), max_size=3, unique=True)), key=lambda m: -m.start()
    ):
        content = content[: match.start()] + draw(st.sampled_from(NUMBERS)).encode() + content[match.end() :]
    return content


def _other_fields(draw: st.DrawFn, content: bytes) -> bytes:
    """A binary field of the header overwritten, with a value of the kind that does harm."""
    import gzip

    packed = content[:2] == b"\x1f\x8b"
    changed = bytearray(gzip.decompress(content) if packed else content)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, min(len(changed) - 8, 400)))
        kind = draw(st.sampled_from(("<i2", ">i2", "<i4", "<f4", "<u8", "u1")))
        value = draw(st.sampled_from((0, 1, -1, 4, 255, 32767, 2**31 - 1, float("nan"), float("inf"), 1e30)))
        with np.errstate(all="ignore"):
            field = np.array(value).astype(kind).tobytes()
        changed[place : place + len(field)] = field
    return gzip.compress(bytes(changed), mtime=0) if packed else bytes(changed)


def patch(size: int) -> tuple:
    """Place, new bytes and how many old ones they replace."""
    words = st.sampled_from((b"\0\0", b"\xff\xff", b"\x01\x00", b"-1e99", b"", b"9" * 8))
    return st.integers(300, size - 1), words, st.integers(0, 8)


def use(path: Path) -> None:
    """All that is done to a file; what it gives must hold together."""
    header = volume_header(path)
    volume = open_volume(path, limit=4)
    assert np.isfinite(volume.values).all()
    assert np.isfinite(volume.affine).all()
    assert max(volume.shape) <= 4
    assert all(isinstance(note, str) and "\n" not in note for note in volume.notes)
    assert open_volume(path).canonical().full_shape == tuple(volume.full_shape)
    assert sorted(header.shape) == sorted(volume.full_shape)
    target = open_volume(path).canonical()
    try:
        labels = read_segmentation(path, target).labels
    except DataError:
        return  # most volumes are no labels
    assert labels.shape == target.full_shape


def test_files(profile, tmp_path: Path) -> None:
    @profile
    @given(volume_files())
    def ends_clearly(file: tuple[str, bytes]) -> None:
        name, content = file
        (tmp_path / name).write_bytes(content)
        if name == "a.hdr":
            (tmp_path / "a.img").write_bytes(PHANTOM.tobytes("F"))
        assert_clear(use, tmp_path / name, names=name.split(".")[0])
        (tmp_path / name).unlink()

    ends_clearly()


def test_dicom_series(profile, tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    series = write_dicom(tmp_path / "series", PHANTOM)
    files = {file.name: file.read_bytes() for file in series.iterdir()}

    @profile
    @given(
        st.dictionaries(st.sampled_from(sorted(files)), st.none() | st.integers(0, 3), min_size=1), st.data()
    )
    def ends_clearly(changes: dict[str, int | None], data: st.DataObject) -> None:
        folder = tmp_path / "changed"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, content in files.items():
            change = changes.get(name, "none")
            if change == "none":
                (folder / name).write_bytes(content)
            elif change is not None:  # else the file is missing
                (folder / name).write_bytes(data.draw(damaged(content)))
        assert_clear(use, folder, names="changed")

    ends_clearly()


def test_dicom_segmentations(profile, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    volume = open_volume(write_dicom(tmp_path / "series", PHANTOM)).canonical()
    path = tmp_path / "seg.dcm"
    write_segmentation(path, volume.from_source(labels_of(PHANTOM)), volume)
    content = path.read_bytes()

    def read() -> None:
        found = read_segmentation(path, volume)
        assert found.labels.shape == volume.full_shape
        assert set(np.unique(found.labels)) - {0} <= set(found.names)

    @profile
    @given(
        damaged(content) | st.builds(lambda a, b, c: content[:a] + b + content[a + c :], *patch(len(content)))
    )
    def ends_clearly(changed: bytes) -> None:
        path.write_bytes(changed)
        assert_clear(read, names="seg.dcm")

    ends_clearly()


def test_zarr_metadata(profile, tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    versions = (2, 3) if int(zarr.__version__.split(".")[0]) >= 3 else (2,)
    stack = PHANTOM.transpose(2, 1, 0)
    for version in versions:
        write_zarr(tmp_path / f"{version}.zarr", [stack, stack[::2, ::2, ::2]], version)
    documents = {
        path.relative_to(tmp_path): json.loads(path.read_text())
        for path in tmp_path.rglob("*")
        if path.is_file() and (path.name.startswith(".z") or path.name == "zarr.json")
    }

    @profile
    @given(st.sampled_from(sorted(documents)), st.data())
    def ends_clearly(place: Path, data: st.DataObject) -> None:
        changed = data.draw(mutated(documents[place]))
        (tmp_path / place).write_text(json.dumps(changed))
        assert_clear(use, tmp_path / place.parts[0], names=place.parts[0])
        (tmp_path / place).write_text(json.dumps(documents[place]))

    ends_clearly()


def test_raw_layouts(profile, tmp_path: Path) -> None:
    path = tmp_path / "scan.raw"
    path.write_bytes(PHANTOM.tobytes("F"))
    sizes = st.integers(-1, 8) | st.sampled_from((2**31, 2**62, 10**30))
    words = st.sampled_from(
        ("uint8", "int16", "int17", "float32", "", "big", "little", "1x2x3", "0x1x1", "offset=2")
    )

    def open_with(text: str) -> None:
        open_volume(path, raw=RawLayout.parse(text))

    @profile
    @given(st.lists(sizes, min_size=1, max_size=4), st.lists(words, max_size=4))
    def ends_clearly(shape: list[int], options: list[str]) -> None:
        assert_clear(open_with, ":".join(["x".join(map(str, shape)), *options]), names="raw")

    ends_clearly()
