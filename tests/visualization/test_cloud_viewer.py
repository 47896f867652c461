"""The page that shows clouds: it answers on loopback, shows what was chosen, and ends."""

from __future__ import annotations

import socket
import sys
import urllib.error
import urllib.request
from types import SimpleNamespace

import numpy as np
import pytest

from dense3d.errors import MissingDependencyError
from dense3d.results.cloud import CloudResult
from dense3d.results.cloud_boxes import CloudBoxes
from dense3d.structures import PointCloud
from dense3d.visualization.cloud_viewer import SHOWN, CloudViewer


@pytest.fixture
def viewer():
    pytest.importorskip("viser", minversion="1")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shown = CloudViewer(port)
    yield shown
    shown.stop()


def cloud(value: float = 0.5, number: int = 4) -> PointCloud:
    points = np.linspace(0, 100, 3 * number).reshape(number, 3)
    return PointCloud(points, colors=np.full((number, 3), value))


def test_the_page_answers_on_loopback_until_it_is_stopped(viewer):
    assert viewer.url.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(viewer.url, timeout=20) as page:
        assert page.status == 200 and b"<html" in page.read().lower()
    with socket.socket() as other, pytest.raises(OSError):  # other addresses of this machine
        other.connect(("127.0.0.2", int(viewer.url.split(":")[-1].strip("/"))))
    viewer.stop()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(viewer.url, timeout=5)


def test_what_is_chosen_is_drawn_in_one_place_and_size(viewer):
    viewer.add("a", {"input": cloud(0.0), "prediction": cloud(1.0)}, {"<leg>": (1, 2, 3)})
    viewer.add("b", {"input": cloud(0.2)}, {})
    assert viewer._cloud.options == ("a", "b") and viewer._cloud.value == "a"
    assert viewer._view.value == "prediction" and (viewer._drawn.colors == 255).all()
    assert "&lt;leg&gt;" in viewer._legend.content and "rgb(1, 2, 3)" in viewer._legend.content
    np.testing.assert_allclose(np.asarray(viewer._drawn.points).min(axis=0), -1, atol=0.2)
    viewer._view.value = "input"
    assert (viewer._drawn.colors == 0).all()
    viewer._cloud.value = "b"
    assert viewer._view.options == ("input",) and (viewer._drawn.colors == 51).all()
    viewer._size.value = 0.04
    assert viewer._drawn.point_size == pytest.approx(0.04)


def test_the_page_holds_the_edges_of_boxes(viewer):
    """Of a scan of 20 m between -10 and 10, which the page brings to -1 to 1."""
    scan = PointCloud(np.array([[-10.0, -10, -10], [10, 10, 10]]), name="scan")
    box = np.array([[5, 0, 0, 4, 2, 2, 0]], np.float32)
    boxes = CloudBoxes(box, np.array([1]), np.array([0.9], np.float32))
    result = CloudResult("scan", scan, ("chair", "sofa"), boxes=boxes)
    viewer.add(result.name, result.views(), result.legend(), result.up)
    drawn = np.asarray(viewer._drawn.points)
    wires = drawn[2:]
    np.testing.assert_allclose(
        [wires.min(axis=0), wires.max(axis=0)], [[0.3, -0.1, -0.1], [0.7, 0.1, 0.1]], atol=2e-3
    )
    (colour,) = {tuple(map(int, row)) for row in np.asarray(viewer._drawn.colors)[2:]}
    assert f"rgb{colour}" in viewer._legend.content and "sofa" in viewer._legend.content
    viewer._view.value = "input"
    assert len(viewer._drawn.points) == 2


def test_large_clouds_are_thinned_out_and_bare_ones_coloured_by_height(viewer):
    points = np.random.default_rng(0).random((SHOWN + 1, 3))
    viewer.add("large", {"input": PointCloud(points)}, {}, up="y")
    shown = np.asarray(viewer._drawn.points)
    assert SHOWN / 2 <= len(shown) <= SHOWN
    yellow, blue = (np.asarray(viewer._drawn.colors)[i] for i in (shown[:, 1].argmax(), shown[:, 1].argmin()))
    assert yellow[0] > 200 and blue[2] > 150


def test_one_point_has_a_place(viewer):
    viewer.add("one", {"input": PointCloud([[5.0, 6, 7]])}, {})
    assert np.asarray(viewer._drawn.points).tolist() == [[0, 0, 0]]


def test_without_the_extra_or_with_an_old_one_a_sentence_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "viser", None)
    with pytest.raises(MissingDependencyError, match=r"'viser' is not installed.*dense3d\[view\]"):
        CloudViewer()
    monkeypatch.setitem(sys.modules, "viser", SimpleNamespace(__version__="0.2.7"))
    with pytest.raises(MissingDependencyError, match=r"viser 0\.2\.7 is too old.*pip install 'viser>=1'"):
        CloudViewer()
