"""A thousand malformed requests, messages and files: each is answered, and the server goes on as before."""

from __future__ import annotations

import gzip
import json
import random

import numpy as np
import pytest
from transfer_function.cubes import BRIGHT, two_cubes
from transfer_function.server.page import Page, page_of

from dense3d.datasets.volumes import write_segmentation
from dense3d.transfer_function import Workspace

ODD = [
    *(None, True, False, 0, -1, 1, 7, 255, 2**31, 2**63, -(2**64), 10**400, 0.5, 1e308, -0.0),
    *(
        "",
        "x",
        "\x00",
        "ü" * 300,
        "../../etc/passwd",
        "1",
        [],
        [[]],
        {},
        {"a": {}},
        [None],
        [1, 2],
        [0, 0, 0],
    ),
    *([[0, 0, 0]], [[0, 0, 0]] * 2000, [[-1, 5, 5]], [[1e9, 0, 0]], [["a", 0, 0]], [[0, 0]], "A" * 100_000),
]
RAW = [
    "NaN",
    "Infinity",
    "1e999",
    "-1e999",
    "1" * 5000,
    "[" * 3000,
    '"\\ud800"',
    "{,}",
    "tru",
    "'",
    "\x7f",
    "0x1",
]
VALID = [
    {"type": "prompt", "class": 1, "kind": "point", "voxels": [[4, 4, 4]], "planes": [4, 4, 4]},
    {"type": "prompt", "class": 1, "kind": "stroke", "voxels": [[4, 4, 4], [6, 4, 4]], "radius": 2},
    {
        "type": "prompt",
        "class": 1,
        "kind": "lasso",
        "axis": 2,
        "index": 4,
        "polygon": [[1, 1], [6, 1], [6, 6]],
    },
    {"type": "prompt", "class": 1, "kind": "box", "low": [1, 1, 1], "high": [3, 3, 3]},
    {"type": "erase", "voxel": [4, 4, 4], "radius": 3},
    {"type": "class.add", "name": "a", "color": [1, 2, 3], "opacity": 1, "threshold": 0.5},
    {"type": "class.update", "class": 1, "threshold": 0.4, "visible": True},
    {"type": "class.remove", "class": 9},
    {"type": "clear", "class": 1},
    {"type": "view", "view": {"crosshair": [1, 2, 3]}},
    {"type": "method", "method": "graph-quick"},
    {"type": "planes", "planes": [1, 2, 3]},
    {
        "type": "transfer_function",
        "transfer_function": {"points": [{"value": 0, "color": [0, 0, 0], "opacity": 0}]},
    },
    {
        "type": "transfer_function",
        "transfer_function": {
            "points": [{"value": 0, "color": [0, 0, 0], "opacity": 0}],
            "regions": [{"values": [0, 9], "slopes": [1, 1e9], "color": [9, 9, 9], "opacity": 0.5}],
        },
    },
]


def spoiled(message: dict, dice: random.Random) -> str:
    """A message with a field too many, too few or wrong, or broken as text."""
    message = {**message, "request": 1}
    name = dice.choice(list(message))
    what = dice.randrange(6)
    if what == 0:
        del message[name]
    elif what == 1:
        message[dice.choice(["extra", "__class__", "", "path"])] = dice.choice(ODD)
    elif what <= 3:
        message[name] = dice.choice(ODD)
    text = json.dumps(message)
    if what == 4:
        place = dice.randrange(len(text))
        text = text[:place] + dice.choice([*RAW, "", "{", '"', ","]) + text[place + dice.randrange(4) :]
    if what == 5:
        text = text.replace(json.dumps(message[name]), dice.choice(RAW), 1)
    return text


def still_works(page: Page, workspace: Workspace) -> None:
    """What a person does next leads to the right scores."""
    page.send("clear")
    added = page.send("class.add")["class"]
    answer = page.send("prompt", **{"class": added}, kind="point", voxels=[list(BRIGHT)], planes=list(BRIGHT))
    assert answer["type"] == "done"
    page.settle()
    scores = workspace.scores()[[one.id for one in workspace.classes].index(added)]
    np.testing.assert_array_equal(page.scores(added), scores)
    assert scores[BRIGHT] == 255
    page.send("class.remove", **{"class": added})


@pytest.mark.parametrize("seed", range(2))
def test_malformed_messages(seed, client, workspace):
    dice = random.Random(seed)
    with page_of(client) as page:
        page.send("class.add")
        answers = []
        for number in range(300):
            text = spoiled(dice.choice(VALID), dice)
            page.websocket.send_text(text)
            answer = page.until(lambda found: found["type"] in ("done", "error"))
            answers.append(answer["type"])
            if answer["type"] == "error":
                assert 10 < len(answer["message"]) < 600 and "Traceback" not in answer["message"], (
                    number,
                    text[:200],
                )
            if number % 100 == 99:
                still_works(page, workspace)
        assert answers.count("error") > 150


