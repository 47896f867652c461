"""A page and its server: what a click leads to, what a second page sees, what a wrong message gets."""

from __future__ import annotations

import numpy as np
from transfer_function.server.page import Page

ADDRESS = "ws://127.0.0.1:8765/ws"


def test_a_click_shows_in_slices_first_then_everywhere(client, workspace):
    with client.websocket_connect(ADDRESS) as websocket:
        page = Page(websocket, client)
        added = page.send("class.add", name="bright")
        page.settle()
        page.order.clear()
        answer = page.send(
            "prompt", **{"class": added["class"], "kind": "point"}, voxels=[[4, 4, 6]], planes=[4, 4, 6]
        )
        assert answer["step"] == "click on bright"
        page.settle()
        assert page.order.index("planes") < page.order.index("maps")
        assert sorted(header["axis"] for header in page.planes) == [0, 1, 2]
        expected = workspace.scores()[0]
        assert expected.max() > 200
        np.testing.assert_array_equal(page.scores(added["class"]), expected)
        assert page.state["classes"][0]["ml"] > 0 and page.state["undo"] == "click on bright"
