"""Draw the floor plan of dense3d from its own imports: who stands on whom.

A room is a folder (or a module) of the package; more lines make it wider. It stands one floor above the
highest that it imports from when Python loads it; imports inside functions, which run late or never, do not
lift it. Arrows that follow from others are left out. Rooms that import each other in a circle are an error.

    python docs/floor_plan.py --out docs/images/floor_plan.png
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "dense3d"
GAP = 0.25  # between rooms, in units of a floor's height
PER_FLOOR = 5  # rooms beside each other before a floor breaks into two rows

Plan = dict[str, set[str]]  # room -> rooms that it imports


def room_of(module: str) -> str | None:
    """The room of a dotted module name; None outside the package and for the package itself.

    >>> room_of("dense3d.layers.mlp"), room_of("torch.nn"), room_of("dense3d")
    ('layers', None, None)
    """
    parts = module.split(".")
    return parts[1] if parts[0] == PACKAGE and len(parts) > 1 else None


def imported_modules(tree: ast.Module) -> list[str]:
    """Dotted names that a module imports when it is loaded, those for type checkers left out."""
    names: list[str] = []
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
    return names


def survey(root: Path) -> tuple[Plan, dict[str, int]]:
    """Which room imports which, and the lines of each."""
    plan: Plan = defaultdict(set)
    lines: dict[str, int] = defaultdict(int)
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root / PACKAGE).with_suffix("").parts
        if parts == ("__init__",):
            continue
        text = path.read_text(encoding="utf-8")
        lines[parts[0]] += text.count("\n")
        rooms = {room_of(name) for name in imported_modules(ast.parse(text))}
        plan[parts[0]] |= rooms - {None, parts[0]}
    known = set(lines)
    return {room: plan[room] & known for room in lines}, dict(lines)


def floors(plan: Plan) -> dict[str, int]:
    """The floor of each room: 0 for those that import nothing, else one above the highest import.

    Raises:
        ValueError: rooms import each other in a circle; the message names it.
    """
    found: dict[str, int] = {}

    def visit(room: str, above: tuple[str, ...]) -> int:
        if room in above:
            circle = (*above[above.index(room) :], room)
            raise ValueError(f"these import each other in a circle: {' -> '.join(circle)}")
        if room not in found:
            found[room] = 1 + max((visit(below, (*above, room)) for below in plan[room]), default=-1)
        return found[room]

    for room in plan:
        visit(room, ())
    return found


def direct_arrows(plan: Plan) -> list[tuple[str, str]]:
    """Imports that do not follow from others: the transitive reduction of the plan.

    >>> direct_arrows({"a": {"b", "c"}, "b": {"c"}, "c": set()})
    [('a', 'b'), ('b', 'c')]
    """

    def reach(room: str) -> set[str]:
        return plan[room].union(*(reach(below) for below in plan[room]))

    return [
        (room, below)
        for room in sorted(plan)
        for below in sorted(plan[room])
        if not any(below in reach(other) for other in plan[room] - {below})
    ]


def place(level: dict[str, int], lines: dict[str, int]) -> dict[str, tuple[float, float, float]]:
    """Left edge, height and width of every room: the wide ones in the middle of their floor."""
    spots: dict[str, tuple[float, float, float]] = {}
    height = 0.0
    for floor in range(max(level.values()) + 1):
        rooms = sorted((r for r in level if level[r] == floor), key=lambda r: -lines[r])
        for start in range(0, len(rooms), PER_FLOOR):
            row = rooms[start : start + PER_FLOOR]
            row = row[1::2] + row[::2][::-1] if len(row) > 2 else row
            widths = [max(1.4, 0.13 * len(room), (lines[room] / 700) ** 0.8) for room in row]
            left = -(sum(widths) + GAP * (len(row) - 1)) / 2
            for room, width in zip(row, widths):
                spots[room] = (left, height, width)
                left += width + GAP
            height += 1.5
    return spots


def draw(plan: Plan, lines: dict[str, int], out: Path) -> None:
    """Write the picture."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    level = floors(plan)
    spots = place(level, lines)
    figure, axes = plt.subplots(figsize=(11, 9))
    colours = plt.get_cmap("YlGnBu")
    for room, (left, bottom, width) in spots.items():
        shade = colours(0.12 + 0.45 * level[room] / max(level.values()))
        axes.add_patch(
            FancyBboxPatch((left, bottom), width, 0.7, "round,pad=0.04", fc=shade, ec="0.3", lw=0.8, zorder=2)
        )
        axes.text(left + width / 2, bottom + 0.43, room, ha="center", va="center", fontsize=9, zorder=3)
        size = f"{lines[room]:,} lines"
        axes.text(left + width / 2, bottom + 0.16, size, ha="center", fontsize=6.5, color="0.3", zorder=3)
    for room, below in direct_arrows(plan):
        (x1, y1, w1), (x2, y2, w2) = spots[room], spots[below]
        axes.add_patch(
            FancyArrowPatch(
                (x1 + w1 / 2, y1 - 0.05), (x2 + w2 / 2, y2 + 0.75), arrowstyle="-|>", mutation_scale=8,
                color="0.55", lw=0.8, zorder=1, connectionstyle="arc3,rad=0.04",
            )
        )  # fmt: skip
    axes.set_title("dense3d: a room stands on those that it imports", fontsize=11)
    axes.set_xlim(min(s[0] for s in spots.values()) - 0.5, max(s[0] + s[2] for s in spots.values()) + 0.5)
    axes.set_ylim(-0.4, max(s[1] for s in spots.values()) + 1.1)
    axes.axis("off")
    figure.tight_layout()
    figure.savefig(out, dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "floor_plan.png")
    arguments = parser.parse_args()
    plan, lines = survey(ROOT)
    draw(plan, lines, arguments.out)
    level = floors(plan)
    for floor in sorted(set(level.values()), reverse=True):
        print(f"floor {floor}: {', '.join(sorted(room for room in level if level[room] == floor))}")
    print(f"drawn to {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
