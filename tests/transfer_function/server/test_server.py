"""A page and its server: what a click leads to, what a second page sees, what stays when a page goes."""

from __future__ import annotations

import io
import json
import re
import threading
import time
import zipfile

import numpy as np
import pytest
from transfer_function.cubes import BRIGHT, DARK
from transfer_function.server.page import ADDRESS, Page, page_of


def click(page: Page, class_id: int, voxel, positive: bool = True, **fields) -> dict:
    return page.send(
        "prompt",
        **{"class": class_id},
        kind="point",
        voxels=[voxel],
        positive=positive,
        planes=voxel,
        **fields,
    )


def test_a_click_shows_in_slices_first_then_everywhere(client, workspace):
    with page_of(client) as page:
        added = page.send("class.add", name="bright")
        page.settle()
        page.order.clear()
        assert click(page, added["class"], BRIGHT)["step"] == "click on bright"
        page.settle()
        assert page.order.index("planes") < page.order.index("maps")
        assert [(one["axis"], one["index"]) for one in page.planes] == list(enumerate(BRIGHT))
        expected = workspace.scores()[0]
        assert expected.max() > 200
        np.testing.assert_array_equal(page.scores(added["class"]), expected)
        assert page.state["classes"][0]["ml"] > 0 and page.state["undo"] == "click on bright"
        assert page.state["prompts"][0]["voxels"] == [list(BRIGHT)]


def test_slices_alone_show_a_click(client, workspace, monkeypatch):
    """Before the maps come, the three slices of the textures are those of the volume."""
    with page_of(client) as page:
        page.send("class.add")
        page.settle()
        click(page, 1, BRIGHT)
        page.until(lambda found: found.get("axis") == 2)
        scores = workspace.scores()[0]
        for axis, index in enumerate(BRIGHT):
            np.testing.assert_array_equal(
                np.take(page.textures[0][..., 0], index, axis), np.take(scores, index, axis)
            )


def test_two_pages_see_the_same_and_lose_nothing(client, workspace):
    with page_of(client) as first, page_of(client) as second:
        first.send("class.add", name="dark")
        second.send("class.add", name="bright")
        for number in range(6):
            click(first, 1, (2 + number, 4, 4))
            click(second, 2, (11 + number, 10, 6))
        first.send("undo")
        assert len(workspace.document.marks) == 11
        for page in (first, second):
            page.answered = workspace.revision
            page.settle()
        assert (
            first.state["prompts"] == second.state["prompts"]
            and first.state["steps"] == second.state["steps"]
        )
        for class_id, scores in zip((1, 2), workspace.scores()):
            np.testing.assert_array_equal(first.scores(class_id), scores)
            np.testing.assert_array_equal(second.scores(class_id), scores)


def test_a_page_that_comes_back_has_everything(client, workspace):
    with page_of(client) as page:
        page.send("class.add", name="dark")
        click(page, 1, DARK)
        page.send("view", view={"crosshair": [1, 2, 3]})
        page.settle()
    with page_of(client) as page:
        page.answered = workspace.revision
        page.settle()
        assert page.state["view"] == {"crosshair": [1, 2, 3]} and page.state["steps"][-1] == "click on dark"
        np.testing.assert_array_equal(page.scores(1), workspace.scores()[0])


def test_every_page_learns_when_the_work_is_saved(client, workspace):
    with page_of(client) as page, page_of(client) as other:
        page.send("class.add", name="a")
        other.wait_for(lambda state: state["classes"])
        other.wait_for(
            lambda state: state["session"] == {"file": "work.json", "saved": True, "problem": None}
        )
    assert '"a"' in workspace.session_file.path.read_text()


