"""From the words of a command line to the module of the subcommand."""

from __future__ import annotations

import argparse
import importlib
import runpy
import sys
from pathlib import Path
from types import ModuleType

import dense3d
from dense3d.cli.common import command
from dense3d.errors import ConfigError, did_you_mean

# A subcommand is the module of its name, with underscores.
GROUPS = {
    "models": ("train", "test", "infer", "export", "convert", "benchmark"),
    "configs and installation": ("configs", "env"),
    "data": (
        "browse",
        "check-data",
        "prepare",
        "make-synthetic",
        "make-pairs",
        "convert-panoptic",
        "analyse-relations",
    ),
    "stereo": ("rectify",),
    "volumes": ("transfer-function",),
    "radiance fields": ("fit-splats", "render-splats", "extract-grid"),
    "point clouds": ("few-shot", "probe-clouds", "probe-scenes", "draw-scenes"),
    "results": (
        "eval-kitti",
        "eval-panoptic",
        "eval-depth",
        "eval-boxes3d",
        "compare-runs",
        "compare-backbones",
    ),
    "early exit (ECO-M2F)": ("derive-depths", "exit-curve"),
}
COMMANDS = tuple(name for names in GROUPS.values() for name in names)
# Proofs of the library, which only a checkout has, as files in tools/ with a command line of their own.
TOOLS = Path(__file__).resolve().parents[2] / "tools"
PROOFS = {
    "verify-golden": "Compare with official implementations: a row per output.",
    "compatibility": "Try every backbone under every head; print the table.",
}


def main(words: list[str] | None = None) -> int:
    """Run ``dense3d WORDS`` (by default those of the process) and give its exit status."""
    words = sys.argv[1:] if words is None else list(words)
    if words and words[0] in COMMANDS:
        return run_command(words[0], words[1:], f"dense3d {words[0]}")
    return command(lambda: _other(words))()


def tool(name: str) -> int:
    """Run subcommand ``name`` with the words of the process under the name of its file in ``tools``."""
    return run_command(name, sys.argv[1:], None)


def run_command(name: str, words: list[str], prog: str | None) -> int:
    """Parse ``words`` for subcommand ``name`` and run it; ``prog`` is what its help calls itself."""
    module = _module(name)
    parser = argparse.ArgumentParser(
        prog=prog,
        description=module.__doc__,
        epilog=getattr(module, "EPILOG", None),
        formatter_class=argparse.RawDescriptionHelpFormatter
        if "\n" in getattr(module, "EPILOG", "")
        else argparse.HelpFormatter,
    )
    module.add_arguments(parser)
    if words.count("--") > 1:  # of the second one argparse makes an empty list
        parser.error("-- stands once, before the first positional argument")
    return command(lambda: module.run(parser.parse_args(words)))()


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"dense3d.cli.{name.replace('-', '_')}")


def _other(words: list[str]) -> int:
    """What is no subcommand of the library: proofs of a checkout, help, version, and misspelt names."""
    if words and words[0] in PROOFS:
        return _run_proof(words[0], words[1:])
    if words and not words[0].startswith("-"):
        known = [*COMMANDS, *_proofs()]
        hint = did_you_mean(words[0], known) or ";"
        raise ConfigError(f"there is no command {words[0]!r}{hint} dense3d --help lists all")
    parser = argparse.ArgumentParser(
        prog="dense3d",
        usage="dense3d COMMAND [...]",
        description=dense3d.__doc__,
        epilog=_listing(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"dense3d {dense3d.__version__}")
    parser.parse_args(words)
    parser.print_help()
    return 0


def _listing() -> str:
    """Every subcommand with its line."""
    groups = {title: {name: _summary(name) for name in names} for title, names in GROUPS.items()}
    if proofs := _proofs():
        groups["proofs (in a checkout)"] = proofs
    blocks = []
    for title, lines in groups.items():
        blocks.append("\n".join([f"{title}:", *(f"  {name:18}{line}" for name, line in lines.items())]))
    return "\n\n".join([*blocks, "dense3d COMMAND --help shows the arguments of one."])


def _summary(name: str) -> str:
    return _module(name).__doc__.partition("\n")[0]


def _proofs() -> dict[str, str]:
    return PROOFS if TOOLS.is_dir() else {}


def _run_proof(name: str, words: list[str]) -> int:
    path = TOOLS / f"{name.replace('-', '_')}.py"
    if not path.is_file():
        raise ConfigError(f"dense3d {name} runs code of the repository's tests: use it in a checkout")
    sys.argv = [str(path), *words]
    try:
        runpy.run_path(str(path), run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0
