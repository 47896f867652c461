"""How much disk each installed package takes, and whether dense3d itself or one of its extras brings it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = "dense3d"
# Extras that only name others.
COLLECTIONS = ("all",)
# Smaller packages are counted together.
SMALLEST_LISTED = 10_000_000
CORE, FOREIGN = "core", "(not of dense3d)"


@dataclass(frozen=True)
class InstalledSize:
    """One installed package.

    Args:
        name, version: of the distribution.
        size: bytes of its files, without the bytecode that Python writes later.
        brought_by: ``"core"``, or the extras that need it, or that dense3d does not ask for it.
    """

    name: str
    version: str
    size: int
    brought_by: str


def installed_sizes() -> list[InstalledSize]:
    """All packages of this environment, the largest first."""
    packages: dict[str, Distribution] = {}
    for package in distributions():  # of two with one name, the first is the one that is imported
        packages.setdefault(canonicalize_name(package.metadata["Name"]), package)
    origin = _origins(packages)
    sizes = [
        InstalledSize(name, package.version, _size(package), origin.get(name, FOREIGN))
        for name, package in packages.items()
    ]
    return sorted(sizes, key=lambda entry: (-entry.size, entry.name))


def sizes_table(sizes: list[InstalledSize]) -> str:
    """A line for each package of at least 10 MB, the others together, and a sum for core and each extra.

    Example:
        >>> print(sizes_table([InstalledSize("torch", "2.6.0", 1_500_000_000, "core")]))
             MB  package  brought by
           1500  torch 2.6.0  core
              0  0 smaller ones
        <BLANKLINE>
           1500  core
           1500  everything
    """
    large = [entry for entry in sizes if entry.size >= SMALLEST_LISTED]
    small = sizes[len(large) :]
    lines = ["     MB  package  brought by"]
    lines += [_line(entry.size, f"{entry.name} {entry.version}  {entry.brought_by}") for entry in large]
    lines += [_line(sum(entry.size for entry in small), f"{len(small)} smaller ones"), ""]
    sums: dict[str, int] = {}
    for entry in sizes:
        sums[entry.brought_by] = sums.get(entry.brought_by, 0) + entry.size
    lines += [_line(size, origin) for origin, size in sorted(sums.items(), key=lambda item: -item[1])]
    return "\n".join([*lines, _line(sum(sums.values()), "everything")])


def _line(size: int, text: str) -> str:
    return f"{size / 1e6:7.0f}  {text}"


def _size(package: Distribution) -> int:
    size = 0
    for path in package.files or ():
        if path.suffix != ".pyc":
            try:
                size += Path(package.locate_file(path)).stat().st_size
            except OSError:
                continue  # removed by hand; what is not there takes no space
    return size


def _origins(packages: dict[str, Distribution]) -> dict[str, str]:
    """Name of each package that dense3d asks for, directly or not -> ``"core"`` or the extras."""
    if PROJECT not in packages:
        return {}
    core = _needed_by(Requirement(PROJECT), packages)
    origin = dict.fromkeys(core, CORE)
    users: dict[str, list[str]] = {}
    for extra in packages[PROJECT].metadata.get_all("Provides-Extra") or ():
        if extra not in COLLECTIONS:
            for name in _needed_by(Requirement(f"{PROJECT}[{extra}]"), packages) - core:
                users.setdefault(name, []).append(extra)
    return {**origin, **{name: ", ".join(extras) for name, extras in users.items()}}


def _needed_by(root: Requirement, packages: dict[str, Distribution]) -> set[str]:
    """Canonical names of the installed packages that ``root`` needs, with its own."""
    seen: set[tuple[str, str]] = set()
    waiting = [root]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if name in packages and (name, extra) not in seen:
                seen.add((name, extra))
                further = [Requirement(text) for text in packages[name].requires or ()]
                waiting += [r for r in further if r.marker is None or r.marker.evaluate({"extra": extra})]
    return {name for name, _ in seen}
