"""Strategies that change sound input: trees of JSON, bytes of files, and lists of words."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

Path = tuple[str | int, ...]

NAN, INFINITY = float("nan"), float("inf")
# What stands in files where something else should: other types, numbers out of any range, near misses.
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 7, 255, 256, 2**31, 2**53 + 1, 2**63, 10**30, -(10**400),
    0.5, -0.0, 1e-300, 1e10, 1e30, 1e308, NAN, INFINITY, -INFINITY,
    "", " ", "0", "12", "-3.5", "nan", "true", "null", "a\nb", "\x00", "../../a", "/etc/passwd", "é\u202e",
    "x" * 3000,
    [], {}, [[]], [None], [0], ["1"], {"id": 1}, [[[1, 2], [3, 4]]], {"": None},
)  # fmt: skip


def leaves_and_nodes(tree: Any, path: Path = ()) -> Iterator[Path]:
    """Paths of all nodes of a JSON tree, the root's ``()`` among them."""
    yield path
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield from leaves_and_nodes(value, (*path, key))


def get(tree: Any, path: Path) -> Any:
    """The node at a path."""
    for key in path:
        tree = tree[key]
    return tree


def replaced(tree: Any, path: Path, value: Any) -> Any:
    """The tree, changed in place, with another node at a path; ``()`` gives the new node."""
    if not path:
        return value
    get(tree, path[:-1])[path[-1]] = value
    return tree


@st.composite
def mutated(
    draw: st.DrawFn, document: Any, most: int = 3, least: int = 1, values: Sequence[Any] = ODD_VALUES
) -> Any:
    """A copy of a JSON tree with some mutations at places that are drawn evenly over its kinds of fields.

    Args:
        document: the sound tree of dicts, lists and scalars; it stays as it is.
        most, least: how many mutations.
        values: odd values to put in; those of one's own format added to :data:`ODD_VALUES` find more.

    Returns:
        The strategy of trees.
    """
    tree = copy.deepcopy(document)
    for _ in range(draw(st.integers(least, most))):
        tree = _mutate(draw, tree, values)
    return tree


def _mutate(draw: st.DrawFn, tree: Any, values: Sequence[Any]) -> Any:
    path = draw(st.sampled_from(_evenly(tree)))
    node = get(tree, path)
    change = draw(st.sampled_from(_changes(tree, path)))
    if change == "odd":
        return replaced(tree, path, copy.deepcopy(draw(st.sampled_from(values))))
    if change == "nudge":
        return replaced(tree, path, draw(st.sampled_from(_nudges(node))))
    if change == "wrap":
        return replaced(tree, path, draw(st.sampled_from([[node], {"value": node}])))
    if change == "shuffle":
        return replaced(tree, path, draw(st.permutations(node)))
    if change == "elsewhere":  # what stands at another place, as after a wrong copy and paste
        return replaced(tree, path, copy.deepcopy(get(tree, draw(st.sampled_from(_evenly(tree))))))
    parent = get(tree, path[:-1])
    if change == "remove":
        del parent[path[-1]]
    elif change == "repeat":
        parent.insert(path[-1], copy.deepcopy(node))
    elif change == "rename":
        parent[draw(st.sampled_from([path[-1] + "s", path[-1].upper(), path[-1][:-1], " " + path[-1]]))] = (
            parent.pop(path[-1])
        )
    return tree


def _changes(tree: Any, path: Path) -> list[str]:
    node = get(tree, path)
    changes = ["odd", "odd", "wrap", "elsewhere"]
    changes += ["nudge", "nudge"] if _nudges(node) else []
    changes += ["shuffle"] if isinstance(node, list) and len(node) > 1 else []
    if path:
        changes += ["remove", "rename" if isinstance(path[-1], str) else "repeat"]
    return changes


def _nudges(node: Any) -> list[Any]:
    """Values near to a scalar: of another type, sign, size or case."""
    if isinstance(node, bool):
        return [not node, int(node), str(node)]
    if isinstance(node, (int, float)) and abs(node) < 2**62:
        return [str(node), float(node), -node, node + 1, node - 1, node * 1000, node / 1000, [node]]
    if isinstance(node, str):
        return [node + " ", node.upper(), node[:-1], node + "\n", node * 2, "/" + node, "../" + node]
    return []


def _evenly(tree: Any) -> list[Path]:
    """Places, few of each kind: a list of a thousand numbers does not hide a single name."""
    kinds: dict[Path, list[Path]] = {}
    for path in leaves_and_nodes(tree):
        kinds.setdefault(tuple("*" if isinstance(key, int) else key for key in path), []).append(path)
    return [path for paths in kinds.values() for path in (paths[0], paths[len(paths) // 2], paths[-1])]


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """A file's bytes, cut, flipped, overwritten, repeated or with something put before or behind."""
    change = draw(st.sampled_from(["cut", "flip", "fill", "repeat", "before", "behind", "newlines", "empty"]))
    at = draw(st.integers(0, max(0, len(content) - 1)))
    if change == "cut":
        return content[:at]
    if change == "flip":
        return content[:at] + bytes([content[at] ^ (1 << draw(st.integers(0, 7)))]) + content[at + 1 :]
    if change == "fill":
        filling = draw(st.sampled_from([b"\x00", b"\xff", b" ", b"9"]))
        return content[:at] + filling * min(16, len(content) - at) + content[at + 16 :]
    if change == "repeat":
        return content[:at] + content[at : at + 32] + content[at:]
    if change == "before":
        return draw(st.sampled_from([b"\xef\xbb\xbf", b"\xff\xfe", b"\x00", b"\n", b"#\n"])) + content
    if change == "behind":
        return content + draw(st.sampled_from([b"\x00", b"\n\n", b"}", b"\xff", content]))
    return content.replace(b"\n", b"\r\n") if change == "newlines" else b""
