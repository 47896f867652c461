"""Which module registers which name, read from the source, so that a registry imports only what is asked for.

The source of the package is the table: nothing has to be kept in step with it. Reading it takes some tens of
milliseconds, once a process, because only the lines of a registration are parsed:

    @MODELS.register_module()                            # the class or function that follows
    @MODELS.register_module(name=["Name", "OtherName"])
    MODELS.register_module("Name", module=SomeClass)     # at the top level of a module

Names that code computes while it runs cannot be seen here.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_IMPORT = re.compile(r"^from[ \t]+([\w.]+)[ \t]+import[ \t]+(\([^)]*\)|[^\n]*)", re.MULTILINE)
_CALL = re.compile(r"^([ \t]*)(@?)(\w+)\.register_module\(", re.MULTILINE)
_DEFINITION = re.compile(r"^[ \t]*(?:async[ \t]+)?(?:class|def)[ \t]+(\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Registration:
    """A name that a module registers: ``registry`` is the variable (``"MODELS"``) of the module ``home``."""

    home: str
    registry: str
    name: str
    force: bool = False


def registrations(source: str) -> list[Registration]:
    """The registrations of a module, in the order of the file.

    Example:
        >>> registrations("from dense3d.registry import MODELS\\n@MODELS.register_module()\\nclass Net: ...")
        [Registration(home='dense3d.registry', registry='MODELS', name='Net', force=False)]
    """
    if "register_module" not in source:
        return []
    variables = dict(_imported_registries(source))
    found = []
    for match in _CALL.finditer(source):
        indent, decorates, variable = match.groups()
        if variable in variables and (decorates or not indent):
            names, force = _decorated(source, match) if decorates else _called(source, match)
            found += [Registration(*variables[variable], name, force) for name in names]
    return found


def _imported_registries(source: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """The module's name of each registry that it imports, with the home and the name there."""
    for home, names in _IMPORT.findall(source):
        if home.endswith("registry"):
            for entry in re.sub(r"#[^\n]*", "", names.strip("()")).split(","):
                name, _, alias = entry.partition(" as ")
                yield (alias or name).strip(), (home, name.strip())


def _decorated(source: str, match: re.Match) -> tuple[list[str], bool]:
    definition = _DEFINITION.search(source, match.end())
    if definition is None:
        return [], False
    lines = source[match.start() : definition.start()]
    tree = _parsed(textwrap.dedent(lines).rstrip() + "\ndef f(): pass")
    call = tree.body[0].decorator_list[0] if tree else None
    return _names(call, definition[1]) if isinstance(call, ast.Call) else ([], False)


def _called(source: str, match: re.Match) -> tuple[list[str], bool]:
    """A call is over where its text first parses."""
    for end in re.finditer(r"\)", source[match.start() :]):
        tree = _parsed(source[match.start() : match.start() + end.end()])
        if tree is not None:
            return _names(tree.body[0].value, None)
    return [], False


def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except SyntaxError:
        return None


def _names(call: ast.Call, decorated: str | None) -> tuple[list[str], bool]:
    """Names of one ``register_module(name, force, module)``, whose default is that of the object."""
    values = dict(zip(("name", "force", "module"), call.args)) | {k.arg: k.value for k in call.keywords}
    name, module, force = values.get("name"), values.get("module"), values.get("force")
    try:
        names = ast.literal_eval(name) if name else None
    except ValueError:
        return [], False  # computed while the module runs
    if not names:
        names = module.id if isinstance(module, ast.Name) else getattr(module, "attr", decorated)
    names = [names] if isinstance(names, str) else list(names or ())
    return names, bool(getattr(force, "value", False))


def modules_below(folder: Path, package: str) -> Iterator[tuple[str, Path]]:
    """Names and files of the modules of a package in ``folder``, sorted.

    Folders without a Python file of their own are not entered: beside code there may be data.
    """
    entries = sorted(folder.iterdir())
    files = [entry for entry in entries if entry.suffix == ".py" and entry.is_file()]
    for file in files:
        yield (package if file.stem == "__init__" else f"{package}.{file.stem}"), file
    for below in entries if files else ():
        if below.name.isidentifier() and below.is_dir():
            yield from modules_below(below, f"{package}.{below.name}")
