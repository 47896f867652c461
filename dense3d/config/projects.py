"""Recipes built on dense3d: a config in ``projects/NAME/`` finds what the modules beside it register.

``projects/NAME/net.py`` is the module ``projects.NAME.net``: the folder that holds ``projects`` goes to the
end of ``sys.path``, so that worker processes find the classes as well. A module is imported when a config
asks for one of its names; one that registers in another library's registry is imported at once.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from pathlib import Path

from dense3d.config.sources import Source
from dense3d.errors import ConfigError
from dense3d.registry import add_modules

KEY = "projects"  # of a loaded config: the projects it needs, so that its dump in a work directory works too
# What marks a repository of its own: it brings its modules by itself (``custom_imports``).
_REPOSITORY = (".git", "pyproject.toml", "setup.py")


def find_projects(sources: Iterable[Source]) -> list[str]:
    """Make the projects known that the files of a config lie in.

    Returns:
        Their folders, below the current directory relative to it.

    Raises:
        ConfigError: another package ``projects`` hides one, or two modules register the same name.
    """
    files = [Path(source.path) for source in sources if source.scope is None]
    folders = dict.fromkeys(folder for folder in map(project_of, files) if folder is not None)
    return [_relative(folder) for folder in folders if add_project(folder)]


def project_of(file: Path) -> Path | None:
    """The folder ``.../projects/NAME`` that a config lies in, or None."""
    for folder in file.resolve().parents:
        if folder.parent.name == KEY:
            return None if any((folder / name).exists() for name in _REPOSITORY) else folder
    return None


def add_project(folder: str | Path) -> bool:
    """Have registries find the names of the project in ``folder``; False if its modules register none.

    Raises:
        ConfigError: there is no such folder, another package ``projects`` hides it, or two modules register
            the same name.
    """
    folder = Path(folder).resolve()
    if not folder.is_dir():
        raise ConfigError(f"the config needs the project {folder}, which does not exist; start where it does")
    package = f"{KEY}.{folder.name}"
    return add_modules(folder, package, lambda: _make_importable(folder, package))


def _make_importable(folder: Path, package: str) -> None:
    root = str(folder.parent.parent)
    if root not in sys.path:
        sys.path.append(root)
    importlib.invalidate_caches()
    other = importlib.import_module(KEY)
    homes = [Path(home) for home in getattr(other, "__path__", ())]
    found = next((home for home in homes if (home / folder.name).is_dir()), None)
    if found is None or not found.samefile(folder.parent):
        raise ConfigError(
            f"{folder} cannot be imported as {package}, because {found or other.__file__} comes before it on "
            "sys.path; start from another directory or rename the project's folder"
        )


def _relative(folder: Path) -> str:
    here = Path.cwd()
    return str(folder.relative_to(here)) if folder.is_relative_to(here) else str(folder)
