"""Write the weights of a found network as a checkpoint: ``python projects/vit_resnas/export.py --help``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # for dense3d of a clone, and projects

from dense3d.cli.common import add_config, add_config_options, command

EPILOG = (
    "example: python projects/vit_resnas/export.py CONFIG epoch_120.pth network_def.json --out subnet.pth"
)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    own = argparse.ArgumentParser(description=__doc__.split(":")[0], epilog=EPILOG)
    add_config(own)
    own.add_argument("checkpoint", help="of the supernet")
    own.add_argument("network_def", help="file that search.py has written")
    own.add_argument("--out", type=Path, required=True, metavar="FILE", help="the checkpoint")
    add_config_options(own)
    return own


@command
def main() -> None:
    """Slice, and write."""
    arguments = parser().parse_args()
    from dense3d.apis.building import build_model, checked_config
    from dense3d.config import parse_options
    from dense3d.engine.checkpoint import save_checkpoint
    from dense3d.errors import ConfigError
    from dense3d.files import require_writable_file
    from projects.vit_resnas.classifiers import SupernetClassifier
    from projects.vit_resnas.network_def import from_network_def, read_network_def
    from projects.vit_resnas.slicing import sliced_classifier

    definition = read_network_def(arguments.network_def)
    cfg = checked_config(arguments.config, parse_options(arguments.cfg_options))
    require_writable_file(arguments.out)
    model = build_model(cfg, arguments.checkpoint)
    if not isinstance(model, SupernetClassifier):
        raise ConfigError(f"{cfg.filename}: the model is a {type(model).__name__}, not a SupernetClassifier")
    network = from_network_def(model.backbone.space, definition)
    one = sliced_classifier(model.backbone, model.state_dict(), network, model.num_classes)
    state = {name: value.clone() for name, value in one.state_dict().items()}
    save_checkpoint({"state_dict": state, "meta": {"dataset_meta": model.dataset_meta}}, arguments.out)
    print(
        f"{arguments.out}: {sum(value.numel() for value in state.values())} numbers, for ImageClassifier with"
    )
    print(f"backbone=dict(type='ViTResNAS', arch={model.backbone.space.arch(network)})")


if __name__ == "__main__":
    raise SystemExit(main())
