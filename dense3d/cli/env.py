"""Print what a bug report needs.

Versions, devices, extras, and which operator serves where and why.
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has none."""


def run(arguments: argparse.Namespace) -> None:
    from dense3d.apis.environment import describe_environment

    for section in describe_environment():
        print(section, end="\n\n", flush=True)
