"""Starting the server: an address that is free, a browser that opens, work that is kept at the end."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import threading
import time
import webbrowser
from collections.abc import Callable

from dense3d.errors import ConfigError
from dense3d.optional import require
from dense3d.transfer_function.server.app import make_app
from dense3d.transfer_function.server.desk import Desk
from dense3d.transfer_function.server.guard import is_loopback, new_token
from dense3d.transfer_function.server.hub import Hub
from dense3d.transfer_function.server.protocol import MAX_MESSAGE
from dense3d.transfer_function.workspace import Workspace

PORT = 8765
TRIED = 20  # ports from there on, where none is asked for
CONNECTIONS = 256


def serve(
    workspace: Workspace | Desk,
    host: str = "127.0.0.1",
    port: int | None = None,
    open_browser: bool = False,
    announce: Callable[[str], None] = print,
) -> None:
    """Serve a workspace until the process is interrupted.

    Args:
        workspace: what pages work on, or choose from; it is not closed at the end.
        host: address or name to listen on. On others than loopback, requests need a token.
        port: the first free one from 8765 on unless given; 0 takes any.
        open_browser: whether the page opens.
        announce: is told the address to open, once it answers, and how long preparations take.

    Raises:
        ConfigError: the port is in use, or the host is not this machine.
        MissingDependencyError: the packages of a web server are not installed.
    """
    require("websockets", "the web server")
    uvicorn = require("uvicorn", "the web server")
    bound = bind(host, port)
    token = None if is_loopback(host) else new_token()
    shown = workspace if isinstance(workspace, Desk) else Hub(workspace, announce)
    app = make_app(shown, host, token)
    config = uvicorn.Config(
        app,
        http="h11",
        log_level="warning",
        access_log=False,
        lifespan="on",
        server_header=False,
        proxy_headers=False,
        ws_max_size=MAX_MESSAGE,
        ws_per_message_deflate=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    # What is under way when it is told to end is cut off on purpose: no error to tell anybody.
    logging.getLogger("uvicorn.error").addFilter(lambda record: not server.should_exit)
    address = url(host, bound.getsockname()[1], token)

    def when_started() -> None:
        while not server.started and not server.should_exit:
            time.sleep(0.02)
        if server.started:
            announce(f"open {address}\nCtrl+C ends it and keeps the work")
            if open_browser:
                webbrowser.open(address)

    threading.Thread(target=when_started, daemon=True).start()
    with contextlib.closing(bound), contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[bound])


def url(host: str, port: int, token: str | None = None) -> str:
    """What to open in a browser.

    Example:
        >>> url("127.0.0.1", 8765), url("::1", 80), url("0.0.0.0", 80, "t")[-9:]
        ('http://127.0.0.1:8765/', 'http://[::1]:80/', '/?token=t')
    """
    if host in ("0.0.0.0", "::", ""):
        host = socket.gethostname()
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/{f'?token={token}' if token else ''}"


def bind(host: str, port: int | None) -> socket.socket:
    """A socket that listens on ``port``, or on the first free one from 8765 on.

    Raises:
        ConfigError: none is free, or the host is not this machine.
    """
    if port is not None and not 0 <= port <= 65535:
        raise ConfigError(f"--port {port}: ports are 0 to 65535")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError) as error:
        raise ConfigError(f"--host {host}: there is no such host; 127.0.0.1 is this machine alone") from error
    for one in range(PORT, PORT + TRIED) if port is None else [port]:
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((address[0], one, *address[2:]))
            bound.listen(128)
        except OSError as error:
            bound.close()
            if isinstance(error, PermissionError):
                raise ConfigError(f"--port {one}: you may not listen there; take one above 1023") from error
            if error.errno == errno.EADDRNOTAVAIL:
                raise ConfigError(f"--host {host} is no address of this machine; try 127.0.0.1") from error
            continue
        return bound
    which = f"{PORT} to {PORT + TRIED - 1} are" if port is None else f"{port} is"
    raise ConfigError(f"port {which} in use: name a free one by --port, or close the other program")
