"""Sizes of installed packages: of the files that are there, and by whom each is asked for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dense3d.apis.installed_sizes import InstalledSize, installed_sizes, sizes_table
from dense3d.cli.dispatch import main


def install(folder: Path, name: str, size: int, requires: tuple[str, ...] = (), extras: tuple = ()) -> None:
    """A package of one module with ``size`` bytes."""
    module = name.replace("-", "_").lower()
    (folder / f"{module}.py").write_bytes(b"#" * size)
    (folder / f"{module}.pyc").write_bytes(b"#" * 1000)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    lines = ["Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0"]
    lines += [f"Requires-Dist: {text}" for text in requires] + [
        f"Provides-Extra: {extra}" for extra in extras
    ]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    (info / "RECORD").write_text(f"{module}.py,,\n{module}.pyc,,\nremoved_by_hand.py,,\n")


@pytest.fixture
def packages(tmp_path, monkeypatch) -> Path:
    """dense3d with a core package that needs another, an extra, and a package of somebody else."""
    needs = ("Core_Part>=1", "absent", "elsewhere; sys_platform == 'never'", "extra-part; extra == 'more'")
    collection = "dense3d[more]; extra == 'all'"
    install(tmp_path, "dense3d", 5, (*needs, collection), ("more", "all"))
    install(tmp_path, "core-part", 20, ("deep[fast]",))
    install(
        tmp_path, "deep", 30, ("deep-fast; extra == 'fast'", "elsewhere; extra == 'slow'"), ("fast", "slow")
    )
    install(tmp_path, "deep-fast", 40)
    install(tmp_path, "extra-part", 12_000_000, ("deep",))
    install(tmp_path, "elsewhere", 7)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    return tmp_path


def test_each_package_has_its_size_and_origin(packages) -> None:
    assert [(entry.name, entry.size, entry.brought_by) for entry in installed_sizes()] == [
        ("extra-part", 12_000_000, "more"),
        ("deep-fast", 40, "core"),
        ("deep", 30, "core"),
        ("core-part", 20, "core"),
        ("elsewhere", 7, "(not of dense3d)"),
        ("dense3d", 5, "core"),
    ]


def test_the_table_sums_up() -> None:
    sizes = [
        InstalledSize("a", "1", 30_000_000, "core"),
        InstalledSize("b", "2", 12_000_000, "nerf"),
        InstalledSize("c", "3", 8_000_000, "core"),
        InstalledSize("d", "4", 2_000_000, "nerf"),
    ]
    lines = [line.split() for line in sizes_table(sizes).splitlines()]
    assert lines[1:] == [
        ["30", "a", "1", "core"],
        ["12", "b", "2", "nerf"],
        ["10", "2", "smaller", "ones"],
        [],
        ["38", "core"],
        ["14", "nerf"],
        ["52", "everything"],
    ]


def test_the_command_prints_the_table_and_nothing_else(capsys) -> None:
    assert main(["env", "--sizes"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == ["MB", "package", "brought", "by"]
    assert "torch" in out
    assert "operators:" not in out
