"""The command line of panoptic quality: table, JSON file, and errors as one sentence."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools/eval_panoptic.py"


def run(monkeypatch, *arguments) -> int:
    monkeypatch.setattr(sys, "argv", ["eval_panoptic.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(TOOL), run_name="__main__")
    return end.value.code


def test_real_annotations_against_themselves(sample_data, tmp_path, monkeypatch, capsys):
    source = sample_data / "coco_panoptic/annotations/panoptic_val2017.json"
    target = tmp_path / "figures.json"
    folder = source.with_suffix("")
    assert run(monkeypatch, source, source, "--pred-dir", folder, "--json", target, "--workers", "1") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "24 images"
    assert [line.split() for line in lines if line.startswith("all")] == [
        ["all", "100.0", "100.0", "100.0", "62"]
    ]
    figures = json.loads(target.read_text())
    assert figures["all"] == {"pq": 1, "sq": 1, "rq": 1, "n": 62}
    person = next(c for c in figures["classes"] if c["name"] == "person")
    assert f"person                 thing  100.0  100.0  100.0  {person['tp']}" in "\n".join(lines)


def test_errors(sample_data, tmp_path, monkeypatch, capsys):
    source = sample_data / "coco_panoptic/annotations/panoptic_val2017.json"
    document = json.loads(source.read_text())
    del document["categories"][0]["isthing"]
    faulty = tmp_path / "panoptic.json"
    faulty.write_text(json.dumps(document))
    assert run(monkeypatch, faulty, source) == 2
    error = capsys.readouterr().err
    assert "panoptic.json: the category 'person' has no 'isthing'; write 1 for things" in error
    assert error.count("\n") == 1
    assert run(monkeypatch, source, tmp_path / "absent.json") == 2
    assert "absent.json: does not exist" in capsys.readouterr().err
