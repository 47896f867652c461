"""Gaussians in ply files, in the layout that viewers of splats read.

Raw float32 values, one ``vertex`` each: x y z, nx ny nz (zeros), f_dc_0..2, f_rest_0.. with all
coefficients of red, then of green, then of blue, opacity, scale_0..2, rot_0..3 (w, x, y, z). A comment says
whether they were fitted with the anti-aliasing filter.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from dense3d.errors import DataError
from dense3d.files import atomic_write, is_file
from dense3d.radiance.splats.gaussians import COEFFICIENTS, Gaussians
from dense3d.structures.cloud_files.ply import PlyHeader, read_header

ANTIALIASED = "antialiased"
NEEDED = (
    *("x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2"),
    *("rot_0", "rot_1", "rot_2", "rot_3"),
)


def write_splats(gaussians: Gaussians, path: str | os.PathLike) -> None:
    """Write a ply file, whole or not at all.

    Raises:
        DataError: a parameter is not finite, which viewers would show as holes.
    """
    if not gaussians.are_finite():
        raise DataError(f"{path} is not written: a Gaussian has parameters that are not finite")
    values = {name: value.detach().cpu().numpy() for name, value in gaussians.tensors().items()}
    count, rest = len(gaussians), gaussians.shN.shape[1] * 3
    columns = [
        values["means"],
        np.zeros((count, 3), np.float32),
        values["sh0"].reshape(count, 3),
        values["shN"].transpose(0, 2, 1).reshape(count, rest),
        values["opacity_logits"][:, None],
        values["log_scales"],
        values["quats"],
    ]
    names = [
        *("x", "y", "z", "nx", "ny", "nz"),
        *(f"f_dc_{i}" for i in range(3)),
        *(f"f_rest_{i}" for i in range(rest)),
        "opacity",
        *(f"scale_{i}" for i in range(3)),
        *(f"rot_{i}" for i in range(4)),
    ]
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"comment {ANTIALIASED} {int(gaussians.antialiased)}",
        f"element vertex {count}",
        *(f"property float {name}" for name in names),
        "end_header",
    ]
    with atomic_write(path) as file:
        file.write(("\n".join(header) + "\n").encode())
        file.write(np.concatenate(columns, axis=1).astype("<f4").tobytes())


def read_splats(path: str | os.PathLike) -> Gaussians:
    """Read a ply file of splats; the degree of the colours is told by the number of its ``f_rest`` fields.

    Raises:
        DataError: the file is missing, cut off, of another kind (a mesh, a plain cloud), or not finite.
    """
    path = Path(path)
    if not is_file(path):
        raise DataError(f"{path} does not exist: name a ply file of Gaussian splats")
    header = read_header(path)
    rest = _check_kind(path, header)
    if not header.is_plain or header.order == "":
        kind = "text" if header.order == "" else "something before its vertices"
        raise DataError(f"{path} holds {kind}: splats are a binary ply with numbers alone; export it again")
    table = _table(path, header)
    if not header.vertices:
        raise DataError(f"{path} holds no Gaussian; fit the scene or export it again")

    def columns(*names: str) -> torch.Tensor:
        return torch.from_numpy(np.stack([table[name].astype(np.float32) for name in names], axis=1))

    shN = torch.zeros(len(table), 0, 3)
    if rest:
        channels = columns(*(f"f_rest_{i}" for i in range(rest))).reshape(len(table), 3, rest // 3)
        shN = channels.transpose(1, 2)
    gaussians = Gaussians(
        {
            "means": columns("x", "y", "z"),
            "log_scales": columns("scale_0", "scale_1", "scale_2"),
            "quats": columns("rot_0", "rot_1", "rot_2", "rot_3"),
            "opacity_logits": columns("opacity")[:, 0],
            "sh0": columns("f_dc_0", "f_dc_1", "f_dc_2")[:, None],
            "shN": shN,
        },
        _is_antialiased(path, header),
    )
    if not gaussians.are_finite():
        raise DataError(f"{path}: a Gaussian has values that are not finite; export the file again")
    return gaussians


def _check_kind(path: Path, header: PlyHeader) -> int:
    """Number of ``f_rest`` fields of a file of splats."""
    names = {name for name, _ in header.properties or ()}
    if "packed_position" in names:
        raise DataError(f"{path} holds compressed splats, as of SuperSplat; export it as a ply without that")
    missing = [name for name in NEEDED if name not in names]
    if missing:
        what = "a mesh" if header.elements.get("face") else "a cloud or something else"
        raise DataError(
            f"{path} is {what}, no file of Gaussian splats: its vertices lack {', '.join(missing[:4])}; "
            "start a fit from it with --cloud"
        )
    rest = sum(name.startswith("f_rest_") for name in names)
    if rest % 3 or rest // 3 not in COEFFICIENTS or any(f"f_rest_{i}" not in names for i in range(rest)):
        raise DataError(f"{path} has {rest} fields f_rest_*, not 0, 9, 24 or 45; export it again")
    return rest


def _table(path: Path, header: PlyHeader) -> np.ndarray:
    row = np.dtype([(name, header.order + kind) for name, kind in header.properties])
    missing = header.size + header.vertices * row.itemsize - path.stat().st_size
    if missing > 0:
        raise DataError(
            f"{path} lacks {missing} bytes of its {header.vertices} Gaussians: it was cut off; copy it again"
        )
    return np.fromfile(path, dtype=row, count=header.vertices, offset=header.size)


def _is_antialiased(path: Path, header: PlyHeader) -> bool:
    with path.open("rb") as file:
        lines = file.read(header.size).decode("latin1").splitlines()
    return any(line.split() == ["comment", ANTIALIASED, "1"] for line in lines)
