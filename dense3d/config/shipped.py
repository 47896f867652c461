"""The configs that come with dense3d, and which of them a word means."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from dense3d.errors import ConfigError, did_you_mean

PREFIX = "dense3d::"
_PACKAGE = Path(__file__).resolve().parents[1]


@cache
def shipped_folder() -> Path:
    """The folder of the configs: in the package where it was installed from a wheel, else the checkout's."""
    packed = _PACKAGE / "configs"
    return packed if packed.is_dir() else _PACKAGE.parent / "configs"


@cache
def shipped_configs() -> dict[str, Path]:
    """Every config that can be run, by its path below :func:`shipped_folder` without ``.py``."""
    folder = shipped_folder()
    found = (path for path in sorted(folder.rglob("*.py")) if "_base_" not in path.parts)
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in found}


def resolve_config(config: str | Path) -> Path:
    """The file that ``config`` means.

    Args:
        config: a file; ``"dense3d::dino/dino_r50_8xb2-12e_coco.py"``, a file below the shipped configs; or
            the name alone of a shipped config, ``"dino_r50_8xb2-12e_coco"``. A file comes first.

    Raises:
        ConfigError: there is none, or several have that name; the nearest names are given.
    """
    word = str(config)
    if word.startswith(PREFIX):
        return find_shipped(word)
    if "::" in word:
        raise ConfigError(f"{word} is another library's: write a config with _base_ = {word!r}")
    path = Path(config).expanduser()
    if path.is_file():
        return path
    if path.parent != Path():
        raise missing_config(path)
    name = path.name.removesuffix(".py")
    found = [key for key in shipped_configs() if key.rpartition("/")[2] == name]
    if len(found) > 1:
        words = " or ".join(f"{PREFIX}{key}.py" for key in found)
        raise ConfigError(f"{len(found)} configs have the name {name!r}: write {words}")
    if not found:
        raise missing_config(path)
    return shipped_configs()[found[0]]


def find_shipped(word: str, where: str = "") -> Path:
    """The file of ``"dense3d::FOLDER/NAME.py"``; ``where`` begins the message of the error."""
    name = word.removeprefix(PREFIX)
    path = shipped_folder() / name
    if path.suffix == ".py" and path.is_file():
        return path
    known = [file.relative_to(shipped_folder()).as_posix() for file in shipped_folder().rglob("*.py")]
    raise ConfigError(f"{where}dense3d has no config {name!r}{did_you_mean(name, known)}")


def config_name(path: str | Path) -> str:
    """What one would type for a config from here: its path, or the name alone of a shipped one elsewhere."""
    path = Path(path).resolve()
    if path.is_relative_to(Path.cwd()):
        return path.relative_to(Path.cwd()).as_posix()
    return path.stem if path in shipped_configs().values() else str(path)


def missing_config(path: Path, where: str = "") -> ConfigError:
    """The error for a file that is not there, with the nearest names beside it, in configs/ and shipped."""
    files = [*sorted(path.parent.glob("*.py")), *sorted(Path("configs").rglob("*.py"))]
    known: dict[str, str] = {}
    for file in [*files, *shipped_configs().values()]:
        known.setdefault(file.stem if path.suffix != ".py" else file.name, config_name(file))
    hint = did_you_mean(path.name, known)
    for name, shown in known.items():
        hint = hint.replace(repr(name), repr(shown))
    if path.parent == Path():
        end = hint or "; dense3d configs lists all"
        return ConfigError(f"{where}{path} is neither a file nor the name of a config{end}")
    if not hint and path.suffix != ".py":
        hint = "; configs are Python files whose name ends in .py"
    return ConfigError(f"{where}config file {config_name(path)} does not exist{hint}")
