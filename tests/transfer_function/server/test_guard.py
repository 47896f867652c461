"""Who may ask: own names only, own pages only, with the token where others reach the server."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.websockets import WebSocketDisconnect
from transfer_function.server.page import ADDRESS

from dense3d.transfer_function.server.guard import MAX_BODY, MAX_UPLOAD, Guard, is_loopback, new_token

TOKEN = "a-token-of-this-test"
COOKIE = Guard(None, "0.0.0.0", TOKEN).cookie_name


@pytest.fixture
def elsewhere(workspace):
    """A client of a server that other machines reach."""
    from starlette.testclient import TestClient

    from dense3d.transfer_function.server.app import make_app
    from dense3d.transfer_function.server.hub import Hub

    app = make_app(Hub(workspace), "0.0.0.0", TOKEN)
    with TestClient(app, base_url="http://192.168.1.5:8765", follow_redirects=False) as client:
        yield client


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:9999", "LOCALHOST", "[::1]:8765", "127.8.9.1"])
def test_own_names_are_served(client, host):
    assert client.get("/api/state", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.com", "127.0.0.1.evil.com", "192.168.1.5:8765", "localhost.evil.com:8765", "0.0.0.0", "[fe80::1]"],
)
def test_other_names_are_refused(client, host):
    """DNS rebinding: a page of evil.com whose name came to mean 127.0.0.1."""
    answer = client.get("/api/state", headers={"host": host})
    assert answer.status_code == 421 and "is not called" in answer.json()["message"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        # what a browser sends for a page of evil.com whose name came to mean 127.0.0.1: all its own
        ({"host": "evil.com:8765", "origin": "http://evil.com:8765", "sec-fetch-site": "same-origin"}, 421),
        ({"host": "evil.com:8765"}, 421),
        ({"origin": "http://evil.com", "sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"}, 403),
    ],
)
def test_no_route_serves_pages_of_others(client, workspace, headers, status):
    from starlette.routing import WebSocketRoute

    revision, sockets, paths = workspace.revision, 0, {"/none"}
    for route in client.app.routes:
        path = route.path.replace("{name}", "main.js")
        if not isinstance(route, WebSocketRoute):
            paths.add(path)
            continue
        sockets += 1
        with (
            pytest.raises(WebSocketDisconnect) as closed,
            client.websocket_connect(f"ws://127.0.0.1:8765{path}", headers=headers),
        ):
            pass
        assert closed.value.code == 4000 + status
    assert sockets == 1 and len(paths) > 12
    for path in paths:
        for method in ("GET", "POST", "HEAD", "OPTIONS"):
            assert client.request(method, path, headers=headers).status_code == status, (method, path)
    assert workspace.revision == revision


@pytest.mark.parametrize(
    "host", ["", "a b", "localhost:x", "localhost:8765, evil.com", "@localhost", "localhost/"]
)
def test_malformed_hosts_are_refused(client, host):
    assert client.get("/api/state", headers={"host": host}).status_code == 400


@pytest.mark.parametrize(
    "origin", ["http://evil.com", "null", "http://127.0.0.1:1", "file://", "http://localhost:8765"]
)
def test_pages_of_others_are_refused(client, origin):
    for method, path in (("GET", "/api/state"), ("POST", "/api/export"), ("POST", "/api/import")):
        answer = client.request(method, path, headers={"origin": origin})
        assert answer.status_code == 403 and "another server" in answer.json()["message"]
    with (
        pytest.raises(WebSocketDisconnect) as closed,
        client.websocket_connect(ADDRESS, headers={"origin": origin}),
    ):
        pass
    assert closed.value.code == 4403


def test_own_pages_are_served(client):
    own = {"origin": "http://127.0.0.1:8765"}
    assert client.get("/api/state", headers=own).status_code == 200
    with client.websocket_connect(ADDRESS, headers=own) as websocket:
        assert websocket.receive_json()["type"] == "state"


def test_pictures_are_not_shown_by_other_pages_but_links_work(client):
    for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)):
        headers = {"sec-fetch-site": site, "sec-fetch-mode": "no-cors"}
        assert client.get("/api/slice?axis=0&index=1", headers=headers).status_code == status
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.get("/", headers=link).status_code == 200


def test_every_answer_tells_the_browser_what_it_may_do(client):
    for path, status in (("/", 200), ("/api/state", 200), ("/none", 404), ("/api/slice", 400)):
        answer = client.get(path)
        assert answer.status_code == status
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers
    refused = client.get("/", headers={"host": "evil.com"})
    assert refused.headers["x-content-type-options"] == "nosniff"


def test_nothing_is_served_without_the_token(elsewhere):
    for path in (
        "/",
        "/static/main.js",
        "/api/state",
        "/api/volume",
        "/none",
        "/?token=",
        "/?token=wrong",
        "/?token=é",
    ):
        answer = elsewhere.get(path)
        assert answer.status_code == 401 and "?token=" in answer.json()["message"], path
    assert elsewhere.post("/api/export", json={"format": "nifti"}).status_code == 401
    assert elsewhere.get(f"/api/state?token={TOKEN}").status_code == 401  # only the page takes it
    for cookie in ("wrong", TOKEN + "x", TOKEN[:-1], ""):
        headers = {"cookie": f"{COOKIE}={cookie}"}
        assert elsewhere.get("/api/state", headers=headers).status_code == 401
    with (
        pytest.raises(WebSocketDisconnect) as closed,
        elsewhere.websocket_connect("ws://192.168.1.5:8765/ws"),
    ):
        pass
    assert closed.value.code == 4401


def test_the_token_opens_the_page_once_and_a_cookie_carries_it(elsewhere):
    answer = elsewhere.get(f"/?token={TOKEN}")
    assert answer.status_code == 303 and answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Path=/" in cookie
    assert elsewhere.get("/").status_code == 200  # the client keeps cookies
    with elsewhere.websocket_connect(
        "ws://192.168.1.5:8765/ws",
        headers={"cookie": cookie.split(";")[0], "origin": "http://192.168.1.5:8765"},
    ) as websocket:
        assert websocket.receive_json()["type"] == "state"


def test_elsewhere_names_are_checked_too(elsewhere):
    cookie = {"cookie": f"{COOKIE}={TOKEN}"}
    assert elsewhere.get("/api/state", headers={**cookie, "host": "10.0.0.7:80"}).status_code == 200
    assert elsewhere.get("/api/state", headers={**cookie, "host": "evil.com"}).status_code == 421


def test_two_servers_on_one_machine_have_cookies_of_their_own():
    assert Guard(None, "0.0.0.0", "other").cookie_name != COOKIE


def test_tokens_differ_and_are_long():
    assert new_token() != new_token() and len(new_token()) >= 32


def test_what_loopback_is():
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"))
    assert not any(
        is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.1", "name", "127.0.0.1.evil.com", "")
    )


def test_bodies_are_bounded(client):
    assert client.post("/api/export", content=b"x" * (MAX_BODY + 1)).status_code == 413
    assert client.get("/api/state", headers={"content-length": str(10**30)}).status_code == 400
    assert (
        client.post("/api/import?name=a.nii", headers={"content-length": str(MAX_UPLOAD + 1)}).status_code
        == 413
    )

    answer = client.post("/api/export", content=endless_part())
    assert answer.status_code == 413 and "too large" in answer.json()["message"]


def endless_part():
    """More than a body may have, in parts whose sum nobody states."""
    for _ in range(MAX_BODY // 2**18 + 1):
        yield b" " * 2**18


def test_uploads_without_a_length_are_bounded(client, monkeypatch):
    monkeypatch.setattr("dense3d.transfer_function.server.guard.MAX_UPLOAD", 2**19)
    answer = client.post("/api/import?name=a.nii.gz", content=endless_part())
    assert answer.status_code == 413


def test_a_guard_lets_the_server_start():
    seen = []

    async def application(scope, receive, send):
        seen.append(scope["type"])

    with ThreadPoolExecutor(1) as thread:  # which has no loop, unlike this one after tests in a browser
        thread.submit(asyncio.run, Guard(application)({"type": "lifespan"}, None, None)).result()
    assert seen == ["lifespan"]
