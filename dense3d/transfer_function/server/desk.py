"""Which volume is open, and opening another one of its folder for all pages."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec

from dense3d.errors import DataError, Dense3dError
from dense3d.files import OutsideError, inside
from dense3d.transfer_function.server.folder import volumes_in
from dense3d.transfer_function.server.hub import Hub
from dense3d.transfer_function.session import SessionError
from dense3d.transfer_function.session_place import other_place, session_place
from dense3d.transfer_function.workspace import WORKING_LIMIT, Workspace


class OpenRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a page asks to open.

    Args:
        name: of a file or folder within the opened folder.
        frame: of a series, from 0.
        raw: layout of a file without a header, as the command takes it.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    frame: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] | None = None
    raw: Annotated[str, msgspec.Meta(max_length=200)] | None = None


class ConflictError(DataError):
    """What is not possible now, but may be later."""

    status_code = 409


class Desk:
    """The volume that is open, if any, and the folder that others are opened from.

    Args:
        hub: of the open volume; None: a page lets a person choose one first.
        folder: in which pages may open volumes; None: in none.
        opened: what the hub's volume is within the folder.
        options: of every workspace: ``limit``, ``method``, ``checkpoint``.
        announce: as of :class:`~.hub.Hub`.
    """

    def __init__(
        self,
        hub: Hub | None = None,
        folder: str | os.PathLike | None = None,
        opened: OpenRequest | None = None,
        options: dict[str, Any] | None = None,
        announce: Callable[[str], None] | None = None,
    ) -> None:
        self.folder = None if folder is None else Path(folder)
        self.options, self.announce = options or {"limit": WORKING_LIMIT}, announce
        self._hub = hub
        self._opening: str | None = None
        self._places: dict[OpenRequest, Path] = {}
        if hub is not None and opened is not None:
            hub.file = msgspec.to_builtins(opened)
            if hub.workspace.session_file is not None:
                self._places[_key(opened)] = hub.workspace.session_file.path

    @property
    def hub(self) -> Hub:
        """Of the open volume.

        Raises:
            ConflictError: none is open.
        """
        if self._hub is None:
            raise ConflictError("no volume is open yet: choose one of the list")
        return self._hub

    @property
    def is_open(self) -> bool:
        """Whether a volume is open."""
        return self._hub is not None

    async def start(self) -> None:
        """Start to compute."""
        if self._hub is not None:
            await self._hub.start()

    async def stop(self) -> None:
        """End the computing threads."""
        if self._hub is not None:
            await self._hub.stop()

    def close(self) -> None:
        """Save what the open volume's session file lacks."""
        if self._hub is not None:
            self._hub.workspace.close()

    # ------------------------------------------------------------------ the folder

    def files(self) -> dict[str, Any]:
        """The volumes of the folder, for a page."""
        folder = self._folder()
        try:
            found, more = volumes_in(folder)
        except OSError as error:
            raise DataError(f"the folder {folder.name} cannot be read: {error.strerror}") from error
        return {
            "folder": folder.resolve().name,
            "files": [msgspec.to_builtins(entry) for entry in found],
            "more": more,
            "opening": self._opening,
        }

    def header(self, wanted: OpenRequest) -> dict[str, Any]:
        """What a volume of the folder says of itself, without reading its samples."""
        from dense3d.datasets.volumes import RawLayout, volume_header

        path = self._path(wanted)
        with _Told(self._folder()):
            header = volume_header(path, raw=None if wanted.raw is None else RawLayout.parse(wanted.raw))
        return {
            "name": wanted.name,
            "format": header.format,
            "shape": header.shape,
            "spacing": header.spacing,
            "dtype": str(header.dtype),
            "frames": header.frames,
            "bytes": header.bytes * header.frames,
            "notes": header.notes,
        }

    def _folder(self) -> Path:
        if self.folder is None:
            raise DataError("this server shows a volume of a program; no folder is open to choose from")
        return self.folder

    def _path(self, wanted: OpenRequest) -> Path:
        folder = self._folder()
        try:
            path = inside(folder, wanted.name)
        except OutsideError as error:
            raise DataError(
                f"{wanted.name[:200]!r} is no file name, or leads out of the opened folder; choose one of "
                "the list"
            ) from error
        try:
            exists = path.is_file() or path.is_dir()  # no pipes, which one could wait for without end
        except OSError:
            exists = False
        if not exists:
            raise DataError(f"{wanted.name[:200]}: there is no such file or folder; look at the list again")
        return path

    # ------------------------------------------------------------------ opening

    async def open(self, wanted: OpenRequest) -> None:
        """Open a volume of the folder for all pages, in place of the present one, which is saved first.

        Raises:
            ConflictError: another one is being opened.
            DataError, ConfigError: it cannot be opened; the present volume stays.
        """
        path = self._path(wanted)
        if self._opening is not None:
            raise ConflictError(f"{self._opening[:200]} is being opened; wait for it")
        self._opening = wanted.name
        loop = asyncio.get_running_loop()

        def tell(done: float, what: str) -> None:
            loop.call_soon_threadsafe(self._tell, f"Opening {wanted.name}: {what}", done)

        try:
            hub = await asyncio.to_thread(self._opened, wanted, path, tell)
        except BaseException:
            self._tell("", 1.0)
            raise
        finally:
            self._opening = None
        old, self._hub = self._hub, hub
        await hub.start()
        if old is not None:
            await old.end_tabs()
            await old.stop()
            await asyncio.to_thread(old.workspace.close)
        if self.announce is not None:
            self.announce(f"{hub.workspace.volume.name} was opened from the page")

    def _tell(self, task: str, done: float) -> None:
        if self._hub is not None:
            report = {"type": "progress", "task": task, "done": done, "left_s": None}
            text = msgspec.json.encode({**report, "ready": self._hub.workspace.ready}).decode()
            for tab in self._hub.tabs:
                tab.show_progress(text)

    def _opened(self, wanted: OpenRequest, path: Path, tell: Callable[[float, str], None]) -> Hub:
        """In a thread: the new hub, with its session file; whatever fails leaves the present one as it is."""
        from dense3d.datasets.volumes import RawLayout, open_volume, volume_header

        old = None if self._hub is None else self._hub.workspace
        with _Told(self._folder()):
            if old is not None and old.session_file is not None and not old.session_file.saved:
                old.session_file.save()
            layout = None if wanted.raw is None else RawLayout.parse(wanted.raw)
            header = volume_header(path, raw=layout)
            size = f"{' x '.join(map(str, header.shape))} voxels of {header.dtype}"
            tell(0.1, size)
            volume = open_volume(path, frame=wanted.frame, raw=layout)
            tell(0.6, f"{size}, to working resolution")
            workspace = Workspace(volume, **self.options)
            self._keep(workspace, wanted, path, old)
            try:
                hub = Hub(workspace, self.announce)
            except BaseException:
                workspace.close()
                raise
        hub.file = msgspec.to_builtins(wanted)
        return hub

    def _keep(self, workspace: Workspace, wanted: OpenRequest, path: Path, old: Workspace | None) -> None:
        key = _key(wanted)
        place = self._places.get(key) or session_place(path, wanted.frame)
        if place is None:
            return
        held = old.session_file.path if old is not None and old.session_file is not None else None
        if held == place and old.identity == workspace.identity:
            old.close()  # the same volume again
            workspace.keep_in(place)
        else:
            try:
                if held == place:
                    raise SessionError("it belongs to the volume that is open")
                workspace.keep_in(place)
            except SessionError:
                place = other_place(place, workspace)
                workspace.keep_in(place)
        self._places[key] = place


def _key(wanted: OpenRequest) -> OpenRequest:
    return msgspec.structs.replace(wanted, frame=wanted.frame or 0)


class _Told:
    """Sentences for a page name files of the folder without the folder; other failures become sentences."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, MemoryError):
            raise DataError(
                "there is not enough memory to open it beside the present volume; end the server and start "
                "it with this one, or with a smaller --working-limit"
            ) from error
        if isinstance(error, OSError) and not isinstance(error, Dense3dError):
            raise DataError(f"it cannot be opened: {error.strerror or error}") from error
        if isinstance(error, Dense3dError):
            text = str(error)
            for folder in {f"{self.folder}{os.sep}", f"{self.folder.resolve()}{os.sep}"} - {f".{os.sep}"}:
                text = text.replace(folder, "")
            raise DataError(text) from error
