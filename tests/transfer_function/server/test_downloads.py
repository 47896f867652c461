"""What a page downloads and uploads: bytes, pictures, exports, imports."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile

import numpy as np
import pytest
from transfer_function.cubes import BRIGHT
from transfer_function.server.page import ADDRESS, click, page_of


def test_the_volume_as_bytes(client, workspace):
    answer = client.get("/api/volume")
    values = np.frombuffer(answer.content, "<u2").reshape(12, 16, 20).transpose(2, 1, 0)
    np.testing.assert_allclose(values / 65535 * 300, workspace.volume.values, atol=0.003)
    assert answer.headers["x-shape"] == "20 16 12"


def picture(answer) -> np.ndarray:
    from PIL import Image

    assert answer.status_code == 200 and answer.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB")).astype(int)


def test_a_slice_as_a_picture(client, workspace):
    with page_of(client) as page:
        page.send("class.add", color=[255, 0, 0])
        click(page, 1, BRIGHT)
        click(page, 0, (18, 2, 10))
        page.settle()
    plain = picture(client.get("/api/slice?axis=0&index=14&overlay=0&low=0&high=300"))
    assert plain.shape == (round(12 * 3 / 2), 16, 3)  # square millimetres: rows are 3 mm, columns 2
    assert plain[-1, 0].tolist() == [0, 0, 0] and plain[18 - 1 - round(6.5 * 1.5), 10].tolist() == [255] * 3
    colored = picture(client.get("/api/slice?axis=0&index=14&low=0&high=300&width=160"))
    assert colored.shape == (180, 160, 3)
    red, green = colored[..., 0], colored[..., 1]
    found = red - green > 60
    rows, columns = found.nonzero()
    # The bright cube is 8..13 along y (columns) and 4..9 along z (rows, upwards).
    assert abs(columns.min() - 80) <= 3 and abs(columns.max() - 140) <= 3
    assert abs(rows.min() - 30) <= 4 and abs(rows.max() - 120) <= 4


def test_3d_pictures_and_clicks_into_them(client, workspace):
    with page_of(client) as page:
        page.send("class.add", color=[255, 0, 0])
        click(page, 1, BRIGHT)
        click(page, 0, (18, 2, 10))
        page.settle()
    size = "width=120&height=120&volume=0"
    first = picture(client.get(f"/api/render?{size}"))
    other = picture(client.get(f"/api/render?azimuth=90&elevation=20&zoom=1.5&pan_x=0.1&{size}"))
    assert (first != other).any() and (first[..., 0] - first[..., 1] > 60).sum() > 50
    rows, columns = (first[..., 0] - first[..., 1] > 60).nonzero()
    found = client.get(f"/api/pick?{size}&x={columns.mean()}&y={rows.mean()}").json()
    assert found["class"] == 1 and workspace.volume.values[tuple(found["voxel"])] == 300
    assert client.get(f"/api/pick?{size}&x=1&y=1").json() is None
    half = picture(client.get(f"/api/render?{size}&low=0,0,0&high=1,1,0.5"))
    assert (half[..., 0] - half[..., 1] > 60).sum() < len(rows)


def test_exports_are_downloads(client, workspace, monkeypatch):
    monkeypatch.setattr("dense3d.transfer_function.exporting.PICTURE", 64)
    with page_of(client) as page:
        page.send("class.add", name="bright")
        click(page, 1, BRIGHT)
        page.settle()
    formats = client.get("/api/export/formats").json()
    assert {"nifti", "seg.nrrd", "stl", "session", "slicer"} <= {one["format"] for one in formats}
    for one in formats:
        answer = client.post("/api/export", json={"format": one["format"]})
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-disposition"] == f'attachment; filename="cubes{one["suffix"]}"'
    archive = zipfile.ZipFile(io.BytesIO(client.post("/api/export", json={"format": "stl"}).content))
    assert archive.namelist() == ["001_bright.stl"]
    for body in (
        {"format": "x"},
        {"format": "nifti", "classes": [9]},
        {"format": "nifti", "path": "/x"},
        [],
        "x",
    ):
        assert client.post("/api/export", json=body).status_code == 400


def test_what_was_exported_can_be_imported(client, workspace):
    with page_of(client) as page:
        page.send("class.add", name="bright")
        click(page, 1, BRIGHT)
        click(page, 0, (18, 2, 10))
        page.settle()
        kept = {
            name: client.post("/api/export", json={"format": name}).content
            for name in ("seg.nrrd", "session", "slicer")
        }
        labels = workspace.labels_full()
        page.send("class.remove", **{"class": 1})
        page.send("clear")

        def send(role: str, name: str, content: bytes) -> dict:
            return client.post(f"/api/import?role={role}&name={name}", content=content)

        assert send("segmentation", "s.seg.nrrd", kept["seg.nrrd"]).json()["step"] == "import of s.seg.nrrd"
        np.testing.assert_array_equal(workspace.labels_full() > 0, labels > 0)
        assert send("reference", "s.seg.nrrd", kept["seg.nrrd"]).json()["step"] is None
        page.wait_for(lambda state: state["classes"] and state["classes"][0]["dice"] == 1.0)
        assert send("session", "s.json", kept["session"]).json()["step"] == "import of s.json"
        assert len(workspace.document.marks) == 2 and workspace.document.imported is None
        assert send("transfer_function", "f.vp.json", kept["slicer"]).json()["step"] == "transfer function"
        workspace.undo()
        assert workspace.undo() == "import of s.json" and workspace.document.imported is not None
        for role, name, content in (
            ("segmentation", "s.nii.gz", b"nothing"),
            ("segmentation", "s.seg.nrrd", kept["seg.nrrd"][:-40]),
            ("session", "s.json", b"{}"),
            ("transfer_function", "f.json", b"[]"),
            ("magic", "f.json", b"[]"),
            ("segmentation", "", kept["seg.nrrd"]),
            ("segmentation", "../s.seg.nrrd", kept["seg.nrrd"]),
            ("segmentation", "a/s.seg.nrrd", kept["seg.nrrd"]),
        ):
            answer = send(role, name, content)
            assert answer.status_code == 400 and "tmp" not in answer.json()["message"], answer.text


def test_bombs_are_not_unfolded(client, workspace):
    header, sides = bytearray(352), (400, 400, 250)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *sides, 1, 1, 1, 1)
    struct.pack_into("<hh", header, 70, 2, 8)
    struct.pack_into("<f", header, 108, 352)
    header[344:348] = b"n+1\0"
    bomb = gzip.compress(bytes(header) + bytes(int(np.prod(sides))))
    assert len(bomb) < 10**5
    answer = client.post("/api/import?name=s.nii.gz", content=bomb)
    assert (
        answer.status_code == 400 and "40000000 voxels, far more than the volume" in answer.json()["message"]
    )
    assert workspace.steps == []


@pytest.mark.parametrize(
    "query",
    ["", "axis=3&index=0", "axis=0", "axis=0&index=20", "axis=0&index=-1", "axis=0&index=1&width=99999",
     "axis=0&index=1e3", "axis=0&index=1&low=nan&high=1", "axis=٣&index=1", "axis=0&index=1&overlay=2"],
)  # fmt: skip
def test_slices_that_are_not_there_are_told(client, query):
    answer = client.get(f"/api/slice?{query}")
    assert answer.status_code == 400 and answer.json()["message"]


@pytest.mark.parametrize(
    "query",
    ["zoom=0", "zoom=nan", "width=0", "width=1e9", "quality=best", "azimuth=x", "low=0,0", "high=0,0,2",
     "low=1,1,1&high=0,0,0", "shading=-1", "elevation=inf"],
)  # fmt: skip
def test_pictures_that_are_not_possible_are_told(client, query):
    answer = client.get(f"/api/render?{query}")
    assert answer.status_code == 400 and answer.json()["message"]


def test_the_page_and_its_files(client):
    page = client.get("/")
    assert page.status_code == 200 and "text/html" in page.headers["content-type"]
    script = client.get("/static/main.js")
    assert script.status_code == 200 and script.headers["content-type"].startswith("text/javascript")
    for name in ("none.js", "..%2Fserver%2Fapp.py", "%2e%2e/app.py", ".hidden", "%00", "a%5Cb", "main.js/x"):
        assert client.get(f"/static/{name}").status_code in (400, 404), name


def test_a_state_is_json_that_every_parser_reads(client):
    state = json.loads(client.get("/api/state").text, parse_constant=lambda name: pytest.fail(name))
    volume = state["volume"]
    assert volume["name"] == "cubes.nii.gz" and volume["orientation"] == "RAS" and volume["range"] == [0, 300]
    assert sum(volume["histogram"]["counts"]) == 20 * 16 * 12 and len(volume["presets"]) >= 2
    assert [one["name"] for one in state["methods"]] == ["graph", "graph-quick"]


def test_too_many_pages_are_turned_away(client, monkeypatch):
    from starlette.websockets import WebSocketDisconnect

    monkeypatch.setattr("dense3d.transfer_function.server.app.MOST_TABS", 1)
    with page_of(client) as page:
        with pytest.raises(WebSocketDisconnect), client.websocket_connect(ADDRESS) as second:
            second.receive()
        assert page.send("undo")["type"] == "done"
