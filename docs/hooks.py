"""What the site adds to the pages: files that live elsewhere in the repository, their links mended."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r"<!-- include (\S+) -->")
LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|#)([^)#\s]+)\)")

# File in the repository -> page of the site that shows it.
PAGES = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "data/README.md": "data.md",
    "tests/golden/README.md": "golden-kits.md",
    "projects/README.md": "projects.md",
}


def on_page_markdown(markdown: str, page, config, files) -> str:
    """Replace ``<!-- include FILE -->`` by the file, links relative to it made those of the site."""
    return INCLUDE.sub(lambda match: included(match[1]), markdown)


def included(name: str) -> str:
    """Text of a file of the repository as a page."""
    source = ROOT / name

    def mend(link: re.Match) -> str:
        target = (source.parent / link[2]).resolve().relative_to(ROOT).as_posix()
        page = PAGES.get(target, target.removeprefix("docs/") if target.startswith("docs/") else None)
        return f"[{link[1]}]({page})" if page else f"{link[1]} (`{target}`)"

    return LINK.sub(mend, source.read_text(encoding="utf-8"))
