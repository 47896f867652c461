"""Text files that list pairs of images, in the two forms that CroCo's training reads.

A line is ``path1 path2``, separated by a tab if a name contains spaces; or ``prefix``, which stands for
``prefix_1.jpg`` and ``prefix_2.jpg`` (the rendered pairs of CroCo v1). Paths are relative to a root folder.
Empty lines and those that begin with ``#`` say nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dense3d.errors import DataError
from dense3d.files import atomic_write

Pair = tuple[str, str]


def read_pairs(path: str | Path) -> list[Pair]:
    """The pairs of a list, as the file names them.

    Raises:
        DataError: the file is missing, no text, lists nothing, or a line does not hold one or two names.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "pairs.txt"
        >>> _ = file.write_text("# two forms\\na/0.png a/1.png\\nscene/00042\\n")
        >>> read_pairs(file)
        [('a/0.png', 'a/1.png'), ('scene/00042_1.jpg', 'scene/00042_2.jpg')]
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path} does not exist: dense3d make-pairs writes such a list") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a list of pairs ({error})") from None
    pairs = []
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        names = [name.strip() for name in line.split("\t")] if "\t" in line else line.split()
        if len(names) == 1:
            names = [f"{names[0]}_1.jpg", f"{names[0]}_2.jpg"]
        if len(names) != 2 or not all(names):
            raise DataError(
                f"{path}, line {number}: {line[:120]!r} is not 'path1 path2'; names that contain spaces are "
                "separated by a tab"
            )
        pairs.append((names[0], names[1]))
    if not pairs:
        raise DataError(f"{path} lists no pair")
    return pairs


def write_pairs(path: str | Path, pairs: Iterable[Pair]) -> None:
    """Write a list, whole or not at all.

    Args:
        path: the file.
        pairs: names relative to the root folder, with ``/`` between their parts.

    Raises:
        DataError: a name holds a tab or a line break, or begins with ``#``, or is empty.
    """
    lines = []
    for pair in pairs:
        for name in pair:
            if not name.strip() or name != name.strip() or name[0] == "#" or len(name.splitlines()) != 1:
                raise DataError(f"a list of pairs cannot hold the file name {name!r}: rename the file")
            if "\t" in name:
                raise DataError(f"a list of pairs cannot hold the file name {name!r}: rename the file")
        lines.append(("\t" if " " in "".join(pair) else " ").join(pair))
    with atomic_write(path, "w") as file:
        file.writelines(f"{line}\n" for line in lines)
