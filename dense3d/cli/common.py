"""What every command line shares: errors as one sentence with exit status 2, and common arguments."""

from __future__ import annotations

import argparse
import errno
import functools
import logging
import os
import re
import sys
from collections.abc import Callable

from dense3d.errors import Dense3dError
from dense3d.files import is_disk_full
from dense3d.optional import missing_library

LONGEST_WORD = 256  # characters of a word in a message
# What a path of the command line may be that no file can be read from or written to.
PLACES = {
    errno.ENOTDIR: "a part of this path is no folder",
    errno.EEXIST: "it is there already, and no folder",
    errno.EISDIR: "it is a folder",
    errno.ENOENT: "it does not exist",
    errno.EACCES: "you have no permission for it",
    errno.EPERM: "you have no permission for it",
    errno.EROFS: "the disk can only be read",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ELOOP: "its links lead in a circle",
}


def command(main: Callable[[], int | None]) -> Callable[[], int]:
    """Run a command line: its status, 2 after a :class:`Dense3dError` or a full disk, 130 after Ctrl-C.

    ``DENSE3D_TRACEBACK=1`` shows where an error came from.
    """

    @functools.wraps(main)
    def run() -> int:
        # What libraries warn of while they are imported concerns their authors; a run's log keeps the rest.
        logging.captureWarnings(True)
        logging.getLogger("py.warnings").addHandler(logging.NullHandler())
        try:
            return main() or 0
        except Dense3dError as error:
            if os.environ.get("DENSE3D_TRACEBACK"):
                raise
            print(f"error: {shortened(str(error))}", file=sys.stderr)
            return 2
        except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except OSError as error:
            if os.environ.get("DENSE3D_TRACEBACK"):
                raise
            if not is_disk_full(error):
                if error.errno not in PLACES or not error.filename:
                    raise
                print(f"error: {error.filename}: {PLACES[error.errno]}; name another place", file=sys.stderr)
                return 2
            place = f" for {error.filename}" if error.filename else ""
            print(f"error: no space is left on the disk{place}: free some and start again", file=sys.stderr)
            return 2
        except ImportError as error:
            sentence = missing_library(error)
            if sentence is None or os.environ.get("DENSE3D_TRACEBACK"):
                raise
            print(f"error: {sentence}", file=sys.stderr)
            return 2
        except (MemoryError, RuntimeError) as error:
            from dense3d.apis.prediction import is_out_of_memory

            if os.environ.get("DENSE3D_TRACEBACK") or not is_out_of_memory(error):
                raise
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            print(
                f"error: memory is not enough ({shortened(first)}): make the input or the batch smaller, or "
                "take another device",
                file=sys.stderr,
            )
            return 2
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130

    return run


def shortened(sentence: str) -> str:
    """A sentence whose words, names of files and what was typed, are no longer than a file's name may be.

    Example:
        >>> len(shortened("no file " + 300 * "x")), shortened("no file x")
        (101, 'no file x')
    """
    return re.sub(rf"\S{{{LONGEST_WORD},}}", lambda word: f"{word[0][:60]}...{word[0][-30:]}", sentence)


def add_config(parser: argparse.ArgumentParser) -> None:
    """The config: a file or a name."""
    parser.add_argument("config", help="config file, or the name of one that dense3d configs lists")


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """The checkpoint, or the word ``none``, which stands for no file."""
    parser.add_argument(
        "checkpoint",
        type=checkpoint_name,
        help="checkpoint file; none for a model that has no weights, such as semi-global matching",
    )


def checkpoint_name(text: str) -> str | None:
    """A checkpoint of a command line.

    Example:
        >>> checkpoint_name("epoch_12.pth"), checkpoint_name("none")
        ('epoch_12.pth', None)
    """
    return None if text == "none" else text


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """``--cfg-options``, as mmdet's users know it."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="override settings of the config, for instance train_dataloader.batch_size=4 "
        "model.backbone.model_name=convnext_tiny 'optim_wrapper.optimizer.betas=(0.9,0.95)'",
    )


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """``--launcher`` and the local rank that launchers pass on."""
    parser.add_argument(
        "--launcher",
        choices=("none", "pytorch", "slurm"),
        default="none",
        help="none: one process; pytorch: started by torchrun; slurm: started by srun (default: none)",
    )
    parser.add_argument("--local-rank", "--local_rank", type=int, default=0, help=argparse.SUPPRESS)


def set_local_rank(arguments: argparse.Namespace) -> None:
    """Hand the launcher's local rank to torch.distributed where the launcher did not."""
    os.environ.setdefault("LOCAL_RANK", str(arguments.local_rank))


def at_least_one(text: str) -> int:
    """A number of a command line that counts something.

    Example:
        >>> at_least_one("2")
        2
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)
