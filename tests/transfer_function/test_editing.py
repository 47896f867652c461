"""Edits are named steps; undo and redo go through what was there, whatever was done in between."""

from __future__ import annotations

import numpy as np
import pytest

from dense3d.transfer_function.history import MOST_STEPS
from dense3d.transfer_function.mark_editing import MarkEditor
from dense3d.transfer_function.marks import Grid, Point, PromptError
from dense3d.transfer_function.structure_classes import ClassError

GRID = Grid((20, 16, 12), (1.0, 2.0, 3.0))


def editor() -> MarkEditor:
    made = MarkEditor(GRID)
    made.add_class("liver")
    return made


def random_edit(edits: MarkEditor, random: np.random.Generator) -> None:
    """Anything that a person does."""
    ids = [one.id for one in edits.classes]
    class_id = int(random.choice([0, *ids]))
    voxel = tuple(int(random.integers(size)) for size in GRID.shape)
    other = tuple(int(random.integers(size)) for size in GRID.shape)
    what = random.integers(10)
    if what == 0 and len(ids) < 5:
        edits.add_class()
    elif what == 1 and ids:
        edits.update_class(int(random.choice(ids)), threshold=float(random.integers(5)) / 4)
    elif what == 2 and len(ids) > 1:
        edits.remove_class(int(random.choice(ids)))
    elif what == 3:
        edits.stroke(class_id, [voxel, other], float(random.integers(4)))
    elif what == 4:
        edits.box(class_id, voxel, other, bool(random.integers(2)))
    elif what == 5:
        edits.lasso(class_id, 2, voxel[2], [(0, 0), (15, 1), (12, 14)])
    elif what == 6:
        edits.erase(voxel, 4.0)
    elif what == 7:
        edits.clear(class_id)
    else:
        edits.click(class_id, voxel, bool(random.integers(2)) or class_id == 0)


@pytest.mark.parametrize("seed", range(5))
def test_undo_and_redo_visit_every_document(seed):
    random = np.random.default_rng(seed)
    edits = MarkEditor(GRID)
    documents = [edits.document]
    for _ in range(60):
        before, steps = edits.document, len(edits.steps)
        if random.random() < 0.25:
            assert edits.undo() == (None if steps == 0 else edits.history.redo_name)
            if steps:
                documents.pop()
        else:
            random_edit(edits, random)
            if edits.document != before:
                # A slider may join the step before.
                documents = [*documents[: len(edits.steps)], edits.document]
        assert edits.document == documents[-1] and len(edits.steps) == len(documents) - 1
    for document in reversed(documents[:-1]):
        edits.undo()
        assert edits.document == document
    assert edits.undo() is None and edits.history.undo_name is None
    for document in documents[1:]:
        edits.redo()
        assert edits.document == document


def test_steps_have_names():
    edits = editor()
    edits.click(1, (1, 2, 3))
    edits.click(1, (4, 4, 4), positive=False)
    edits.stroke(0, [(1, 1, 1)], 2)
    edits.update_class(1, name="spleen")
    assert edits.steps == [
        "new class liver",
        "click on liver",
        "click against liver",
        "stroke on background",
        "name of liver",
    ]
    assert edits.undo() == "name of liver" and edits.history.redo_name == "name of liver"


def test_what_changes_nothing_makes_no_step():
    edits = editor()
    assert edits.click(1, (1, 2, 3)) is not None
    revision = edits.revision
    assert edits.click(1, (1, 2, 3)) is None
    assert edits.update_class(1, name="liver", threshold=0.5) is None
    assert edits.erase((15, 15, 11), 1.0) is None
    assert edits.clear(0) is None
    assert edits.redo() is None
    assert edits.revision == revision and edits.steps == ["new class liver", "click on liver"]


def test_a_new_step_forgets_what_was_undone():
    edits = editor()
    edits.click(1, (1, 1, 1))
    edits.undo()
    edits.click(1, (2, 2, 2))
    assert edits.redo() is None and [mark.voxel for mark in edits.document.marks] == [(2, 2, 2)]


def test_a_click_on_a_clicked_voxel_corrects_it():
    edits = editor()
    edits.click(1, [(1, 1, 1), (2, 2, 2)])
    edits.click(1, (1, 1, 1), positive=False)
    assert [(m.voxel, m.positive) for m in edits.document.marks] == [((2, 2, 2), True), ((1, 1, 1), False)]
    edits.undo()
    assert all(mark.positive for mark in edits.document.marks)


