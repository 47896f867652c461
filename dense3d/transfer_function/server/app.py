"""The web application: a page, its state and bytes, one websocket a page, downloads and uploads."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import mimetypes
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from dense3d.errors import DataError, Dense3dError
from dense3d.files import inside
from dense3d.optional import require
from dense3d.transfer_function import exporting, importing
from dense3d.transfer_function.exporting import FORMATS
from dense3d.transfer_function.server.desk import Desk, OpenRequest
from dense3d.transfer_function.server.guard import Guard, TooLarge
from dense3d.transfer_function.server.hub import MOST_TABS, OTHER_VOLUME, Hub
from dense3d.transfer_function.server.pictures import number, png, scene_of, slice_picture
from dense3d.transfer_function.server.protocol import MAX_SIDE
from dense3d.transfer_function.server.state import slopes_histogram, volume_bytes
from dense3d.transfer_function.server.tab import Tab
from dense3d.transfer_function.workspace import Workspace

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.websockets import WebSocket

WEB = files("dense3d.transfer_function") / "web"
Endpoint = Callable[["Request"], Awaitable["Response"]]


class ExportRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body of an export."""

    format: str
    classes: list[int] | None = None


def make_app(shown: Hub | Desk, host: str = "127.0.0.1", token: str | None = None) -> Starlette:
    """The application of one workspace, or of the volumes of a folder.

    Args:
        shown: what pages show.
        host: that the server is bound to, by which it may be asked.
        token: that requests need where that is no loopback address.
    """
    require("starlette", "the web server")
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.routing import Route, WebSocketRoute

    desk = shown if isinstance(shown, Desk) else Desk(shown)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await desk.start()
        try:
            yield
        finally:
            await desk.stop()

    routes = _Routes(desk)
    return Starlette(
        routes=[
            Route("/", routes.page),
            Route("/static/{name}", routes.static),
            Route("/api/state", routes.state),
            Route("/api/volume", routes.volume),
            Route("/api/maps", routes.maps),
            Route("/api/slice", routes.slice),
            Route("/api/render", routes.render),
            Route("/api/pick", routes.pick),
            Route("/api/histogram", routes.histogram),
            Route("/api/unsure", routes.unsure),
            Route("/api/files", routes.files),
            Route("/api/open", routes.open, methods=["POST"]),
            Route("/api/export/formats", routes.formats),
            Route("/api/export", routes.export, methods=["POST"]),
            Route("/api/import", routes.upload, methods=["POST"]),
            WebSocketRoute("/ws", routes.websocket),
        ],
        middleware=[Middleware(Guard, host=host, token=token)],
        exception_handlers={
            HTTPException: _told,
            Dense3dError: _told,
            TooLarge: _told,
            Exception: _failed,
        },
        lifespan=lifespan,
    )


