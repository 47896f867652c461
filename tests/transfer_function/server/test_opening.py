"""Other volumes of the opened folder: listed, opened in place of the present one, refused in a sentence."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
from transfer_function.cubes import BRIGHT, two_cubes
from transfer_function.server.page import ADDRESS, Page, click, page_of

from dense3d.errors import ConfigError
from dense3d.transfer_function.server.desk import Desk
from dense3d.transfer_function.server.folder import folder_format, needs_choice, volumes_in

LAYOUT = "20x16x12:int16:1x2x3"


@pytest.fixture
def folder(tmp_path) -> Path:
    """Volumes, a series, a raw file, what is none, and links."""
    import nibabel

    place, values = tmp_path / "scans", two_cubes().values
    (place / "nested").mkdir(parents=True)
    affine = two_cubes().affine
    nibabel.save(nibabel.Nifti1Image(values, affine), place / "a.nii.gz")
    series = np.stack([values, values[::-1], values // 2], -1)
    nibabel.save(nibabel.Nifti1Image(series, affine), place / "series.nii.gz")
    values.ravel(order="F").astype("<i2").tofile(place / "scan.raw")
    np.save(place / "nan.npy", np.where(np.arange(values.size).reshape(values.shape) == 7, np.nan, values))
    np.save(place / "constant.npy", np.zeros((4, 4, 4)))
    np.save(place / "flat.npy", np.arange(12.0).reshape(3, 4))
    whole = (place / "a.nii.gz").read_bytes()
    (place / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    (place / "notes.txt").write_text("nothing")
    (place / ".hidden.npy").write_bytes((place / "nan.npy").read_bytes())
    np.save(tmp_path / "secret.npy", values)
    (place / "link.npy").symlink_to(tmp_path / "secret.npy")
    (place / "up").symlink_to(tmp_path)
    return place


@pytest.fixture
def desk(folder):
    return Desk(folder=folder, options={"limit": 64, "method": "graph-quick"})


@pytest.fixture
def chooser(desk):
    from starlette.testclient import TestClient

    from dense3d.transfer_function.server.app import make_app

    with TestClient(make_app(desk), base_url="http://127.0.0.1:8765") as client:
        yield client
    desk.close()


def opened(client, name: str, **fields) -> dict:
    answer = client.post("/api/open", content=json.dumps({"name": name, **fields}))
    assert answer.status_code == 200, answer.text
    return client.get("/api/state").json()


def refused(client, name: str, status: int = 400, **fields) -> str:
    answer = client.post("/api/open", content=json.dumps({"name": name, **fields}))
    assert answer.status_code == status, answer.text
    return answer.json()["message"]


def test_the_list_has_what_can_be_opened_and_nothing_from_elsewhere(chooser, folder):
    found = chooser.get("/api/files").json()
    names = [entry["name"] for entry in found["files"]]
    sound = ["a.nii.gz", "constant.npy", "cut.nii.gz", "flat.npy", "nan.npy", "scan.raw", "series.nii.gz"]
    assert names == sound
    raw = found["files"][names.index("scan.raw")]
    assert (raw["raw"], raw["bytes"], raw["format"]) == (True, 20 * 16 * 12 * 2, "raw")
    assert found["folder"] == "scans" and not found["more"]
    header = chooser.get("/api/files", params={"name": "series.nii.gz"}).json()
    assert (header["frames"], header["shape"], header["dtype"]) == (3, [20, 16, 12], "int16")


def test_before_a_volume_is_open_the_rest_says_so(chooser):
    assert chooser.get("/api/state").json()["volume"] is None
    for path in ("/api/volume", "/api/maps", "/api/render", "/api/pick", "/api/histogram"):
        answer = chooser.get(path)
        assert answer.status_code == 409 and "choose" in answer.json()["message"], path
    with chooser.websocket_connect(ADDRESS) as websocket:
        assert websocket.receive()["code"] == 4410


def test_another_volume_takes_the_place_of_the_first_whose_work_is_kept(chooser, folder, desk):
    key = opened(chooser, "a.nii.gz")["volume"]["key"]
    with page_of(chooser) as page:
        page.send("class.add", name="bright")
        click(page, 1, BRIGHT)
        first = desk.hub.workspace
        state = opened(chooser, "series.nii.gz", frame=2)
        assert state["volume"]["name"] == "series.nii.gz" and state["volume"]["range"][1] == 150
        assert state["volume"]["frames"] == 3 and state["file"]["frame"] == 2 and not state["classes"]
        assert any("frame 2" in note for note in state["volume"]["notes"])
        message: dict = {}
        while message.get("type") != "websocket.close":
            message = page.websocket.receive()
        assert message["code"] == 4410
    assert first.session_file is None, "its file is free again"
    assert (folder / "a.nii.gz.session.json").exists()
    with chooser.websocket_connect(f"{ADDRESS}?volume={key}") as websocket:  # a page that missed it
        assert websocket.receive()["code"] == 4410
    state = opened(chooser, "a.nii.gz")
    assert state["volume"]["key"] == key
    assert [one["name"] for one in state["classes"]] == ["bright"] and len(state["prompts"]) == 1
    state = opened(chooser, "a.nii.gz")  # the same again
    assert len(state["prompts"]) == 1 and state["session"]["file"] == "a.nii.gz.session.json"
    with chooser.websocket_connect(f"{ADDRESS}?volume={key}") as websocket:
        page = Page(websocket)
        page.until(lambda found: found["type"] == "state")
        assert page.send("undo")["type"] == "done"
    volume = np.frombuffer(chooser.get("/api/volume").content, "<u2").reshape((20, 16, 12), order="F")
    np.testing.assert_array_equal(volume == 65535, two_cubes().values == 300)


def test_frames_and_layouts_have_sessions_of_their_own(chooser):
    def work(name: str, **fields) -> str:
        opened(chooser, name, **fields)
        with page_of(chooser) as page:
            page.send("class.add")
            page.wait_for(lambda state: state["session"]["saved"])
            return page.state["session"]["file"]

    files = [
        work("series.nii.gz"),
        work("series.nii.gz", frame=1),
        work("scan.raw", raw=LAYOUT),
        work("scan.raw", raw="16x20x12:int16"),
    ]
    assert len(set(files)) == 4 and files[1] == "series.nii.gz.frame1.session.json"
    state = opened(chooser, "scan.raw", raw="16x20x12:int16")
    assert state["session"]["file"] == files[3] and len(state["classes"]) == 1


@pytest.mark.parametrize(
    ("name", "fields", "sentence"),
    [
        ("cut.nii.gz", {}, "cut.nii.gz"),
        ("constant.npy", {}, "every voxel has the value 0"),
        ("flat.npy", {}, "flat.npy"),
        ("series.nii.gz", {"frame": 3}, "no frame 3"),
        ("scan.raw", {}, "does not say its layout"),
        ("scan.raw", {"raw": "20x16x13:int16"}, "bytes, but the file has"),
        ("scan.raw", {"raw": "20x16x12:int61"}, "no type of samples"),
        ("notes.txt", {}, "no volume format"),
        ("none.nii", {}, "no such file"),
        ("../secret.npy", {}, "leads out"),
        ("link.npy", {}, "leads out"),
        ("up/secret.npy", {}, "leads out"),
        ("/etc/passwd", {}, "leads out"),
        ("x" * 900, {}, "no such file"),
        ("", {}, "no request"),
        (7, {}, "no request"),
        ("a.nii.gz", {"frame": -1}, "no request"),
        ("a.nii.gz", {"path": "/"}, "no request"),
    ],
)
def test_what_cannot_be_opened_is_a_sentence_and_the_present_volume_stays(
    name, fields, sentence, chooser, folder
):
    opened(chooser, "a.nii.gz")
    with page_of(chooser) as page:
        message = refused(chooser, name, **fields)
        assert sentence in message and str(folder) not in message and "Traceback" not in message
        assert page.send("class.add")["type"] == "done"
    state = chooser.get("/api/state").json()
    assert state["volume"]["name"] == "a.nii.gz" and len(state["classes"]) == 1
    assert chooser.get("/api/files").json()["opening"] is None


def test_nans_are_told_in_the_notes(chooser):
    assert any(
        "not finite" in note or "NaN" in note for note in opened(chooser, "nan.npy")["volume"]["notes"]
    )


def test_a_session_that_another_process_has_is_told(chooser, folder):
    from filelock import FileLock

    opened(chooser, "a.nii.gz")
    with FileLock(folder / ".nan.npy.session.json.lock"):
        assert "in use" in refused(chooser, "nan.npy")
    assert opened(chooser, "nan.npy")["volume"]["name"] == "nan.npy"


def test_a_pipe_is_not_waited_for(chooser, folder):
    os.mkfifo(folder / "pipe.nii")
    assert "pipe.nii" not in [entry["name"] for entry in chooser.get("/api/files").json()["files"]]
    assert "no such file" in refused(chooser, "pipe.nii")


def test_two_openings_at_once(chooser, desk):
    opened(chooser, "a.nii.gz")
    desk._opening = "series.nii.gz"
    assert "wait for it" in refused(chooser, "nan.npy", 409)


def test_a_workspace_of_a_program_has_no_folder(client):
    assert client.get("/api/state").json()["file"] is None
    assert "no folder" in client.get("/api/files").json()["message"]
    assert "no folder" in refused(client, "a.nii.gz")


def test_other_sites_may_not_open(chooser):
    for header in ({"Origin": "http://evil.com"}, {"Host": "evil.com"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = chooser.post("/api/open", content='{"name": "a.nii.gz"}', headers=header)
        assert answer.status_code in (403, 421), header
    assert chooser.post("/api/open", content=b" " * (1 << 20) + b"{}").status_code == 413
    assert chooser.get("/api/state").json()["volume"] is None


def test_malformed_requests_to_open(chooser, folder):
    opened(chooser, "a.nii.gz")
    dice, whole = random.Random(0), (folder / "a.nii.gz").read_bytes()
    odd = [
        None,
        True,
        -1,
        0,
        2**31,
        2**70,
        0.5,
        "",
        "x",
        "\x00",
        "..",
        ".",
        "a\nb",
        "ü" * 400,
        [],
        {},
        "\u2028",
    ]
    odd += [
        "../scans/a.nii.gz",
        "a.nii.gz/",
        "nested",
        "scan.raw",
        "cut.nii.gz",
        "CON",
        "C:\\x",
        "~",
        "%2e%2e",
    ]
    layouts = [
        "1x1",
        "0x1x1:uint8",
        "9999999x999999x99999:uint8",
        "20x16x12:int16:nanx1x1",
        "::",
        "1e9x1x1:int8",
    ]
    answers = []
    for number in range(120):
        if number % 4 == 0:
            place = dice.randrange(len(whole))
            (folder / "bad.nii.gz").write_bytes(
                whole[:place] + bytes([dice.randrange(256)]) + whole[place + 2 :]
            )
        body = {"name": dice.choice([*odd, "bad.nii.gz", "bad.nii.gz"])}
        if dice.random() < 0.4:
            body[dice.choice(["frame", "raw", "extra"])] = dice.choice([*odd, *layouts])
        text = json.dumps(body) if dice.random() < 0.9 else dice.choice(["[" * 4000, "{", "", '"\\ud800"'])
        answer = chooser.post("/api/open", content=text)
        if answer.status_code != 200:
            assert answer.status_code == 400 and 10 < len(answer.json()["message"]) < 900, (text, answer.text)
        answers.append(answer.status_code)
        query = {key: str(value)[:300] for key, value in body.items()}
        found = chooser.get("/api/files", params=query)
        assert found.status_code in (200, 400) and len(found.content) < 100_000, query
    assert answers.count(400) > 70
    assert opened(chooser, "a.nii.gz")["volume"]["name"] == "a.nii.gz"


def test_folders_are_told_by_a_few_of_their_files(tmp_path, folder):
    for name, content in (("slices/1.tif", b""), ("series/x.dcm", b""), ("pyramid/.zattrs", b"{}")):
        (tmp_path / "study" / name).parent.mkdir(parents=True)
        (tmp_path / "study" / name).write_bytes(content)
    (tmp_path / "study" / "old").mkdir()
    (tmp_path / "study" / "old" / "IM0001").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "study" / "papers").mkdir()
    found = {entry.name: entry.format for entry in volumes_in(tmp_path / "study")[0]}
    assert found == {"slices": "TIFF", "series": "DICOM", "pyramid": "OME-Zarr", "old": "DICOM"}
    assert folder_format(tmp_path / "study" / "papers") is None
    assert needs_choice(tmp_path / "study") and needs_choice(folder)
    assert not needs_choice(tmp_path / "study" / "series") and not needs_choice(folder / "a.nii.gz")
    assert not needs_choice(tmp_path / "study" / "papers"), "the reader says what is wrong with it"


def test_a_folder_has_no_options_of_one_volume(folder):
    import argparse

    from dense3d.cli.transfer_function import add_arguments, choice

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    with pytest.raises(ConfigError, match="--frame is of one volume"):
        choice(parser.parse_args([str(folder), "--frame", "1"]))
    assert not choice(parser.parse_args([str(folder)])).is_open
