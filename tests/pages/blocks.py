"""The code blocks of the pages, with the markers that tell how a test runs them.

A comment ``<!-- block: s|OLD|NEW| ... -->`` in the line above a block replaces words when it is tested, for
instance a placeholder by a config, or many seeds by two. ``<!-- block: base=NAME -->`` names the config that
a fragment of a config belongs to.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(
    r"(?:^<!-- block: (?P<marker>[^\n]*) -->\n)?^```(?P<language>bash|sh|python)[^\n]*\n(?P<code>.*?)^```$",
    re.M | re.S,
)
_REPLACEMENT = re.compile(r"s\|([^|]*)\|([^|]*)\|")


@dataclass(frozen=True)
class Block:
    """One block: its language, its code after the replacements, its first line in the page, its base."""

    language: str
    code: str
    line: int
    base: str | None

    @property
    def is_fragment(self) -> bool:
        """Whether it is a part of a config: nothing but settings."""
        body = ast.parse(self.code).body
        return all(isinstance(node, ast.Assign) and _is_setting(node) for node in body)

    @property
    def is_elided(self) -> bool:
        """Whether ``...`` or a name of the reader's stands where something is filled in."""
        tree = ast.parse(self.code)
        own = {"dict", *(name.id for name in ast.walk(tree) if _is_name(name, ast.Store))}
        return any(
            (isinstance(node, ast.Constant) and node.value is ...)
            or (_is_name(node, ast.Load) and node.id not in own)
            for node in ast.walk(tree)
        )

    @property
    def types(self) -> list[str]:
        """Names of types that a fragment writes."""
        keywords = (
            n for n in ast.walk(ast.parse(self.code)) if isinstance(n, ast.keyword) and n.arg == "type"
        )
        return [n.value.value for n in keywords]


def pages() -> list[Path]:
    """Every page with a block; the examples of docs/adding.md have a test of their own."""
    found = [
        *(
            REPOSITORY / name
            for name in ("README.md", "CONTRIBUTING.md", "data/README.md", "tests/golden/README.md")
        ),
        *sorted((REPOSITORY / "docs").glob("*.md")),
        *sorted((REPOSITORY / "projects").glob("**/*.md")),
    ]
    return [page for page in found if page.name != "adding.md" and blocks(page)]


def blocks(page: Path) -> list[Block]:
    """The shell and Python blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        marker, code = match["marker"] or "", match["code"]
        for old, new in _REPLACEMENT.findall(marker):
            assert old in code, f"{page}: the marker replaces {old!r}, which the block has not"
            code = code.replace(old, new)
        base = re.search(r"base=(\S+)", marker)
        language = "python" if match["language"] == "python" else "shell"
        line = text.count("\n", 0, match.start("code"))
        found.append(Block(language, code, line, base and base[1]))
    return found


def _is_setting(node: ast.Assign) -> bool:
    """``name = dict(...)`` or ``name = "text"``."""
    value = node.value
    return isinstance(value, ast.Constant) or (
        isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "dict"
    )


def _is_name(node: ast.AST, context: type) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, context)