class _Routes:
    """What the addresses answer."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._bytes: dict[str, Any] = {}  # of the open volume, by what they are
        self._importing, self._drawing = asyncio.Lock(), asyncio.Lock()

    @property
    def hub(self) -> Hub:
        """Of the open volume."""
        return self.desk.hub

    @property
    def workspace(self) -> Workspace:
        """The open volume and its marks."""
        return self.hub.workspace

    async def page(self, request: Request) -> Response:
        return _file("index.html")

    async def static(self, request: Request) -> Response:
        return _file(request.path_params["name"])

    async def state(self, request: Request) -> Response:
        if not self.desk.is_open:
            return _json(b'{"type":"state","volume":null}')
        return _json(self.hub.state_text())

    async def volume(self, request: Request) -> Response:
        shape = _words(self.workspace.working.shape)
        return _bytes(await self._kept("volume", volume_bytes), {"X-Shape": shape})

    async def histogram(self, request: Request) -> Response:
        found = await self._kept("histogram", slopes_histogram)
        ends = f"{found.low:.9g} {found.high:.9g} {found.steepest:.9g}"
        picture = found.picture()
        headers = {"X-Shape": _words(picture.shape[::-1]), "X-Range": ends}
        return _bytes(picture.tobytes(), headers)

    async def _kept(self, name: str, make: Callable[[Workspace], Any]) -> Any:
        """What is made of a volume once."""
        workspace = self.workspace
        if self._bytes.get("of") is not workspace:
            self._bytes = {"of": workspace}
        kept = self._bytes
        if name not in kept:
            kept[name] = await asyncio.to_thread(make, workspace)
        return kept[name]

    async def files(self, request: Request) -> Response:
        fields = request.query_params
        if "name" not in fields:
            return _json(msgspec.json.encode(await asyncio.to_thread(self.desk.files)))
        wanted = _checked({"name": fields["name"], "raw": fields.get("raw")}, OpenRequest)
        return _json(msgspec.json.encode(await asyncio.to_thread(self.desk.header, wanted)))

    async def open(self, request: Request) -> Response:
        await self.desk.open(_read(await request.body(), OpenRequest, "no request to open a volume"))
        return _json(msgspec.json.encode({"opened": self.hub.workspace.volume.name, "key": self.hub.key}))

    async def maps(self, request: Request) -> Response:
        from starlette.responses import StreamingResponse

        maps = self.hub.maps
        headers = {
            "X-Revision": str(maps.revision),
            "X-Shape": _words(maps.shape),
            "X-Class-Ids": _words(maps.ids),
        }
        return StreamingResponse(maps.bytes(), media_type="application/octet-stream", headers=headers)

    async def slice(self, request: Request) -> Response:
        axis, index = _whole(request, "axis", 0, 2), _whole(request, "index", 0, 2**31)
        width = _whole(request, "width", 1, MAX_SIDE, None)
        overlay = bool(_whole(request, "overlay", 0, 1, 1))
        fields = request.query_params
        ends = [number(fields, name, 0.0, -1e12, 1e12) for name in ("low", "high")]
        window = tuple(ends) if "low" in fields and "high" in fields else None
        picture = await asyncio.to_thread(
            lambda workspace: png(slice_picture(workspace, axis, index, width, overlay, window)),
            self.workspace,
        )
        return _bytes(picture, {}, "image/png")

    async def render(self, request: Request) -> Response:
        workspace = self.workspace
        scene = scene_of(workspace, request.query_params)
        picture = await self._draw(lambda: workspace.renderer().render(scene).png())
        return _bytes(picture, {}, "image/png")

    async def pick(self, request: Request) -> Response:
        workspace = self.workspace
        scene = scene_of(workspace, request.query_params)
        x, y = (number(request.query_params, name, 0.0, 0.0, MAX_SIDE) for name in ("x", "y"))
        found = await self._draw(lambda: workspace.renderer().pick(scene, x, y))
        if found is None:
            return _json(b"null")
        factors, shape = workspace.factors, workspace.volume.shape
        voxel = [min(i * f + f // 2, n - 1) for i, f, n in zip(found.voxel, factors, shape)]
        return _json(msgspec.json.encode({"class": found.class_id, "voxel": voxel}))

    async def unsure(self, request: Request) -> Response:
        return _json(msgspec.json.encode(await self._draw(self.workspace.next_click)))

    async def _draw(self, draw: Callable[[], Any]) -> Any:
        async with self._drawing:  # one picture at a time: each takes all cores
            return await asyncio.to_thread(draw)

    async def formats(self, request: Request) -> Response:
        listed = [
            {"format": name, "label": one.label, "suffix": one.suffix}
            for name, one in exporting.offered(self.workspace).items()
        ]
        return _json(msgspec.json.encode(listed))

    async def export(self, request: Request) -> Response:
        workspace = self.workspace
        wanted = _read(await request.body(), ExportRequest, "no export")

        def write() -> bytes:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "file"
                with _without_folder():
                    exporting.export(workspace, path, wanted.format, wanted.classes)
                return path.read_bytes()

        content = await asyncio.to_thread(write)
        stem = workspace.volume.name.split(".")[0] or "volume"
        stem = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in stem)[:80]
        name = f"{stem}{FORMATS[wanted.format].suffix}"
        return _bytes(content, {"Content-Disposition": f'attachment; filename="{name}"'})

    async def upload(self, request: Request) -> Response:
        workspace = self.workspace
        role = request.query_params.get("role", "segmentation")
        if role not in ROLES:
            raise DataError(f"an import is one of {', '.join(ROLES)}, not {role[:40]!r}")
        with tempfile.TemporaryDirectory() as folder:
            name = request.query_params.get("name", "")
            if re.search(r"[/\\]", name) or len(name.encode()) > 200:
                raise DataError("import: name is that of a file, without folders and of at most 200 bytes")
            path = inside(folder, name, "import")
            async with self._importing:  # one at a time: each may need the memory of the volume
                with path.open("wb") as file:
                    async for part in request.stream():
                        file.write(part)
                with _without_folder():
                    done = await asyncio.to_thread(ROLES[role], workspace, path)
        return _json(msgspec.json.encode({"step": done, "revision": workspace.revision}))

    async def websocket(self, websocket: WebSocket) -> None:
        from starlette.websockets import WebSocketDisconnect

        hub = self.desk.hub if self.desk.is_open else None
        if hub is not None and len(hub.tabs) >= MOST_TABS:
            await websocket.close(4429, f"{MOST_TABS} pages are open; close one")
            return
        await websocket.accept()
        if hub is None or websocket.query_params.get("volume", hub.key) != hub.key:
            await websocket.close(OTHER_VOLUME, "another volume is open")
            return
        tab = Tab(websocket)
        hub.join(tab)
        sending = asyncio.create_task(tab.send_all())
        try:
            while not sending.done():
                message = await websocket.receive()
                if message["type"] != "websocket.receive":
                    break
                hub.receive(tab, message.get("text") or message.get("bytes") or "")
        except (WebSocketDisconnect, RuntimeError):
            pass  # the page went
        finally:
            hub.leave(tab)
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError, OSError):
                await sending


def _read(body: bytes, kind: type, otherwise: str) -> Any:
    """The JSON object of a body."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise DataError(f"this is {otherwise}: {str(error)[:200]}") from error


