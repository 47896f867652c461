#!/usr/bin/env python3
from dense3d.cli.dispatch import tool

if __name__ == "__main__":
    raise SystemExit(tool("eval-depth"))
