#!/usr/bin/env python3
"""Macroscopic correlation of the boxes in a COCO annotation file: what relations could be learnt from."""

import argparse
import sys
from pathlib import Path

from dense3d.apis.command import command


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python tools/analyse_relations.py data/coco/annotations/instances_val2017.json",
    )
    parser.add_argument("annotations", metavar="ANNOTATION_JSON", help="COCO instances file")
    parser.add_argument("--out", metavar="DIR", help="for relations.png and relations.json "
                        "(default: work_dirs/relations/NAME)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    return parser.parse_args()


@command
def main() -> None:
    arguments = parse()
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


if __name__ == "__main__":
    sys.exit(main())
