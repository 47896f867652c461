"""Making kits: seeded weights for an official model, a folder of its numbers, the compact form of a folder.

``python -m tests.golden.make KIT OUT`` writes the compact form of ``KIT``, which travels with the repository.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tests.golden.kit import GoldenKit, seeded_array

MOST_VALUES = 1024  # of one output of a compact kit
MOST_INPUT_BYTES = 400_000  # of all inputs of a compact kit, compressed


def seed_module(module, keep: Sequence[str] = (), scale: Sequence[tuple[str, float]] = ()) -> None:
    """Give the parameters and buffers of a ``torch.nn.Module`` the values that follow from their names.

    Args:
        module: the official model.
        keep: patterns of names that stay as they are, as integers and booleans do.
        scale: patterns of names with factors of their values; the last that fits counts.
    """
    import torch

    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point() and not _fits(name, keep):
                value = seeded_array(name, tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
                factors = [factor for pattern, factor in scale if fnmatch.fnmatch(name, pattern)]
                tensor.copy_(torch.from_numpy(np.asarray(value * (factors or [1])[-1])))


def write_kit(
    folder: str | Path,
    meta: Mapping,
    state: Mapping[str, np.ndarray],
    checks: Sequence[Mapping],
    keep: Sequence[str] = (),
) -> None:
    """Write a kit.

    Args:
        folder: where to; it may exist.
        meta: ``system``, ``source``, ``config``, ``notes`` and, where :func:`seed_module` had one, ``scale``.
        state: the official state dict after seeding.
        checks: ``name``, arrays of ``inputs`` and ``outputs`` by name, ``rtol``, ``atol`` and ``note`` each.
        keep: the patterns that :func:`seed_module` had.
    """
    kept = [name for name, value in state.items() if value.dtype.kind in "iub" or _fits(name, keep)]
    tensors = {f"keep/{name}": state[name] for name in kept}
    for check in checks:
        tensors |= {f"in/{check['name']}/{name}": value for name, value in check["inputs"].items()}
        tensors |= {f"out/{check['name']}/{name}": value for name, value in check["outputs"].items()}
    listed = [dict(c, inputs=sorted(c["inputs"]), outputs=sorted(c["outputs"])) for c in checks]
    params = [[name, list(value.shape), str(value.dtype)] for name, value in state.items()]
    _write(Path(folder), dict(meta, params=params, keep=kept, checks=listed), tensors)


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _write(folder: Path, meta: Mapping, tensors: Mapping[str, np.ndarray]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kit.json").write_text(json.dumps(meta))
    np.savez_compressed(folder / "tensors.npz", **tensors)


def compact(kit: GoldenKit, folder: str | Path) -> list[str]:
    """Write the compact form of a kit: inputs as they are, outputs thinned.

    As many checks as there is room for the inputs of, the smallest first; always the kit's first one, whose
    inputs serve the checks that have none, and those.

    Returns:
        Names of the checks that were left out.
    """
    sizes = [_compressed_bytes(kit, check) for check in kit.checks]
    order = [0, *sorted(range(1, len(sizes)), key=sizes.__getitem__)]
    room = np.cumsum([sizes[i] for i in order]) <= MOST_INPUT_BYTES
    chosen = {0, *(i for i, fits in zip(order, room) if fits or not sizes[i])}
    taken = [check for i, check in enumerate(kit.checks) if i in chosen]
    tensors = {name: value for name, value in kit.tensors.items() if name.startswith("keep/")}
    for check in taken:
        name = check["name"]
        tensors |= {f"in/{name}/{key}": value for key, value in kit.inputs(name).items()}
        tensors |= {f"out/{name}/{key}": thinned(value) for key, value in kit.outputs(name).items()}
    _write(Path(folder), dict(kit.meta, checks=taken), tensors)
    return [check["name"] for i, check in enumerate(kit.checks) if i not in chosen]


def _compressed_bytes(kit: GoldenKit, check: Mapping) -> int:
    return sum(len(zlib.compress(value.tobytes())) for value in kit.inputs(check["name"]).values())


def thinned(output: np.ndarray) -> np.ndarray:
    """Every k-th element along the longest axes, so that at most :data:`MOST_VALUES` are left.

    Example:
        >>> thinned(np.zeros((2, 256, 32))).shape
        (2, 16, 32)
    """
    while output.size > MOST_VALUES:
        axis = int(np.argmax(output.shape))
        output = output[(slice(None),) * axis + (slice(None, None, 2),)]
    return output


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the compact form of a golden kit.")
    parser.add_argument("kit", metavar="KIT", help="folder with kit.json and tensors.npz")
    parser.add_argument("out", metavar="OUT", help="folder to write")
    arguments = parser.parse_args()
    absent = compact(GoldenKit(arguments.kit), arguments.out)
    size = sum(file.stat().st_size for file in Path(arguments.out).iterdir())
    print(f"{arguments.out}: {size / 1000:.0f} kB; left out: {', '.join(absent) or 'nothing'}")


if __name__ == "__main__":
    main()
