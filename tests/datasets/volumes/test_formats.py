"""Each format against the library that wrote it: samples, types, spacing and place."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from dense3d.datasets.volumes import RawLayout, open_volume, volume_header
from tests.datasets.volumes.files import (
    AFFINE,
    LPS,
    oblique,
    phantom,
    write_meta,
    write_nifti,
    write_nrrd,
    write_zarr,
)

PHANTOM = phantom()
KINDS = ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8")


def of_kind(kind: str) -> np.ndarray:
    """The phantom in a type, up to its limits."""
    if kind.endswith("1"):
        return (PHANTOM % 120).astype(kind)
    if "f" in kind:
        return PHANTOM.astype(kind) / 3
    return PHANTOM.astype(kind) if "i" in kind else (PHANTOM.astype(int) + 1000).astype(kind)


def check(path: Path, values: np.ndarray, affine: np.ndarray, **options: object) -> None:
    """Opened, it is these values in this place, of their type in the machine's byte order."""
    volume = open_volume(path, **options)
    np.testing.assert_array_equal(volume.values, values)
    assert volume.values.dtype == values.dtype.newbyteorder("=")
    np.testing.assert_allclose(volume.affine, affine, atol=1e-5)
    header = volume_header(path, raw=options.get("raw"))
    assert header.shape == volume.shape
    assert header.bytes == values.nbytes
    assert header.spacing == pytest.approx(volume.spacing, rel=1e-6)
    # the working grid is the same whether samples are streamed or whole
    streamed, whole = open_volume(path, limit=5, **options), volume.canonical().reduced(5)
    np.testing.assert_allclose(streamed.values, whole.values, rtol=1e-6)
    np.testing.assert_allclose(streamed.affine, whole.affine)
    assert (streamed.order, streamed.factors, streamed.full_shape) == (
        whole.order,
        whole.factors,
        whole.full_shape,
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_nifti_types(tmp_path: Path, name: str, kind: str) -> None:
    values = of_kind(kind)
    check(write_nifti(tmp_path / name, values, oblique()), values, oblique())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2"])
def test_nrrd_types(tmp_path: Path, encoding: str, kind: str) -> None:
    values = of_kind(kind)
    check(write_nrrd(tmp_path / "a.nrrd", values, oblique(), encoding=encoding), values, oblique())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "compress"), [("a.mha", False), ("a.mha", True), ("a.mhd", False), ("a.mhd", True)]
)
def test_metaimage_types(tmp_path: Path, name: str, compress: bool, kind: str) -> None:
    values = of_kind(kind)
    check(write_meta(tmp_path / name, values, oblique(), compress), values, oblique())


@pytest.mark.parametrize("kind", KINDS)
def test_numpy_types(tmp_path: Path, kind: str) -> None:
    values = of_kind(kind)
    np.save(tmp_path / "c.npy", np.ascontiguousarray(values))
    np.save(tmp_path / "f.npy", np.asfortranarray(values))
    np.savez_compressed(tmp_path / "a.npz", volume=values, affine=oblique())
    np.savez(tmp_path / "s.npz", values, spacing=[1, 2, 3])
    check(tmp_path / "c.npy", values, np.eye(4))
    check(tmp_path / "f.npy", values, np.eye(4))
    check(tmp_path / "a.npz", values, oblique())
    check(tmp_path / "s.npz", values, np.diag([1.0, 2, 3, 1]))


@pytest.mark.parametrize("byte_order", ["little", "big"])
def test_raw(tmp_path: Path, byte_order: str) -> None:
    sign = "<" if byte_order == "little" else ">"
    samples = PHANTOM.astype(f"{sign}i2").tobytes("F")
    (tmp_path / "a.raw").write_bytes(b"header" + samples)
    (tmp_path / "a.raw.gz").write_bytes(gzip.compress(b"header" + samples))
    layout = RawLayout(PHANTOM.shape, "int16", (0.5, 1, 2), byte_order, offset=6)
    assert RawLayout.parse(f"12x10x8:int16:0.5x1x2:{byte_order}:offset=6") == layout
    for name in ("a.raw", "a.raw.gz"):
        check(tmp_path / name, PHANTOM, np.diag([0.5, 1, 2, 1]), raw=layout)


