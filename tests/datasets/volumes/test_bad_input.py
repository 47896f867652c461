"""What cannot be opened, or only with a word: one clear sentence that names the file and the remedy."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
import pytest

from dense3d.datasets.volumes import RawLayout, open_volume, read_segmentation, volume_header
from dense3d.errors import ConfigError, DataError, Dense3dError
from tests.datasets.volumes.files import AFFINE, phantom, write_meta, write_nifti, write_nrrd, write_zarr
from tests.fuzz.outcomes import why_unclear

PHANTOM = phantom()


def refusal(path: Path, **options: object) -> str:
    """The sentence with which a file is refused."""
    with pytest.raises(Dense3dError) as caught:
        open_volume(path, **options)
    sentence = str(caught.value)
    assert why_unclear(sentence) is None
    assert path.name in sentence
    return sentence


def test_missing_and_unknown_files(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "none.nii")
    (tmp_path / "scan.nrd").write_bytes(b"something")
    sentence = refusal(tmp_path / "scan.nrd")
    assert "no volume format is known by .nrd; did you mean '.nrrd'" in sentence
    assert "NIfTI, NumPy, MetaImage, NRRD, DICOM, TIFF, OME-Zarr, raw" in sentence


@pytest.mark.parametrize(
    "suffix", [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".npy", ".npz", ".tif", ".dcm"]
)
@pytest.mark.parametrize("content", [b"", b"no such thing\n" * 100], ids=["empty", "text"])
def test_files_of_another_kind(tmp_path: Path, suffix: str, content: bytes) -> None:
    (tmp_path / f"scan{suffix}").write_bytes(content)
    refusal(tmp_path / f"scan{suffix}")


def files_of_every_kind(folder: Path) -> list[Path]:
    tifffile = pytest.importorskip("tifffile")
    np.save(folder / "a.npy", PHANTOM)
    np.savez_compressed(folder / "a.npz", PHANTOM)
    tifffile.imwrite(folder / "a.tif", PHANTOM.transpose(2, 1, 0))
    tifffile.imwrite(folder / "z.tif", PHANTOM.transpose(2, 1, 0), compression="zlib")
    return [
        write_nifti(folder / "a.nii", PHANTOM),
        write_nifti(folder / "a.nii.gz", PHANTOM),
        write_nrrd(folder / "raw.nrrd", PHANTOM, encoding="raw"),
        write_nrrd(folder / "gzip.nrrd", PHANTOM, encoding="gzip"),
        write_nrrd(folder / "bzip2.nrrd", PHANTOM, encoding="bzip2"),
        write_meta(folder / "a.mha", PHANTOM),
        write_meta(folder / "z.mha", PHANTOM, compress=True),
        *(folder / name for name in ("a.npy", "a.npz", "a.tif", "z.tif")),
    ]


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_truncated_files(tmp_path: Path, share: float) -> None:
    for path in files_of_every_kind(tmp_path):
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        if path.name == "a.tif" and share > 0.5:  # its samples come first, and are all there
            np.testing.assert_array_equal(open_volume(path).values, PHANTOM)
            continue
        sentence = refusal(path)
        assert "again" in sentence or "truncated" in sentence, sentence


def test_not_a_number(tmp_path: Path) -> None:
    values = PHANTOM.astype(np.float32)
    values[1, 2, 3], values[4, 5, 6], values[0, 0, 0] = np.nan, np.inf, -np.inf
    expected = np.where(np.isfinite(values), values, np.float32(-893))
    np.save(tmp_path / "a.npy", values)
    for path in (
        write_nifti(tmp_path / "a.nii", values),
        write_nifti(tmp_path / "a.nii.gz", values),
        tmp_path / "a.npy",
    ):
        volume = open_volume(path)
        np.testing.assert_array_equal(volume.values, expected)
        assert "3 voxels are NaN or infinite: they were given the smallest value, -893" in volume.notes
        small = open_volume(path, limit=5)
        np.testing.assert_allclose(small.values, volume.canonical().reduced(5).values, rtol=1e-6)
        assert any("3 voxels are NaN" in note for note in small.notes)
    assert "none of its voxels is a finite number" in refusal(
        write_nifti(tmp_path / "n.nii", values * np.nan)
    )
    assert "none of its voxels" in refusal(write_nifti(tmp_path / "n.nii", values * np.nan), limit=5)


def test_a_mapped_file_with_nan_is_read_and_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dense3d.datasets.volumes.loading.MAP_FROM", 0)
    values = PHANTOM.astype(np.float32)
    mapped = open_volume(write_nifti(tmp_path / "a.nii", values))
    assert isinstance(mapped.values.base, np.memmap) or isinstance(mapped.values, np.memmap)
    np.save(tmp_path / "big.npy", values.astype(">f4"))
    assert open_volume(tmp_path / "big.npy").values.dtype.isnative  # where memory suffices
    monkeypatch.setattr("dense3d.datasets.volumes.loading.budget_bytes", lambda: 0)
    assert not open_volume(tmp_path / "big.npy").values.dtype.isnative
    monkeypatch.undo()
    monkeypatch.setattr("dense3d.datasets.volumes.loading.MAP_FROM", 0)
    values[0, 0, 0] = np.nan
    mended = open_volume(write_nifti(tmp_path / "b.nii", values))
    assert mended.values[0, 0, 0] == -893
    assert not isinstance(mended.values, np.memmap)


def test_constant_volumes_and_pictures(tmp_path: Path) -> None:
    sentence = refusal(write_nifti(tmp_path / "c.nii", np.full((4, 4, 4), 7, np.int16)))
    assert "every voxel has the value 7" in sentence
    refusal(write_nifti(tmp_path / "c.nii.gz", np.full((9, 9, 9), 7, np.int16)), limit=4)
    assert "picture of 12 x 10 x 1 pixels" in refusal(write_nifti(tmp_path / "p.nii", PHANTOM[..., :1]))
    np.save(tmp_path / "p.npy", PHANTOM[..., 0])
    assert "picture of 12 x 10 pixels" in refusal(tmp_path / "p.npy")
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "p.tif", PHANTOM[..., 0])
    assert "it is a picture" in refusal(tmp_path / "p.tif")


def test_a_frame_that_is_not_there(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "t.nii", np.stack([PHANTOM] * 3, -1))
    for frame in (3, -1):
        assert f"no frame {frame}, only 3 of them" in refusal(path, frame=frame)


def test_anisotropic_and_long_volumes(tmp_path: Path) -> None:
    volume = open_volume(write_nifti(tmp_path / "a.nii", PHANTOM, np.diag([0.5, 0.5, 6, 1])))
    assert any("0.5 x 0.5 x 6 mm are far from cubes" in note for note in volume.notes)
    long = np.zeros((4, 4, 2000), np.int16)
    long[:] = np.arange(2000)
    volume = open_volume(write_nifti(tmp_path / "long.nii.gz", long), limit=256)
    assert volume.shape == (4, 4, 250)
    assert volume.factors == (1, 1, 8)
    np.testing.assert_array_equal(volume.values[0, 0], np.rint(np.arange(2000).reshape(250, 8).mean(1)))
    assert (
        "shown at 4 x 4 x 250 voxels, each the mean of 1 x 1 x 8 of the file (4 x 4 x 2000)" in volume.notes
    )


def test_raw_layouts_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(PHANTOM.tobytes("F"))
    assert "does not say its layout" in refusal(path)
    sentence = refusal(path, raw=RawLayout(PHANTOM.shape, "uint8"))
    assert "12 x 10 x 8 voxels of uint8 are 960 bytes, but the file has 1920" in sentence
    assert "its type would be uint16 or int16" in sentence
    assert "correct shape, type or offset" in refusal(path, raw=RawLayout((12, 10, 9), "int16"))
    for text, told in (
        ("12x10x8", "gives no type"),
        ("12x10x8:int17", "did you mean 'int16'"),
        ("12x10:int16", "three positive sizes"),
        ("0x10x8:int16", "three positive sizes"),
        ("axbxc:int16", "is no layout"),
        ("12x10x8:int16:1x1", "three positive lengths"),
        ("12x10x8:int16:middle", "is no layout"),
        ("12x10x8:int16:offset=-1", "cannot be -1"),
    ):
        with pytest.raises(ConfigError, match=told):
            RawLayout.parse(text)


def declare(path: Path, sizes: tuple[int, ...], data: bytes) -> Path:
    """A NIfTI file whose header declares sizes and whose samples are some bytes."""
    import nibabel

    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape(sizes)
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    content = header.binaryblock + b"\0" * 4 + data
    path.write_bytes(gzip.compress(content) if path.name.endswith(".gz") else content)
    return path


def test_sizes_are_judged_before_memory_is_taken(tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    huge = (30000, 30000, 30000)
    assert "declares 49.1 TiB of samples but the file holds 1000 bytes" in refusal(
        declare(tmp_path / "a.nii", huge, b"\0" * 1000)
    )
    assert "49.1 TiB of samples but" in refusal(declare(tmp_path / "a.nii.gz", huge, b"\0" * 1000))
    path = write_nrrd(tmp_path / "a.nrrd", PHANTOM, encoding="gzip")
    path.write_bytes(path.read_bytes().replace(b"sizes: 12 10 8", b"sizes: 90000 90000 90000"))
    assert "cannot hold them" in refusal(path)
    path = write_meta(tmp_path / "z.mha", PHANTOM, compress=True)
    path.write_bytes(path.read_bytes().replace(b"DimSize = 12 10 8", b"DimSize = 9000 9000 9000"))
    assert "cannot hold them" in refusal(path)


def test_a_decompression_bomb_takes_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """128 MiB of zeros in 130 kB, honestly declared, on a machine with little memory."""
    pytest.importorskip("nibabel")
    monkeypatch.setattr("dense3d.datasets.volumes.memory.available_bytes", lambda: 2**20)
    path = declare(tmp_path / "a.nii.gz", (512, 512, 256), b"\0" * 2**27)
    assert "declares 128.0 MiB, more than the 512.0 KiB that may be used here" in refusal(path)
    assert volume_header(path).shape == (512, 512, 256)  # a header may always be looked at


def test_what_does_not_fit_is_opened_smaller_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.tile(PHANTOM, (12, 15, 20))
    path = write_nifti(tmp_path / "a.nii.gz", values)
    monkeypatch.setattr("dense3d.datasets.volumes.loading.SLAB_BYTES", 2**16)
    monkeypatch.setattr(
        "dense3d.datasets.volumes.loading.budget_bytes", lambda: 7 * 2**20 - values.nbytes // 2
    )
    volume = open_volume(path)
    assert volume.factors == (2, 2, 2)
    assert any(
        "does not fit into memory: at most 128 voxels an axis are read" in note for note in volume.notes
    )
    monkeypatch.undo()
    np.testing.assert_array_equal(volume.values, open_volume(path).canonical().reduced(128).values)


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "o.npy", np.array([{"a": 1}], dtype=object))
    assert "could run code" in refusal(tmp_path / "o.npy")
    np.savez(tmp_path / "two.npz", first=PHANTOM, second=PHANTOM)
    assert "It holds first, second; name it 'volume'" in refusal(tmp_path / "two.npz")
    np.save(tmp_path / "c.npy", PHANTOM.astype(complex))
    assert "complex" in refusal(tmp_path / "c.npy")
    np.save(tmp_path / "s.npy", np.full((3, 3, 3), "text"))
    assert "no numbers" in refusal(tmp_path / "s.npy")


@pytest.mark.parametrize("name", ["/etc/passwd", "../secret.raw", "..\\secret.raw"])
def test_data_files_elsewhere_are_not_opened(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    (tmp_path / "secret.raw").write_bytes(PHANTOM.tobytes("F"))
    meta = write_meta(folder / "a.mhd", PHANTOM)
    meta.write_text(meta.read_text().replace("ElementDataFile = a.raw", f"ElementDataFile = {name}"))
    assert "leads out of" in refusal(meta)
    nrrd = write_nrrd(folder / "a.nhdr", PHANTOM, encoding="raw")
    nrrd.write_text(nrrd.read_text().replace("data file: a.raw", f"data file: {name}"))
    assert "leads out of" in refusal(nrrd)
    (folder / "a.raw").unlink()
    assert "not beside it" in refusal(write_meta_header(folder / "b.mhd"))


def write_meta_header(path: Path) -> Path:
    path.write_text("NDims = 3\nDimSize = 2 2 2\nElementType = MET_SHORT\nElementDataFile = a.raw\n")
    return path


def test_unusable_geometry(tmp_path: Path) -> None:
    flat = AFFINE.copy()
    flat[:3, 2] = flat[:3, 1]
    path = write_nrrd(tmp_path / "a.nrrd", PHANTOM, flat)
    assert "two of its axes point in the same direction" in refusal(path)
    flat[:3, 2] = 0
    assert "have a size of 0.7 x 1.1 x 0 mm" in refusal(write_nrrd(tmp_path / "a.nrrd", PHANTOM, flat))
    sheared = open_volume(write_nifti(tmp_path / "a.nii", PHANTOM, AFFINE))
    assert sheared.notes == ()


def test_zarr_groups_that_are_no_images(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    zarr.open_group(str(tmp_path / "g.zarr"), mode="w").attrs["a"] = 1
    assert "no multiscales" in refusal(tmp_path / "g.zarr")
    path = write_zarr(tmp_path / "a.zarr", [PHANTOM.transpose(2, 1, 0)])
    group = zarr.open_group(str(path), mode="a")
    described = group.attrs["multiscales"]
    described[0]["axes"] = described[0]["axes"][1:]
    group.attrs["multiscales"] = described
    refusal(path)


def test_limits_and_segmentations_say_it_as_well(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a.nii", PHANTOM)
    with pytest.raises(ConfigError, match="at least 2 voxels"):
        open_volume(path, limit=1)
    with pytest.raises(DataError, match=r"s.nii.gz: .* is not compressed"):
        (tmp_path / "s.nii.gz").write_bytes(b"0" * 400)
        read_segmentation(tmp_path / "s.nii.gz", open_volume(path))


def test_a_damaged_zlib_stream(tmp_path: Path) -> None:
    path = write_meta(tmp_path / "z.mha", PHANTOM, compress=True)
    content = path.read_bytes()
    head, data = content.split(b"ElementDataFile = LOCAL\n")
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 0xFF
    path.write_bytes(head + b"ElementDataFile = LOCAL\n" + bytes(damaged))
    try:
        zlib.decompress(bytes(damaged))
    except zlib.error:
        refusal(path)