def _checked(fields: dict[str, Any], kind: type) -> Any:
    """The same of a query."""
    try:
        return msgspec.convert(fields, kind)
    except msgspec.MsgspecError as error:
        raise DataError(f"this names no volume: {str(error)[:200]}") from error


def _reference(workspace: Workspace, path: Path) -> str | None:
    importing.load_reference(workspace, path)
    return None


ROLES: dict[str, Callable[[Workspace, Path], str | None]] = {
    "segmentation": importing.import_segmentation,
    "reference": _reference,
    "session": importing.import_session,
    "transfer_function": importing.import_transfer_function,
}


@contextlib.contextmanager
def _without_folder() -> Iterator[None]:
    """Sentences name the file alone: where the server keeps it for a moment is nobody's business."""
    try:
        yield
    except Dense3dError as error:
        raise DataError(re.sub(r"[^\s']*/tmp\w+/", "", str(error))) from error


async def _told(request: Request, error: Exception) -> Response:
    """A sentence for what is wrong with a request."""
    status = getattr(error, "status_code", 413 if isinstance(error, TooLarge) else 400)
    text = getattr(error, "detail", None) or str(error)
    return _json(msgspec.json.encode({"message": text}), status)


async def _failed(request: Request, error: Exception) -> Response:
    logging.getLogger(__name__).exception("%s failed", request.url.path, exc_info=error)
    message = f"the server failed at this ({type(error).__name__}); it goes on, and your work is kept"
    return _json(msgspec.json.encode({"message": message}), 500)


def _file(name: str) -> Response:
    from starlette.exceptions import HTTPException

    path = WEB / name
    if "/" in name or "\\" in name or name.startswith(".") or not path.is_file():
        raise HTTPException(404, "there is no such file")
    kind = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0]
    return _bytes(path.read_bytes(), {}, kind or "application/octet-stream")


def _bytes(content: bytes, headers: dict[str, str], kind: str = "application/octet-stream") -> Response:
    from starlette.responses import Response

    return Response(content, media_type=kind, headers=headers)


def _json(content: str | bytes, status: int = 200) -> Response:
    from starlette.responses import Response

    return Response(content, status, media_type="application/json")


def _whole(request: Request, name: str, low: int, high: int, default: int | None = -1) -> Any:
    """A whole number of the query; ``default`` -1: it has to be there."""
    text = request.query_params.get(name)
    if text is None and default != -1:
        return default
    if (
        text is None
        or not text.isascii()
        or not text.isdecimal()
        or len(text) > 10
        or not low <= int(text) <= high
    ):
        raise DataError(f"{name} is a whole number from {low} to {high}, not {str(text)[:20]!r}")
    return int(text)


def _words(numbers: Any) -> str:
    return " ".join(str(int(number)) for number in numbers)
