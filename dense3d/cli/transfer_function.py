"""Find structures of a volume by clicks, in the browser."""

from __future__ import annotations

import argparse
import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dense3d.cli.common import at_least_one

if TYPE_CHECKING:
    from dense3d.transfer_function.server.desk import Desk
    from dense3d.transfer_function.workspace import Workspace

EPILOG = (
    "examples: dense3d transfer-function ct.nii.gz; dense3d transfer-function dicom_folder --port 9000 "
    "--no-browser; dense3d transfer-function scan.raw --raw 512x512x300:uint16:0.5x0.5x1"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "volume",
        nargs="?",
        help="NIfTI, NRRD, MetaImage, NumPy, OME-Zarr or raw file, TIFF stack, a folder of DICOM slices, "
        "or a folder of volumes, of which the page lets choose",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; other machines reach 0.0.0.0, with a token (default: 127.0.0.1)",
    )
    parser.add_argument("--port", type=int, help="default: the first free one from 8765 on")
    parser.add_argument("--no-browser", action="store_true", help="print the address, open nothing")
    parser.add_argument("--checkpoint", help="weights of an image backbone, for methods that look through it")
    parser.add_argument("--method", help="how marks are turned into structures; a wrong name lists them")
    parser.add_argument("--session", help="file that the work is kept in (default: beside the volume)")
    parser.add_argument("--frame", type=int, help="which volume of a series, from 0 (default: the first)")
    parser.add_argument(
        "--raw", metavar="LAYOUT", help="of a file without header: XxYxZ:TYPE[:SPACING][:big][:offset=N]"
    )
    parser.add_argument(
        "--working-limit",
        type=at_least_one,
        default=256,
        metavar="N",
        help="voxels that an axis has at most while structures are found (default: 256)",
    )


def run(arguments: argparse.Namespace) -> None:
    from dense3d.errors import ConfigError

    if arguments.volume is None:
        raise ConfigError(
            "name a volume: dense3d transfer-function ct.nii.gz; without one of your own, "
            "dense3d make-synthetic volumes data/synthetic/volumes writes phantoms"
        )
    from dense3d.transfer_function.server.folder import needs_choice
    from dense3d.transfer_function.server.running import serve

    with contextlib.closing((choice if needs_choice(arguments.volume) else desk)(arguments)) as shown:
        serve(shown, arguments.host, arguments.port, open_browser=not arguments.no_browser, announce=announce)
        kept = shown.is_open and shown.hub.workspace.session_file is not None
    print("saved" if kept else "ended")


def announce(sentence: str) -> None:
    """Tell the terminal at once."""
    print(sentence, flush=True)


def desk(arguments: argparse.Namespace) -> Desk:
    """The volume, open, and its folder to choose others from."""
    import dense3d
    from dense3d.transfer_function.server.desk import Desk, OpenRequest
    from dense3d.transfer_function.server.hub import Hub

    path = Path(os.path.abspath(arguments.volume))  # noqa: PTH100 - a link keeps its folder, ".." goes
    workspace = dense3d.transfer_function.open(
        arguments.volume, frame=arguments.frame, raw=arguments.raw, **options(arguments)
    )
    try:
        place = keep(workspace, arguments.volume, arguments.session, arguments.frame)
        describe(workspace, place)
        opened = OpenRequest(path.name, arguments.frame, arguments.raw)
        return Desk(Hub(workspace, announce), path.parent, opened, options(arguments), announce)
    except BaseException:
        workspace.close()
        raise


def choice(arguments: argparse.Namespace) -> Desk:
    """A folder of volumes, none of which is open yet."""
    from dense3d.errors import ConfigError
    from dense3d.transfer_function.methods import check_method
    from dense3d.transfer_function.server.desk import Desk

    for option in ("frame", "raw", "session"):
        if getattr(arguments, option) is not None:
            raise ConfigError(f"--{option} is of one volume, and {arguments.volume} is a folder of several")
    if arguments.method is not None:
        check_method(arguments.method, arguments.checkpoint)
    shown = Desk(folder=arguments.volume, options=options(arguments), announce=announce)
    print(f"{arguments.volume}: {len(shown.files()['files'])} volumes; the page asks which one")
    return shown


def options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Those of every workspace."""
    return {
        "limit": arguments.working_limit,
        "method": arguments.method,
        "checkpoint": arguments.checkpoint,
    }


def keep(workspace: Workspace, volume: str, session: str | None, frame: int | None = None) -> Path | None:
    """Open the session file: the one that was named, one beside the volume, or one in this folder.

    Each frame of a series has a session of its own.
    """
    from dense3d.files import require_writable_file
    from dense3d.transfer_function.session_place import session_place

    if session is not None:
        require_writable_file(session)
    place = session_place(volume, frame) if session is None else Path(session)
    if place is not None:
        workspace.keep_in(place)
    return place


def describe(workspace: Workspace, place: Path | None) -> None:
    """Say what was opened, at which resolution it is worked on, and where the work is kept."""
    volume, working = workspace.volume, workspace.working
    size = " x ".join(map(str, volume.shape))
    spacing = " x ".join(f"{length:.3g}" for length in volume.spacing)
    print(f"{volume.name}: {size} voxels of {spacing} mm, {volume.values.dtype}")
    if workspace.factors != (1, 1, 1):
        coarse = " x ".join(f"{length:.3g}" for length in working.spacing)
        print(
            f"worked on at {' x '.join(map(str, working.shape))} voxels of {coarse} mm; exports are full size"
        )
    for note in working.notes:
        print(f"note: {note}")
    if place is None:
        print(
            "note: nothing can be written beside the volume or here: name a place by --session to keep work"
        )
    else:
        steps = len(workspace.steps)
        print(f"work is kept in {place}" + (f": {steps} steps taken up" if steps else ""))