def test_every_message_does_what_it_says(client, workspace):
    with page_of(client) as page:
        assert page.send("class.add", name="a", color=[1, 2, 3], opacity=0.5, threshold=0.25)["class"] == 1
        page.send("class.update", **{"class": 1}, visible=False, name="b")
        one = workspace.classes[0]
        assert (one.name, one.color, one.opacity, one.threshold) == ("b", (1, 2, 3), 0.5, 0.25)
        assert workspace.hidden == {1}
        for fields in (
            dict(kind="point", voxels=[[1, 1, 1], [2, 2, 2]]),
            dict(kind="stroke", voxels=[[3, 3, 3], [5, 3, 3]], radius=2.5),
            dict(kind="lasso", axis=2, index=4, polygon=[[1.5, 1], [6, 1], [6, 6.25]], positive=False),
            dict(kind="box", low=[9, 9, 9], high=[8, 10, 9]),
        ):
            assert page.send("prompt", **{"class": 1}, **fields)["step"].startswith(
                fields["kind"].replace("point", "click")
            )
        assert len(workspace.document.marks) == 5
        assert page.send("erase", voxel=[2, 2, 2], radius=0.5)["step"] == "erasing of marks"
        assert (
            page.send("undo")["step"] == "erasing of marks"
            and page.send("redo")["step"] == "erasing of marks"
        )
        assert page.send("clear", **{"class": 1})["step"] == "clearing of b" and not workspace.document.marks
        function = {"name": "x", "points": [{"value": 0, "color": [0, 0, 0], "opacity": 0}]}
        assert page.send("transfer_function", transfer_function=function)["step"] == "transfer function"
        assert page.send("class.remove", **{"class": 1})["step"] == "removal of b"
        assert page.send("method", method="graph")["type"] == "done"
        page.settle()
        assert page.state["transfer_function"] == function and page.state["classes"] == []
        assert page.send("undo")["step"] == "removal of b"


def test_removed_classes_leave_no_scores_behind(client, workspace):
    with page_of(client) as page:
        for name, voxel in (("dark", DARK), ("bright", BRIGHT)):
            click(page, page.send("class.add", name=name)["class"], voxel)
        page.settle()
        page.send("class.remove", **{"class": 1})
        page.settle()
        slots = {one["id"]: one["slot"] for one in page.state["classes"]}
        assert slots == {2: 1} and not page.textures[0][..., 0].any()
        third = page.send("class.add", name="third")["class"]
        click(page, third, DARK)
        page.settle()
        assert {one["id"]: one["slot"] for one in page.state["classes"]} == {2: 1, third: 0}
        np.testing.assert_array_equal(page.scores(third), workspace.scores()[1])


def test_more_than_four_classes(client, workspace):
    with page_of(client) as page:
        for number in range(6):
            click(page, page.send("class.add")["class"], (2 + 3 * number, 8, 6))
        page.settle()
        assert sorted(page.textures) == [0, 1]
        for class_id, scores in zip(range(1, 7), workspace.scores()):
            np.testing.assert_array_equal(page.scores(class_id), scores)
        answer = client.get("/api/maps")
        assert answer.headers["x-class-ids"] == "1 2 3 4 5 6 0 0" and answer.headers["x-shape"] == "20 16 12"
        maps = np.frombuffer(answer.content, np.uint8).reshape(2, 12, 16, 20, 4)
        for group in (0, 1):
            np.testing.assert_array_equal(maps[group].transpose(2, 1, 0, 3), page.textures[group])


def test_a_message_that_is_wrong_is_told_and_changes_nothing(client, workspace):
    with page_of(client) as page:
        page.send("class.add", name="a")
        page.settle()
        steps = workspace.steps
        for message, sentence in (
            ({"type": "prompt", "class": 1, "kind": "point", "voxels": [[20, 0, 0]]}, "outside the volume"),
            ({"type": "prompt", "class": 1, "kind": "point", "voxels": [[0, 0, 2**40]]}, r"\$.voxels"),
            ({"type": "prompt", "class": 1, "kind": "point", "voxels": [[0.5, 0, 0]]}, "int"),
            ({"type": "prompt", "class": 1, "kind": "box", "low": [0, 0, 0]}, "two corners"),
            ({"type": "prompt", "class": 5, "kind": "point", "voxels": [[0, 0, 0]]}, "no class 5"),
            ({"type": "prompt", "class": 1, "kind": "sphere"}, "sphere"),
            ({"type": "prompt", "class": True, "kind": "point", "voxels": [[0, 0, 0]]}, "class"),
            ({"type": "planes", "planes": [0, 0, 99]}, "outside"),
            ({"type": "class.add", "name": "a"}, "already"),
            ({"type": "class.update", "class": 1, "threshold": 2}, "threshold"),
            ({"type": "class.update", "class": 1, "size": 2}, "size"),
            ({"type": "method", "method": "magic"}, "no method"),
            ({"type": "view", "view": {"a": "x" * 20_000}}, "bytes"),
            ({"type": "view", "view": {"a": [[[[[[[[[1]]]]]]]]]}}, "deep"),
            ({"type": "transfer_function", "transfer_function": {"points": []}}, "points"),
            ({"type": "fly"}, "fly"),
        ):
            answer = page.send(**message)
            assert answer["type"] == "error", message
            assert re.search(sentence, answer["message"]), (message, answer)
        assert workspace.steps == steps


