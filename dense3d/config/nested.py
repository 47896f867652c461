"""Keys of dicts without a type of their own, inside dicts with one: ``encoder=dict(num_layerxs=6)``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dense3d.config.reads import Reads


def unknown_keys(
    value: Any, reads: Reads, path: str, of_siblings: frozenset[str] = frozenset()
) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Keys that the code never reads: the path of their dict, the key, and those that it does read.

    Dicts with a type are left to the check of types; where the code cannot be followed, every key passes.
    ``of_siblings`` are keys that the code reads of the dicts beside this one, such as the stages of HRNet, of
    which the first has one number that only the others need.
    """
    if isinstance(value, (list, tuple)):
        if reads.elements and not reads.is_open:
            for number, item in enumerate(value):
                yield from unknown_keys(item, reads.of_elements, f"{path}.{number}")
        return
    if not isinstance(value, dict) or "type" in value or reads.is_open:
        return
    passes_all = reads.takes_any_key or reads.built or not reads.keys
    inner = {
        key: reads.at(key) for key, item in value.items() if isinstance(item, dict) and key in reads.keys
    }
    siblings = frozenset(key for one in inner.values() for key in one.keys)
    for key, item in value.items():
        if key in reads.keys:
            if isinstance(item, (dict, list, tuple)):
                yield from unknown_keys(item, inner.get(key) or reads.at(key), f"{path}.{key}", siblings)
        elif not passes_all and key not in of_siblings | {"_scope_", "_delete_"}:
            yield path, key, frozenset(reads.keys)
        elif reads.elements:
            yield from unknown_keys(item, reads.of_elements, f"{path}.{key}")
