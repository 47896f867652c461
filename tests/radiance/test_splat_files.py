"""ply files of splats: the layout of viewers, read back by Open3D and by us; other files are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dense3d.errors import DataError
from dense3d.optional import require
from dense3d.radiance.splats import Gaussians, read_splats, write_splats


def random_gaussians(degree: int, count: int = 5, antialiased: bool = False) -> Gaussians:
    random = torch.Generator().manual_seed(degree)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(count, *shape, generator=random)

    shN = draw((degree + 1) ** 2 - 1, 3)
    values = dict(means=draw(3), log_scales=draw(3), quats=draw(4), opacity_logits=draw(), sh0=draw(1, 3))
    return Gaussians({**values, "shN": shN}, antialiased)


@pytest.mark.parametrize("degree", range(4))
@pytest.mark.parametrize("antialiased", [False, True])
def test_what_is_written_is_read(tmp_path: Path, degree: int, antialiased: bool) -> None:
    made = random_gaussians(degree, antialiased=antialiased)
    write_splats(made, tmp_path / "a.ply")
    read = read_splats(tmp_path / "a.ply")
    assert read.sh_degree == degree and read.antialiased is antialiased
    for name, value in made.tensors().items():
        assert torch.equal(value, getattr(read, name)), name


def test_open3d_reads_the_same(tmp_path: Path) -> None:
    open3d = require("open3d")
    made = random_gaussians(3, count=7)
    write_splats(made, tmp_path / "a.ply")
    points = open3d.t.io.read_point_cloud(str(tmp_path / "a.ply")).point
    assert np.array_equal(points.positions.numpy(), made.means.detach().numpy())
    # Open3D knows splats: it gives scales after exp, and coefficients by degree and channel
    read = {name: points[name].numpy() for name in points}
    assert np.array_equal(read["opacity"][:, 0], made.opacity_logits.detach().numpy())
    assert np.array_equal(read["rot"], made.quats.detach().numpy())
    np.testing.assert_allclose(read["scale"], made.scales.detach().numpy(), rtol=1e-6)
    assert np.array_equal(read["f_dc"], made.sh0[:, 0].detach().numpy())
    assert np.array_equal(read["f_rest"], made.shN.detach().numpy())


def test_red_comes_first_in_the_fields_of_higher_degrees(tmp_path: Path) -> None:
    made = random_gaussians(2)
    write_splats(made, tmp_path / "a.ply")
    content = (tmp_path / "a.ply").read_bytes()
    header, _, body = content.partition(b"end_header\n")
    names = [line.split()[-1] for line in header.decode().splitlines() if line.startswith("property")]
    assert names[:9] == ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"]
    assert names[-8:] == ["opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
    table = np.frombuffer(body, "<f4").reshape(5, len(names))
    for channel in range(3):
        for k in range(8):
            column = table[:, names.index(f"f_rest_{8 * channel + k}")]
            assert np.array_equal(column, made.shN[:, k, channel].detach().numpy())


def test_files_that_were_cut_off_or_are_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ply"
    write_splats(random_gaussians(1), path)
    content = path.read_bytes()
    path.write_bytes(content[:-10])
    with pytest.raises(DataError, match=r"a\.ply lacks 10 bytes of its 5 Gaussians: it was cut off"):
        read_splats(path)
    path.write_bytes(content[:60])
    with pytest.raises(DataError, match="no complete PLY header"):
        read_splats(path)
    path.write_bytes(content.replace(b"f_rest_8", b"f_rest_9"))
    with pytest.raises(DataError, match="9 fields f_rest_"):
        read_splats(path)
    open3d = require("open3d")
    cube = open3d.geometry.TriangleMesh.create_box()
    open3d.io.write_triangle_mesh(str(path), cube)
    with pytest.raises(DataError, match=r"a\.ply is a mesh, no file of Gaussian splats.*f_dc_0.*--cloud"):
        read_splats(path)
    open3d.io.write_triangle_mesh(str(path), cube, write_ascii=True)
    with pytest.raises(DataError, match=r"a\.ply is a mesh, no file of Gaussian splats"):
        read_splats(path)
    path.write_bytes(content.replace(b"vertex 5", b"vertex 5000000000000"))
    with pytest.raises(DataError, match="of its 5000000000000 Gaussians: it was cut off"):
        read_splats(path)
    compressed = [
        "element chunk 1",
        "property float min_x",
        "element vertex 1",
        "property uint packed_position",
    ]
    path.write_text("\n".join(["ply", "format binary_little_endian 1.0", *compressed, "end_header", ""]))
    with pytest.raises(DataError, match="holds compressed splats"):
        read_splats(path)
    with pytest.raises(DataError, match="does not exist"):
        read_splats(tmp_path / "no.ply")


def test_values_that_are_not_finite_are_neither_written_nor_read(tmp_path: Path) -> None:
    made = random_gaussians(0)
    write_splats(made, tmp_path / "a.ply")
    content = bytearray((tmp_path / "a.ply").read_bytes())
    content[-4:] = np.float32(np.nan).tobytes()
    (tmp_path / "b.ply").write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"b\.ply: a Gaussian has values that are not finite"):
        read_splats(tmp_path / "b.ply")
    with torch.no_grad():
        made.means[2, 1] = np.nan
    with pytest.raises(DataError, match=r"c\.ply is not written"):
        write_splats(made, tmp_path / "c.ply")
    assert not (tmp_path / "c.ply").exists()