def test_a_raw_file_whose_name_tells_its_layout(tmp_path: Path) -> None:
    (tmp_path / "skull_12x10x8_uint16.raw").write_bytes(of_kind("u2").tobytes("F"))
    volume = open_volume(tmp_path / "skull_12x10x8_uint16.raw")
    np.testing.assert_array_equal(volume.values, of_kind("u2"))
    assert "taken from the file's name" in volume.notes[0]


def test_big_endian_nifti_and_nrrd(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(PHANTOM, AFFINE, nibabel.Nifti1Header(endianness=">"))
    image.set_data_dtype(np.int16)
    nibabel.save(image, tmp_path / "a.nii")
    assert (tmp_path / "a.nii").read_bytes()[:4] == b"\0\0\x01\x5c"
    check(tmp_path / "a.nii", PHANTOM, AFFINE)
    check(write_nrrd(tmp_path / "a.nrrd", PHANTOM.astype(">i2"), encoding="raw"), PHANTOM, AFFINE)


def test_nifti_scaling(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(PHANTOM, AFFINE)
    image.header.set_slope_inter(0.25, -7)
    nibabel.save(image, tmp_path / "a.nii")  # nibabel stores the inverse of the scaling
    raw = (tmp_path / "a.nii").read_bytes()
    slope, intercept = np.frombuffer(raw[112:120], "<f4")
    assert (slope, intercept) == (0.25, -7)
    expected = nibabel.load(tmp_path / "a.nii").get_fdata()
    volume = open_volume(tmp_path / "a.nii")
    assert volume.values.dtype == np.float32
    np.testing.assert_allclose(volume.values, expected, atol=1e-3)


def test_odd_types(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    colours = np.zeros(PHANTOM.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    for channel in "RGB":
        colours[channel] = of_kind("u1")
    nibabel.save(nibabel.Nifti1Image(colours, AFFINE), tmp_path / "rgb.nii")
    grey = open_volume(tmp_path / "rgb.nii")
    np.testing.assert_array_equal(grey.values, of_kind("u1"))
    assert any("luminance" in note for note in grey.notes)
    for stored, opened in (("?", "u1"), ("f2", "f4"), ("i8", "i4"), ("u8", "i4")):
        values = (PHANTOM > 0) if stored == "?" else np.abs(of_kind("i2")).astype(stored)
        np.save(tmp_path / "a.npy", values)
        volume = open_volume(tmp_path / "a.npy")
        np.testing.assert_array_equal(volume.values, values)
        assert volume.values.dtype == np.dtype(opened)
        assert open_volume(tmp_path / "a.npy", limit=5).values.dtype == np.dtype(opened)
    np.save(tmp_path / "a.npy", PHANTOM.astype(np.int64) * 2**40)
    assert open_volume(tmp_path / "a.npy").values.dtype == np.float64


def test_whole_scalings_keep_integers(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a.nii", of_kind("u1"))
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([2, -1024], "<f4").tobytes()
    path.write_bytes(content)
    volume = open_volume(path)
    assert volume.values.dtype == np.int16
    np.testing.assert_array_equal(volume.values, of_kind("u1").astype(int) * 2 - 1024)


def test_analyze_and_mgh(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    nibabel.save(nibabel.AnalyzeImage(PHANTOM, AFFINE), tmp_path / "a.hdr")
    analyze = open_volume(tmp_path / "a.hdr")
    np.testing.assert_array_equal(analyze.values, PHANTOM)
    assert analyze.spacing == pytest.approx((0.7, 1.1, 2.5))
    assert any("left and right may be swapped" in note for note in analyze.notes)
    for name in ("a.mgh", "a.mgz"):
        nibabel.save(nibabel.MGHImage(PHANTOM, AFFINE), tmp_path / name)
        np.testing.assert_array_equal(open_volume(tmp_path / name).values, PHANTOM)
        np.testing.assert_allclose(open_volume(tmp_path / name).affine, AFFINE, atol=1e-4)


def test_nifti_takes_sform_then_qform_and_units(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(PHANTOM, AFFINE)
    image.set_qform(oblique(), 1)
    image.set_sform(AFFINE, 2)
    nibabel.save(image, tmp_path / "both.nii")
    np.testing.assert_allclose(open_volume(tmp_path / "both.nii").affine, AFFINE, atol=1e-5)
    image.set_sform(None, 0)
    nibabel.save(image, tmp_path / "qform.nii")
    np.testing.assert_allclose(open_volume(tmp_path / "qform.nii").affine, oblique(), atol=1e-5)
    image.set_qform(None, 0)
    nibabel.save(image, tmp_path / "none.nii")
    unplaced = open_volume(tmp_path / "none.nii")
    assert any("states no orientation" in note for note in unplaced.notes)
    np.testing.assert_allclose(unplaced.affine, nibabel.load(tmp_path / "none.nii").affine, atol=1e-5)
    image.set_sform(AFFINE, 1)
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "micron.nii")
    assert open_volume(tmp_path / "micron.nii").spacing == pytest.approx((0.0007, 0.0011, 0.0025))


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("right-anterior-superior", (1, 1, 1)),
        ("LAS", (-1, 1, 1)),
        ("LPS", (-1, -1, 1)),
        (None, (-1, -1, 1)),
        ("3D-left-handed", (-1, 1, 1)),
    ],
)
def test_nrrd_spaces(tmp_path: Path, space: str | None, signs: tuple[int, ...]) -> None:
    fields = {"space dimension": 3} if space is None else {}
    path = write_nrrd(tmp_path / "a.nrrd", PHANTOM, AFFINE, space=space, **fields)
    volume = open_volume(path)
    np.testing.assert_allclose(volume.affine, np.diag([*signs, 1]) @ LPS @ AFFINE, atol=1e-6)
    assert any("not stated" in note for note in volume.notes) == (space is None)
    assert any("check left and right" in note for note in volume.notes) == (space in (None, "3D-left-handed"))


def test_nrrd_without_directions_is_placed_as_simpleitk_places_it(tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK")
    nothing = {"space": None, "space directions": None, "space origin": None, "kinds": None}
    path = write_nrrd(tmp_path / "a.nrrd", PHANTOM, spacings=[1, 2, 3], **nothing)
    image = sitk.ReadImage(str(path))
    assert (image.GetSpacing(), image.GetDirection()) == ((1, 2, 3), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    np.testing.assert_allclose(open_volume(path).affine, np.diag([-1.0, -2, 3, 1]))


def test_nrrd_with_a_data_file_and_frames(tmp_path: Path) -> None:
    nrrd = pytest.importorskip("nrrd")
    nrrd.write(str(tmp_path / "a.nhdr"), PHANTOM, {"encoding": "raw", "spacings": [1, 1, 1]})
    np.testing.assert_array_equal(open_volume(tmp_path / "a.nhdr").values, PHANTOM)
    frames = np.stack([PHANTOM, PHANTOM[::-1] + 1])
    for axis in (0, 3):
        directions = np.full((4, 3), np.nan)
        directions[[i for i in range(4) if i != axis]] = np.diag([1.0, 2, 3])
        stored = np.moveaxis(frames, 0, axis)
        for encoding in ("raw", "gzip"):
            path = tmp_path / f"{axis}{encoding}.nrrd"
            nrrd.write(
                str(path), stored, {"space": "RAS", "space directions": directions, "encoding": encoding}
            )
            assert volume_header(path).frames == 2
            np.testing.assert_array_equal(open_volume(path, frame=1).values, frames[1])
            assert open_volume(path).spacing == (1, 2, 3)


def test_nifti_frames(tmp_path: Path) -> None:
    frames = np.stack([PHANTOM, PHANTOM[::-1] + 1], -1)
    for name in ("a.nii", "a.nii.gz"):
        path = write_nifti(tmp_path / name, frames)
        first, second = open_volume(path), open_volume(path, frame=1)
        np.testing.assert_array_equal(first.values, frames[..., 0])
        np.testing.assert_array_equal(second.values, frames[..., 1])
        assert "2 frames: frame 0 is open (the default; frame= or --frame chooses another)" in first.notes[0]
        assert "frame 1 is open" in second.notes[0]


@pytest.mark.parametrize("kind", ["u1", "u2", "i2", "f4"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiff_stack(tmp_path: Path, kind: str, compression: str | None) -> None:
    tifffile = pytest.importorskip("tifffile")
    values = of_kind(kind)
    stack = np.ascontiguousarray(values.transpose(2, 1, 0))
    tifffile.imwrite(tmp_path / "a.tif", stack, compression=compression, photometric="minisblack")
    check(tmp_path / "a.tif", values, np.eye(4))
    for index, plane in enumerate(stack, 1):
        (tmp_path / "folder").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / "folder" / f"slice{index}.tif", plane, compression=compression)
    check(tmp_path / "folder", values, np.eye(4))


def test_tiff_of_imagej_and_ome_has_spacing(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    stack = of_kind("u2").transpose(2, 1, 0)
    metadata = {"spacing": 3.5, "unit": "um", "axes": "ZYX"}
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, resolution=(2, 4), metadata=metadata)
    assert open_volume(tmp_path / "a.tif").spacing == pytest.approx((0.0005, 0.00025, 0.0035))
    sizes = {"PhysicalSizeX": 1.5, "PhysicalSizeXUnit": "mm", "PhysicalSizeY": 2, "PhysicalSizeZ": 3}
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, metadata={"axes": "ZYX", **sizes})
    assert open_volume(tmp_path / "a.ome.tif").spacing == pytest.approx((1.5, 0.002, 0.003))


def test_tiff_hyperstack_and_colours(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    stack = of_kind("u2").transpose(2, 1, 0)
    hyper = np.stack([stack, stack + 1])[:, :, None]  # times, z, channel
    tifffile.imwrite(tmp_path / "a.tif", hyper, imagej=True, metadata={"axes": "TZCYX"})
    assert volume_header(tmp_path / "a.tif").frames == 2
    np.testing.assert_array_equal(open_volume(tmp_path / "a.tif", frame=1).values, of_kind("u2") + 1)
    colours = np.stack([of_kind("u1")] * 3, -1).transpose(2, 1, 0, 3)
    tifffile.imwrite(tmp_path / "rgb.tif", colours, photometric="rgb")
    volume = open_volume(tmp_path / "rgb.tif")
    np.testing.assert_array_equal(volume.values, of_kind("u1"))  # of grey the luminance is itself
    assert any("luminance" in note for note in volume.notes)


@pytest.mark.parametrize("version", [2, 3])
def test_ome_zarr(tmp_path: Path, version: int) -> None:
    zarr = pytest.importorskip("zarr")
    if version == 3 and int(zarr.__version__.split(".")[0]) < 3:
        pytest.skip("this zarr reads version 2 only")
    stack = PHANTOM.transpose(2, 1, 0)
    path = write_zarr(tmp_path / "a.zarr", [stack, stack[::2, ::2, ::2]], version)
    volume = open_volume(path)
    np.testing.assert_array_equal(volume.values, PHANTOM)
    assert volume.spacing == pytest.approx((0.7, 1.1, 2.5))
    small = open_volume(path, limit=4)  # level 1 has 6 x 5 x 4 voxels
    assert small.source.shape == (6, 5, 4)
    assert small.factors == (2, 2, 1)
    assert any("level 1 of 2 resolutions is open" in note for note in small.notes)
    assert open_volume(path, limit=7).source.shape == PHANTOM.shape  # level 1 is below this limit


def test_ome_zarr_frames_and_units(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    stack = PHANTOM.transpose(2, 1, 0)
    hyper = np.stack([stack, stack + 1])[:, None]
    path = write_zarr(tmp_path / "a.zarr", [hyper], unit="micrometer", axes="tczyx")
    assert volume_header(path).frames == 2
    np.testing.assert_array_equal(open_volume(path, frame=1).values, PHANTOM + 1)
    assert open_volume(path).spacing == pytest.approx((0.0007, 0.0011, 0.0025))


def test_content_is_known_without_a_name(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii", PHANTOM).rename(tmp_path / "scan")
    np.testing.assert_array_equal(open_volume(tmp_path / "scan").values, PHANTOM)
