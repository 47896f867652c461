"""Make the pictures of docs/transfer-function-page.md, and print how quick the page is, in a real browser.

    uv run --all-extras docs/make_transfer_function_pictures.py ../shared/data/volumes/ct_body_tall/ct.nii.gz

The volume is the CT of the body that TotalSegmentator's repository has for its tests (Apache-2.0). Marks are
those of :data:`STRUCTURES`; a person makes them by looking, here they stand as voxels. Without ``--out`` the
pictures go to docs/images. Printed are the frames a second while the 3D view turns, and the times from the
event of a click until the scores of all three slices have arrived, until their overlay is drawn (a pixel a
voxel, on a canvas over each slice), until the next animation frame has ended, and until WebGL has drawn the
full slices; the browser draws on the CPU. On a busy machine all of that takes longer than it is worked on, so
that the server's processor time of a click and the load are printed, too.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PAGES = Path(__file__).resolve().parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# as without a graphics card: WebGL by SwiftShader, and the page's layers put together on the CPU, too
FLAGS = ("--no-sandbox", "--enable-unsafe-swiftshader", "--disable-gpu-compositing")
SECONDS = 120
# from the event of a click until then
STEPS = {
    "message_ms": "scores of three slices arrived",
    "overlay_ms": "overlay drawn",
    "frame_ms": "next animation frame ended",
    "click_ms": "full slices drawn by WebGL",
}

# name -> voxels (R, A, S) of ct_body_tall; the last is what belongs to none
STRUCTURES = {
    "liver": [(85, 50, 105), (98, 55, 85), (72, 70, 100)],
    "spleen": [(20, 35, 105), (14, 38, 98)],
    "right kidney": [(78, 36, 95), (82, 44, 82)],
    "left kidney": [(39, 37, 95), (30, 46, 82)],
    "bladder": [(60, 50, 20), (62, 44, 12)],
    "background": [
        *((110, 30, 60), (20, 15, 20), (47, 30, 60), (57, 48, 95), (55, 40, 95), (35, 62, 60), (5, 95, 60)),
        *((60, 75, 60), (60, 20, 20), (92, 45, 55), (33, 60, 90), (100, 50, 62), (60, 30, 25), (60, 62, 8)),
    ],
}


class Page:
    """The page in a browser."""

    def __init__(self, page: Any, address: str, server: int) -> None:
        self.page, self.server = page, server
        page.goto(address)
        self.settle()

    @property
    def facts(self) -> dict[str, Any]:
        return self.page.evaluate("() => window.dense3d?.facts ?? {}")

    def wait(self, condition: Any) -> None:
        end = time.monotonic() + SECONDS
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(str(self.facts))
            self.page.wait_for_timeout(20)

    def settle(self) -> None:
        """Until the page shows the newest revision in full."""

        def settled() -> bool:
            facts = self.facts
            current = facts.get("ready") and facts["revision"] == facts["current"] and facts["settled"]
            return current and facts["volume"]["still"]

        self.page.wait_for_timeout(200)
        self.wait(settled)

    def processor(self) -> float:
        """Milliseconds that the server has computed so far; 0 where the system does not tell."""
        status = Path(f"/proc/{self.server}/stat")
        ticks = status.read_text().rsplit(")", 1)[1].split()[11:13] if status.exists() else [0, 0]
        return 1000 * sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

    def click(self, voxel: tuple) -> tuple[float, ...]:
        """A click in the axial slice; milliseconds of :data:`STEPS`, and of computing till then."""
        self.page.locator(".axial .pane-slider").fill(str(voxel[2]))
        self.settle()
        self.page.mouse.move(*self.point("axial", voxel))
        self.page.wait_for_timeout(300)
        clicks, before = self.facts["clicks"], self.processor()
        self.page.mouse.down()
        self.page.mouse.up()
        self.page.wait_for_timeout(300)  # asking would take the browser time
        self.wait(lambda: self.facts["clicks"] > clicks)
        facts, computed = self.facts, self.processor() - before
        self.settle()
        return *(facts[step] for step in STEPS), computed

    def point(self, plane: str, voxel: tuple) -> tuple[float, float]:
        code = "([plane, voxel]) => window.dense3d.screen(plane, voxel)"
        return tuple(self.page.evaluate(code, [plane, list(voxel)]))

    def turn(self, seconds: float = 5.0) -> tuple[float, float]:
        """Drag in the 3D view; frames a second, and the side of a frame as a share of the pane's."""
        box = self.page.locator(".pane.volume").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        start, frames, step = time.monotonic(), self.facts["volume"]["frames"], 0
        while time.monotonic() - start < seconds:
            step += 1
            self.page.mouse.move(x + 100 * ((step % 40) / 20 - 1), y)
            self.page.wait_for_timeout(25)
        took, facts = time.monotonic() - start, self.facts["volume"]
        self.page.mouse.up()
        return (facts["frames"] - frames) / took, facts["scale"]


