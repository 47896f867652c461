"""Measure how the boxes of a COCO file relate.

The macroscopic correlation of the boxes in an annotation file: what relations could be learnt from.
"""

from __future__ import annotations

import argparse
from pathlib import Path

EPILOG = "example: dense3d analyse-relations data/coco/annotations/instances_val2017.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("annotations", metavar="ANNOTATION_JSON", help="COCO instances file")
    parser.add_argument("--out", metavar="DIR", help="for relations.png and relations.json "
                        "(default: work_dirs/relations/NAME)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")


def run(arguments: argparse.Namespace) -> None:
    import json

    from dense3d.apis import analyse_relations
    from dense3d.apis.relation_analysis import print_analysis

    out = Path(arguments.out or Path("work_dirs") / "relations" / Path(arguments.annotations).stem)
    analysis = analyse_relations(arguments.annotations, out)
    if arguments.json:
        print(json.dumps(analysis.to_dict(), indent=1))
    else:
        print_analysis(analysis)
        print(f"histogram: {out / 'relations.png'}")