def test_text_that_is_no_message_is_told_without_a_number(client):
    with page_of(client) as page:
        for text in (
            "",
            "nonsense",
            "[]",
            "null",
            '{"type": "undo"}',
            '{"type":"undo","request":-1}',
            "[" * 9000,
        ):
            page.websocket.send_text(text)
            assert page.until(lambda found: found["type"] == "error")["request"] is None
        page.websocket.send_bytes(b"\xff\x00")
        assert page.until(lambda found: found["type"] == "error")["request"] is None
        assert page.send("undo")["step"] is None


class Slow:
    """A method that is prepared until it is told to stop."""

    name, ready = "slow", False

    def __init__(self) -> None:
        self.started, self.ended = threading.Event(), None

    def prepare(self, progress) -> None:
        self.started.set()
        for number in range(10**6):
            try:
                progress(number / 10**6, "slices", 5.0)
            except BaseException as error:
                self.ended = type(error).__name__
                raise
            time.sleep(0.005)


def test_preparation_tells_its_progress_and_can_be_cancelled(client, workspace):
    slow = Slow()
    workspace._classifiers["slow"] = slow
    with page_of(client) as page:
        page.wait_for(lambda state: state["ready"])
        page.send("class.add", name="a")
        page.send("method", method="slow")
        told = page.until(lambda found: found["type"] == "progress" and found["task"] == "slices")
        assert 0 <= told["done"] < 1 and told["left_s"] == 5.0 and told["ready"] is False
        assert click(page, 1, DARK)["step"] == "click on a"  # the page works meanwhile
        assert client.get("/api/slice?axis=0&index=3").status_code == 200
        page.send("cancel")
        assert (
            page.until(lambda found: found["type"] == "progress" and "cancelled" in found)["ready"] is False
        )
        assert slow.ended == "Cancelled"
        page.send("method", method="graph")
        page.settle()
        assert page.scores(1).max() > 0


def test_a_method_that_fails_is_told_and_the_server_lives(client, workspace):
    class Broken:
        name, ready = "broken", False

        def prepare(self, progress) -> None:
            raise ZeroDivisionError("a bug")

    workspace._classifiers["broken"] = Broken()
    with page_of(client) as page:
        page.wait_for(lambda state: state["ready"])
        page.send("method", method="broken")
        failed = page.until(lambda found: found["type"] == "progress" and "failed" in found)["failed"]
        assert "broken failed: ZeroDivisionError: a bug" in failed
        assert page.send("class.add")["type"] == "done"


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
    import gzip
    import struct

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


class Growing:
    """A method that is ready at once and gives other scores when its preparation ends."""

    name, ready = "growing", True

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape, self.value, self.go_on = shape, 100, threading.Event()

    def prepare(self, progress) -> None:
        progress(0.5, "learning", 1.0)
        assert self.go_on.wait(20)
        self.value = 200

    def classify(self, prompts, class_ids):
        import types

        scores = np.full((len(class_ids), *self.shape), self.value, np.uint8)
        return types.SimpleNamespace(
            class_ids=tuple(class_ids),
            volume=lambda: scores,
            plane=lambda axis, index: np.take(scores, index, axis + 1),
        )


def test_scores_get_better_when_the_preparation_ends(client, workspace):
    growing = Growing(workspace.working.shape)
    workspace._classifiers["growing"] = growing
    with page_of(client) as page:
        page.send("class.add")
        click(page, 1, DARK)
        page.send("method", method="growing")
        page.settle()
        assert page.scores(1).max() == 100
        growing.go_on.set()
        page.until(lambda found: found["type"] == "progress" and found["done"] == 1)
        while page.scores(1).min() < 200:
            page.read()
