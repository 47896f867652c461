"""Lists that grow on disk: at any moment what is done is there, and in the end one whole JSON file."""

from __future__ import annotations

import json

from dense3d.results.lists import GrowingList


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_are_on_the_disk_before_the_end_and_one_file_after_it(tmp_path):
    rows = GrowingList(tmp_path / "deep" / "predictions.json")
    rows.extend([{"a": 1}, {"a": "two\nlines"}])
    rows.extend([])
    rows.extend([{"a": 3}])
    assert lines(rows.lines) == rows.rows() == [{"a": 1}, {"a": "two\nlines"}, {"a": 3}]
    assert not rows.target.exists()
    rows.finish()
    assert json.loads(rows.target.read_text()) == [{"a": 1}, {"a": "two\nlines"}, {"a": 3}]
    assert [path.name for path in rows.target.parent.iterdir()] == ["predictions.json"]


def test_nothing_is_an_empty_list(tmp_path):
    GrowingList(tmp_path / "none.json").finish()
    assert json.loads((tmp_path / "none.json").read_text()) == []


def test_an_older_file_stays_until_there_is_something_new(tmp_path):
    (tmp_path / "p.json").write_text("[1]")
    (tmp_path / "p.jsonl").write_text('{"of": "a killed run"}\n')
    rows = GrowingList(tmp_path / "p.json")
    assert json.loads((tmp_path / "p.json").read_text()) == [1]
    rows.extend([{"a": 1}])
    assert not (tmp_path / "p.json").exists()  # it is not this run's
    assert lines(tmp_path / "p.jsonl") == [{"a": 1}]