def name_class(page: Page, number: int, name: str) -> None:
    field = page.page.locator(".class input.name").nth(number)
    field.fill(name)
    field.press("Enter")


def work(page: Page, out: Path) -> None:
    """Marks, pictures and figures."""
    times = []
    for number, (name, voxels) in enumerate(STRUCTURES.items()):
        if name == "background":
            page.page.keyboard.press("0")
        else:
            if number:
                page.page.keyboard.press("n")
                page.wait(lambda n=number: page.page.locator(".class input.name").count() == n + 1)
            page.settle()
            name_class(page, number, name)
        times += [page.click(voxel) for voxel in voxels]
    *steps, computed = zip(*times)
    print(f"{len(times)} clicks, milliseconds, median and quickest; load {os.getloadavg()[0]:.0f}")
    for name, taken in zip(STEPS.values(), steps):
        print(f"  {name}: {statistics.median(taken):.0f}, {min(taken):.0f}")
    print(f"  the server computed till then: {statistics.median(computed):.0f}, {min(computed):.0f}")
    page.page.keyboard.press("1")
    page.page.locator(".coronal .pane-slider").fill("42")
    page.page.locator(".axial .pane-slider").fill("95")
    page.page.locator(".sagittal .pane-slider").fill("80")
    page.page.get_by_label("Look from the front").click()
    page.page.mouse.move(2, 2)
    page.settle()
    page.page.wait_for_timeout(6000)  # messages and tooltips go
    save(page, out / "transfer-function_page.png")
    rate, scale = page.turn()
    print(f"3D view while turning: {rate:.1f} frames/s at {100 * scale:.0f} % of the pane's side")
    page.settle()
    page.page.keyboard.press("f")
    page.page.get_by_label("Volume", exact=True).select_option("CT soft tissue")
    page.page.mouse.move(2, 2)
    page.page.get_by_label("Look from the front").click()
    page.settle()
    page.page.wait_for_timeout(6000)
    save(page, out / "transfer-function_3d.png")


def save(page: Page, path: Path) -> None:
    """A PNG without the last bit of each colour, which keeps it small."""
    from PIL import Image

    page.page.screenshot(path=path)
    picture = Image.open(path).convert("RGB").resize((1152, 720), Image.Resampling.LANCZOS)
    picture.point([value & 0xFC for value in range(256)] * 3).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("volume", type=Path, help="ct_body_tall/ct.nii.gz of the sample data")
    parser.add_argument("--out", type=Path, default=PAGES / "images")
    parser.add_argument("--browser", default=next(filter(None, map(shutil.which, BROWSERS)), None))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "dense3d",
            "transfer-function",
            str(arguments.volume),
            "--no-browser",
        ]
        command += ["--port", "0", "--session", f"{folder}/session.json"]
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        try:
            address = next(line.split()[1] for line in server.stdout if line.startswith("open http"))
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=arguments.browser, args=FLAGS)
                page = browser.new_page(viewport={"width": 1440, "height": 900})
                work(Page(page, address, server.pid), arguments.out)
                browser.close()
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
