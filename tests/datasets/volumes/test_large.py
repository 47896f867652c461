"""1024^3 voxels of 16 bits (2 GiB, as sparse files) at a working resolution, in bounded memory."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest

from dense3d.datasets.volumes import open_volume, volume_header
from tests.fuzz.outcomes import SUCCESS, outcome_of

SIDE = 1024
MARKS = {100: 7, 101: 9, 900: 60000}  # whole slices of one value
MEBIBYTE = 2**20


def header_of(name: str) -> bytes:
    """What such a file begins with."""
    if name.endswith(".nii"):
        import nibabel

        header = nibabel.Nifti1Header()
        header.set_data_dtype("<u2")
        header.set_data_shape((SIDE,) * 3)
        header["vox_offset"], header["magic"] = 352, b"n+1"
        header.set_sform(np.diag([-0.3, -0.3, 0.5, 1]), 1)
        return header.binaryblock + b"\0" * 4
    if name.endswith(".nrrd"):
        fields = "type: uint16\ndimension: 3\nspace: left-posterior-superior\nkinds: domain domain domain\n"
        grid = "space directions: (0.3,0,0) (0,0.3,0) (0,0,0.5)\nspace origin: (0,0,0)\n"
        fields += f"sizes: {SIDE} {SIDE} {SIDE}\n"
        return f"NRRD0004\n{fields}{grid}endian: little\nencoding: raw\n\n".encode()
    if name.endswith(".npy"):
        content = io.BytesIO()
        described = {"descr": "<u2", "fortran_order": True, "shape": (SIDE,) * 3}
        np.lib.format.write_array_header_1_0(content, described)
        return content.getvalue()
    return b""


def sparse(path: Path) -> Path:
    """Zeros but for a few slices; takes little of the disk."""
    start = header_of(path.name)
    with path.open("wb") as file:
        file.write(start)
        file.truncate(len(start) + 2 * SIDE**3)
        for index, value in MARKS.items():
            file.seek(len(start) + 2 * SIDE * SIDE * index)
            file.write(np.full(SIDE * SIDE, value, "<u2").tobytes())
    return path


def peak() -> int:
    """Most memory that this process had, in bytes."""
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text()).group(1))


def opened(path: Path, limit: int | None) -> tuple:
    """The working grid, and how much memory it took to get there."""
    before = peak()
    volume = open_volume(path, limit=limit).canonical().reduced(256)
    middle = volume.values[128, 128]
    return (
        volume.shape,
        volume.factors,
        volume.notes[-1],
        middle[[24, 25, 225, 226]].tolist(),
        peak() - before,
    )


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("a.nii", 256),
        ("a.nii", None),
        *(
            pytest.param(name, limit, marks=pytest.mark.slow)
            for name in ("a_1024x1024x1024_uint16.raw", "a.npy", "a.nrrd")
            for limit in (256, None)
        ),
    ],
)
def test_a_volume_of_two_gibibytes(tmp_path: Path, name: str, limit: int | None) -> None:
    path = sparse(tmp_path / name)
    assert volume_header(path).bytes == 2 * SIDE**3
    # streamed, it does with an address space smaller than the file; mapped, with little of it in memory
    outcome = outcome_of(opened, path, limit, seconds=200, megabytes=700 if limit else 3000)
    path.unlink()
    assert outcome.kind == SUCCESS, outcome.text
    shape, factors, note, middle, memory = outcome.value
    assert (shape, factors) == ((256,) * 3, (4,) * 3)
    assert note.startswith("shown at 256 x 256 x 256 voxels, each the mean of 4 x 4 x 4 of the file (1024 x")
    assert middle == [0, 4, 15000, 0]  # (7 + 9) / 4 and 60000 / 4
    assert memory < 400 * MEBIBYTE