def test_several_clicks_at_once_are_as_many_marks():
    at_once, one_by_one = editor(), editor()
    voxels = [(1, 1, 1), (5, 6, 7), (3, 3, 3)]
    at_once.click(1, voxels)
    for voxel in voxels:
        one_by_one.click(1, voxel)
    assert at_once.document == one_by_one.document and len(at_once.steps) == 2


def test_a_slider_is_one_step(monkeypatch):
    edits = editor()
    for threshold in (0.4, 0.3, 0.2):
        edits.update_class(1, threshold=threshold)
    assert edits.steps == ["new class liver", "threshold of liver"]
    edits.undo()
    assert edits.classes[0].threshold == 0.5
    edits.redo()
    edits.update_class(1, threshold=0.9)  # after a redo it is a gesture of its own
    assert len(edits.steps) == 3
    edits.update_class(1, threshold=0.2)  # back to where this gesture began
    assert len(edits.steps) == 2 and edits.classes[0].threshold == 0.2
    monkeypatch.setattr("dense3d.transfer_function.history.SAME_GESTURE", -1.0)
    edits.update_class(1, opacity=0.5)
    edits.update_class(1, opacity=0.6)
    assert len(edits.steps) == 4


def test_ids_are_never_used_again():
    edits = editor()
    second = edits.add_class()
    edits.remove_class(second)
    assert edits.add_class() == second + 1
    edits.undo()
    assert edits.add_class() == second + 2


def test_removing_a_class_takes_its_marks_and_undo_brings_them():
    edits = editor()
    other = edits.add_class("spleen")
    edits.click(1, (1, 1, 1))
    edits.click(other, (2, 2, 2))
    edits.remove_class(1)
    assert [mark.class_id for mark in edits.document.marks] == [other]
    edits.undo()
    assert len(edits.document.marks) == 2 and [one.name for one in edits.classes] == ["liver", "spleen"]


def test_hiding_is_no_step():
    edits = editor()
    assert edits.update_class(1, visible=False) is None
    assert edits.hidden == {1} and len(edits.steps) == 1


def test_old_steps_are_forgotten_and_their_effect_stays():
    edits = editor()
    for n in range(MOST_STEPS + 10):
        edits.click(1, (n % 20, n // 20 % 16, n // 320))
    while edits.undo():
        pass
    assert len(edits.document.marks) == 10 and len(edits.classes) == 1


@pytest.mark.parametrize(
    ("edit", "error", "sentence"),
    [
        (lambda e: e.click(1, (99, 0, 0)), PromptError, "outside"),
        (lambda e: e.click(7, (1, 1, 1)), ClassError, "no class 7; classes: 1 .liver."),
        (lambda e: e.click(1, []), PromptError, "needs voxels"),
        (lambda e: e.click(1, (1.5, 2, 3)), PromptError, "whole numbers"),
        (lambda e: e.lasso(1, 2, 3, [(0.1, 0.1), (0.2, 0.1), (0.2, 0.2)]), PromptError, "no voxel"),
        (lambda e: e.lasso(1, 2, 3, [(0, 0, 0)] * 4), PromptError, "pair of numbers"),
        (lambda e: e.add_class("liver"), ClassError, "already"),
        (lambda e: e.add_class("a\nb"), ClassError, "one line"),
        (lambda e: e.add_class(" "), ClassError, "needs a name"),
        (lambda e: e.add_class("x", color=(1, 2)), ClassError, "red, green, blue"),
        (lambda e: e.add_class("x", color=(1, 2, 256)), ClassError, "0 to 255"),
        (lambda e: e.add_class("x", threshold=float("nan")), ClassError, "threshold is a number from 0 to 1"),
        (lambda e: e.update_class(1, opacity=2), ClassError, "opacity"),
        (lambda e: e.update_class(1, size=2), ClassError, "no 'size'"),
        (lambda e: e.update_class(9, opacity=1), ClassError, "no class 9"),
        (lambda e: e.erase((1, 1, 1), -1), PromptError, "radius"),
    ],
)
def test_what_is_not_possible_is_told_and_changes_nothing(edit, error, sentence):
    edits = editor()
    before, revision = edits.document, edits.revision
    with pytest.raises(error, match=sentence):
        edit(edits)
    assert edits.document is before and edits.revision == revision


def test_points_keep_plain_numbers():
    edits = editor()
    edits.click(np.int64(1), np.array([1, 2, 3]))
    mark = edits.document.marks[0]
    assert isinstance(mark, Point) and type(mark.voxel[0]) is int and type(mark.class_id) is int
