"""A phantom, the real server over it in a process of its own, and pages of it in a real browser."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from transfer_function.browser.pages import Server, ToolPage
from transfer_function.browser.phantom import write_phantom

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SOFTWARE_GL = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--mute-audio")


@pytest.fixture(scope="session")
def chromium() -> Iterator:
    """A headless browser that draws WebGL2 on the CPU."""
    for package in ("nibabel", "skimage", "starlette", "uvicorn", "websockets"):
        pytest.importorskip(package)
    playwright = pytest.importorskip("playwright.sync_api")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser: install Debian's chromium, or another of {', '.join(BROWSERS)}")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=found, args=SOFTWARE_GL)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> Path:
    return write_phantom(tmp_path_factory.mktemp("phantom") / "phantom.nii.gz")


@pytest.fixture(scope="module")
def server(phantom, repository) -> Iterator[Server]:
    """`dense3d transfer-function` over the phantom."""
    environment = os.environ | {"PYTHONPATH": str(repository), "PYTHONUNBUFFERED": "1"}
    server = Server([sys.executable, "-m", "dense3d", "transfer-function", str(phantom)], environment)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def tool(chromium, server) -> Iterator[ToolPage]:
    """A page with one class and no marks, its 3D picture drawn; it must not report errors."""
    server.undo_all(and_add_class=True)
    tool = ToolPage(chromium, server)
    tool.open()
    yield tool
    tool.close()
    assert not tool.errors
