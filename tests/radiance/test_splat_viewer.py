"""The page that shows a fit: it answers on the loopback, takes new states, and hides photographs."""

from __future__ import annotations

import urllib.request

import pytest
from radiance import tiny_scenes

from dense3d.radiance.splats.viewer import SplatViewer


def test_the_page_shows_one_state_after_another() -> None:
    pytest.importorskip("viser", minversion="1")
    known = tiny_scenes.known_gaussians()
    viewer = SplatViewer(tiny_scenes.photographs(known, 3), 3.3, port=8391)
    try:
        assert viewer.url.startswith("http://127.0.0.1:")
        assert urllib.request.urlopen(viewer.url, timeout=20).status == 200
        for line in ("step 1/2", "step 2/2"):
            viewer.show(known, line)
            assert viewer._state.content == line
        viewer._show_photographs(False)
        assert not any(frustum.visible for frustum in viewer._frustums)
    finally:
        viewer.stop()
