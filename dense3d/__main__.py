"""``python -m dense3d``, also for launchers: ``torchrun --nproc_per_node=8 -m dense3d train ...``."""

import sys

from dense3d.cli.dispatch import main

if __name__ == "__main__":
    sys.exit(main())
