"""Drawing and results import downwards: no module needs one that needs it."""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

import dense3d

ROOT = Path(dense3d.__file__).parent
PACKAGES = ("visualization", "results")


def imported(path: Path) -> set[str]:
    """Modules of dense3d that a file imports, at its top or inside of functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dense3d."):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_there_is_no_circle_of_imports():
    graph = {
        f"dense3d.{package}.{path.stem}": imported(path)
        for package in PACKAGES
        for path in (ROOT / package).glob("*.py")
        if path.stem != "__init__"
    }
    assert len(graph) > 10
    known = {name: found & graph.keys() for name, found in graph.items()}
    assert known["dense3d.visualization.annotations"]  # imports are seen
    order = list(graphlib.TopologicalSorter(known).static_order())  # raises CycleError
    drawing = [index for index, name in enumerate(order) if ".visualization." in name]
    assert not [
        (name, other) for name, found in known.items() for other in found
        if ".visualization." in name and ".results." in other
    ]  # fmt: skip
    assert drawing


def test_plain_data_know_nothing_of_drawing():
    for path in (ROOT / "structures").glob("*.py"):
        assert not [name for name in imported(path) if ".visualization" in name or ".results" in name], path
