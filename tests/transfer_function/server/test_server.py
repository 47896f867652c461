"""A page and its server: what a click leads to, what a second page sees, what stays when a page goes."""

from __future__ import annotations

import re
import threading
import time

import numpy as np
from transfer_function.cubes import BRIGHT, DARK
from transfer_function.server.page import click, page_of

from dense3d.transfer_function.methods import METHODS, Method


def test_a_click_shows_in_slices_first_then_everywhere(client, workspace):
    with page_of(client) as page:
        added = page.send("class.add", name="bright")
        page.settle()
        page.order.clear()
        assert click(page, added["class"], BRIGHT)["step"] == "click on bright"
        page.settle()
        assert page.order.index("planes") < page.order.index("maps")
        shown = [(one["axis"], one["index"]) for one in page.planes]
        # a preview and the scores, which may pass it
        assert sorted(set(shown)) == list(enumerate(BRIGHT))
        expected = workspace.scores()[0]
        assert expected.max() > 200
        np.testing.assert_array_equal(page.scores(added["class"]), expected)
        assert page.state["classes"][0]["ml"] > 0 and page.state["undo"] == "click on bright"
        assert page.state["prompts"][0]["voxels"] == [list(BRIGHT)]


def test_slices_alone_show_a_click(client, workspace, monkeypatch):
    """Before the maps come, the three slices of the textures are those of the volume."""
    monkeypatch.setattr(workspace, "preview", lambda snapshot: None)  # which would be near them
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
        points = [{"value": 0, "color": [0, 0, 0], "opacity": 0}]
        function = {"name": "x", "points": points, "regions": []}
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


def offer(monkeypatch, classifier) -> None:
    """Let pages choose a method of this test."""
    method = Method(classifier.name, False, lambda volume, checkpoint: classifier)
    monkeypatch.setitem(METHODS, classifier.name, method)


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


def test_preparation_tells_its_progress_and_can_be_cancelled(client, workspace, monkeypatch):
    slow = Slow()
    offer(monkeypatch, slow)
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


def test_a_method_that_fails_is_told_and_the_server_lives(client, workspace, monkeypatch):
    class Broken:
        name, ready = "broken", False

        def prepare(self, progress) -> None:
            raise ZeroDivisionError("a bug")

    offer(monkeypatch, Broken())
    with page_of(client) as page:
        page.wait_for(lambda state: state["ready"])
        page.send("method", method="broken")
        failed = page.until(lambda found: found["type"] == "progress" and "failed" in found)["failed"]
        assert "broken failed: ZeroDivisionError: a bug" in failed
        assert page.send("class.add")["type"] == "done"


class Growing:
    """A method that is ready at once and gives other scores when its preparation ends."""

    name, ready = "growing", True

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape, self.value, self.go_on = shape, 100, threading.Event()

    def prepare(self, progress) -> None:
        progress(0.5, "learning", 1.0)
        assert self.go_on.wait(60)
        self.value = 200

    def classify(self, prompts, class_ids):
        import types

        scores = np.full((len(class_ids), *self.shape), self.value, np.uint8)
        return types.SimpleNamespace(
            class_ids=tuple(class_ids),
            volume=lambda: scores,
            plane=lambda axis, index: np.take(scores, index, axis + 1),
        )


def test_scores_get_better_when_the_preparation_ends(client, workspace, monkeypatch):
    growing = Growing(workspace.working.shape)
    offer(monkeypatch, growing)
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


class Rough(Growing):
    """A method whose result comes when the test allows it, and its preview before."""

    name = "rough"

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__(shape)
        self.go_on.set()
        self.allowed = threading.Event()

    def preview(self, prompts, class_ids):
        self.value = 130
        return super().classify(prompts, class_ids)

    def classify(self, prompts, class_ids):
        assert self.allowed.wait(60)
        self.value = 200
        return super().classify(prompts, class_ids)


def test_slices_show_a_preview_before_they_show_the_result(client, workspace, monkeypatch):
    rough = Rough(workspace.working.shape)
    offer(monkeypatch, rough)
    with page_of(client) as page:
        page.send("class.add")
        page.send("method", method="rough")
        page.until(lambda found: found["type"] == "progress" and found["done"] == 1)
        click(page, 1, BRIGHT)
        page.until(lambda found: found["type"] == "planes")
        assert page.textures[0][(*BRIGHT, 0)] == 130
        rough.allowed.set()
        page.settle()
        assert page.scores(1).min() == 200


def test_a_preview_that_a_newer_click_overtook_does_not_stay_in_slices(client, workspace, monkeypatch):
    """The scores do not change, so that no maps are sent that would put it right by themselves."""
    rough = Rough(workspace.working.shape)
    rough.allowed.set()
    offer(monkeypatch, rough)
    with page_of(client) as page:
        page.send("class.add")
        page.send("method", method="rough")
        page.wait_for(lambda state: state["method"] == "rough" and state["progress"]["done"] == 1)
        click(page, 1, BRIGHT)
        page.settle()
        assert page.scores(1).min() == 200
        rough.allowed.clear()
        click(page, 1, DARK)
        page.until(lambda found: found["type"] == "planes")
        assert page.scores(1).min() == 130
        click(page, 1, (9, 8, 6))  # elsewhere
        rough.allowed.set()
        page.settle()
        assert page.scores(1).min() == 200


def test_another_method_takes_the_place_of_one_that_is_prepared(client, workspace, monkeypatch):
    slow = Slow()
    offer(monkeypatch, slow)
    with page_of(client) as page:
        page.wait_for(lambda state: (state["progress"] or {}).get("done") == 1)
        page.send("class.add")
        click(page, 1, BRIGHT)
        page.send("method", method="slow")
        page.until(lambda found: found["type"] == "progress" and found["task"] == "slices")
        page.send("method", method="graph-quick")  # which is ready: nobody tells of the slow one any more
        told = page.until(lambda found: found["type"] == "progress" and found["task"] != "slices")
        assert told["done"] == 1 and told["ready"] is True and "cancelled" not in told
        page.settle()
        assert page.state["method"] == "graph-quick" and page.state["progress"] == told
        assert page.scores(1).max() > 200 and len(page.state["prompts"]) == 1


def test_what_was_cancelled_can_go_on(client, workspace, monkeypatch):
    slow = Slow()
    offer(monkeypatch, slow)
    with page_of(client) as page:
        page.send("method", method="slow")
        page.until(lambda found: found["type"] == "progress" and found["task"] == "slices")
        page.send("cancel")
        page.until(lambda found: found["type"] == "progress" and "cancelled" in found)
    with page_of(client) as page:  # a page that is loaded later is told, too
        assert page.state["progress"]["cancelled"] is True
        page.send("prepare")
        told = page.until(lambda found: found["type"] == "progress")
        assert told["task"] == "slices" and "cancelled" not in told
        page.send("cancel")
        page.until(lambda found: found["type"] == "progress" and "cancelled" in found)
