"""Print what a bug report needs.

Versions, devices, extras, and which operator serves where and why.
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sizes", action="store_true", help="only the size of each installed package")


def run(arguments: argparse.Namespace) -> None:
    if arguments.sizes:
        from dense3d.apis.installed_sizes import installed_sizes, sizes_table

        print(sizes_table(installed_sizes()))
        return
    from dense3d.apis.environment import describe_environment

    for number, section in enumerate(describe_environment()):
        print(f"\n{section}" if number else section, flush=True)