PATHS = [
    *("/api/files", "/api/open", "/api/histogram"),
    *("/", "/api/state", "/api/volume", "/api/maps", "/api/slice", "/api/render", "/api/pick", "/api/export"),
    *(
        "/api/export/formats",
        "/api/import",
        "/api/files",
        "/api/open",
        "/api/histogram",
        "/ws",
        "/static/main.js",
        "/static/",
        "/none",
        "/api/",
    ),
]
FIELDS = [
    *(
        "axis",
        "index",
        "width",
        "height",
        "low",
        "high",
        "zoom",
        "azimuth",
        "quality",
        "overlay",
        "name",
        "role",
    ),
    *("x", "y", "token", "volume", "pan_x"),
]
TEXTS = [
    *("", "0", "1", "-1", "99999999999999999999", "nan", "inf", "1e999", "a", "../../etc/passwd", "%00", "é"),
    *("preview", "high", "reference", "session", "x" * 3000, "1" * 400, "a.nii.gz", ".", "..", "CON", "a\nb"),
    "0,0,0",
]


def test_malformed_requests(client, workspace):
    dice = random.Random(0)
    statuses = []
    for _ in range(300):
        query = {dice.choice(FIELDS): dice.choice(TEXTS) for _ in range(dice.randrange(5))}
        query.setdefault("width", "16")  # what is valid by chance should not take long
        query.setdefault("height", "16")
        method = dice.choice(["GET", "GET", "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "BREW"])
        body = dice.choice(
            [b"", b"{}", b"[", b'{"format": 1}', b'{"format": "x"}', b"\xff" * 100, b"[" * 5000]
        )
        headers = {
            dice.choice(["accept", "content-type", "range", "x-odd", "if-none-match"]): dice.choice(
                ["", "a", "*/*", "bytes=0-", "x" * 2000]
            )
        }
        answer = client.request(method, dice.choice(PATHS), params=query, content=body, headers=headers)
        statuses.append(answer.status_code)
        assert answer.status_code < 500, (answer.request.url, answer.text[:300])
        if answer.status_code >= 400 and method != "HEAD":
            assert answer.json()["message"]
    assert sum(400 <= status < 500 for status in statuses) > 150
    with page_of(client) as page:
        still_works(page, workspace)


def seeds_of_files(folder, workspace: Workspace) -> dict[str, bytes]:
    """Sound files of every kind that can be imported, by name."""
    labels = (two_cubes().values > 0).astype(np.uint8)
    found = {}
    for name in ("s.nii", "s.nii.gz", "s.seg.nrrd"):
        write_segmentation(folder / name, labels, workspace.volume, {1: "one"})
        found[name] = (folder / name).read_bytes()
    found["s.npy"] = _npy(labels)
    found["s.json"] = workspace.session_text()
    for name in ("f.json", "f.vp.json", "f.vp"):
        found[name] = workspace.export(folder / name).read_bytes()
    return found


def _npy(labels: np.ndarray) -> bytes:
    import io

    file = io.BytesIO()
    np.save(file, labels)
    return file.getvalue()


def mutated(content: bytes, dice: random.Random) -> bytes:
    """Cut, filled, repeated or with other bytes; of a compressed file also within."""
    if content[:2] == b"\x1f\x8b" and dice.random() < 0.7:
        return gzip.compress(mutated(gzip.decompress(content), dice), 1)
    data = bytearray(content)
    what = dice.randrange(5)
    if what == 0:
        del data[dice.randrange(len(data)) :]
    elif what == 1:
        for _ in range(dice.randrange(1, 6)):
            data[dice.randrange(min(len(data), 400))] = dice.choice([0, 1, 127, 128, 255, 32, 57])
    elif what == 2:
        place = dice.randrange(len(data))
        data[place:place] = bytes(dice.choice([0, 255, 48]) for _ in range(dice.randrange(1, 64)))
    elif what == 3:
        start = dice.randrange(len(data))
        del data[start : start + dice.randrange(1, 64)]
    else:
        data += data[: dice.randrange(1, 500)]
    return bytes(data)


def test_malformed_files(client, workspace, tmp_path):
    workspace.add_class("one")
    workspace.click(1, BRIGHT)
    files = seeds_of_files(tmp_path, workspace)
    roles = {".json": ("session", "transfer_function"), "": ("segmentation", "reference")}
    dice = random.Random(0)
    statuses = []
    for _ in range(250):
        name = dice.choice(list(files))
        kind = "" if name.startswith("s.") and name != "s.json" else ".json"
        role = dice.choice(roles[kind]) if dice.random() < 0.9 else dice.choice(["segmentation", "session"])
        content = mutated(files[name], dice)
        answer = client.post("/api/import", params={"role": role, "name": name}, content=content)
        statuses.append(answer.status_code)
        assert answer.status_code in (200, 400), (name, role, answer.text[:400])
        if answer.status_code == 400:
            assert 10 < len(answer.json()["message"]) < 900 and "tmp" not in answer.json()["message"]
    assert statuses.count(400) > 100
    with page_of(client) as page:
        still_works(page, workspace)
