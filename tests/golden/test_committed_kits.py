"""The kits that are part of the repository: every system against its official implementation.

Where the whole kits lie beside the checkout (``DENSE3D_GOLDEN``), they are run in place of their parts.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.golden import SYSTEMS, verify_kit
from tests.golden.whole import FOLDER, SLOW, checks_of_whole

KITS = Path(__file__).parent / "kits"
META = {file.parent.name: json.loads(file.read_text()) for file in sorted(KITS.glob("*/kit.json"))}


@pytest.mark.parametrize("name", META)
def test_kit(name):
    checks = {check["name"] for check in META[name]["checks"]}
    parts = checks_of_whole(KITS / name)
    rows = []
    if (FOLDER / name).is_dir():
        rows = verify_kit(FOLDER / name, without=SLOW.get(name, ()))
        assert parts <= {row.check for row in rows}
    if checks - parts:
        rows += verify_kit(KITS / name, without=parts)
    assert [str(row) for row in rows if not row.passed] == []
    assert checks <= {row.check for row in rows}


def test_every_system_has_a_kit_here():
    assert {meta["system"] for meta in META.values()} == set(SYSTEMS)


@pytest.mark.parametrize("name", META)
def test_the_source_is_named(name):
    """Who doubts a number has to find the code that gave it."""
    source = META[name]["source"]
    words = " ".join(source.values()) if isinstance(source, dict) else source
    assert len(words.split()) > 2


def test_the_page_names_every_kit_and_commit():
    page = (KITS.parent / "README.md").read_text()
    assert [name for name in META if f"`{name}`" not in page] == []
    sources = [meta["source"] for meta in META.values() if isinstance(meta["source"], dict)]
    commits = {source["commit"][:7] for source in sources if source.get("commit")}
    assert len(commits) > 10
    assert [commit for commit in commits if commit not in page] == []
