"""Every shell and Python block of README and the pages runs, on few images and iterations."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pages.blocks import REPOSITORY, Block, blocks, pages

CALL = Path(__file__).with_name("call.py")
PYTHON = f'exec "{sys.executable}"'
# What the blocks call beside dense3d. Environments are made and tests are run elsewhere.
STUBS = {
    "dense3d": f'{PYTHON} -S -E "{CALL}" "$DENSE3D_SERVER" "$@"',
    "block": f'{PYTHON} -S -E "{CALL}" "$DENSE3D_SERVER" python "$@"',
    "python": f'[ "$2" = venv ] && mkdir -p "$3/bin" && : > "$3/bin/activate" && exit 0\n{PYTHON} "$@"',
    "uv": 'shift\nwhile [ "${1#-}" != "$1" ]; do case $1 in --extra) shift;; esac; shift; done\nexec "$@"',
    "torchrun": 'while [ "$1" != dense3d ]; do shift; done\nexec "${@:1:$#-2}"',  # without --launcher NAME
    "srun": 'while [ "$1" != dense3d ]; do shift; done\nexec "${@:1:$#-2}"',
    "pytest": 'for path; do [ -e "$path" ] || [ "${path#-}" != "$path" ] || exit 1; done',
    "pip": "exit 0",
    "ruff": "exit 0",
}


def identity(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


@pytest.fixture(scope="module")
def stubs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bin")
    for name, script in STUBS.items():
        (folder / name).write_text(f"#!/bin/bash\n{script}\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def environment(stubs) -> Iterator[dict[str, str]]:
    """Variables of a shell that finds the stubs, while the server behind ``dense3d`` runs."""
    path = f"{REPOSITORY}:{REPOSITORY / 'tests'}"
    found = dict(os.environ, PATH=f"{stubs}:{os.environ['PATH']}", PYTHONPATH=path, COLUMNS="200")
    found["DENSE3D_SERVER"] = str(stubs / "socket")
    server = subprocess.Popen([sys.executable, "-m", "pages.server", found["DENSE3D_SERVER"]], env=found)
    try:
        while not (stubs / "socket").exists():
            assert server.poll() is None, "the server ended"
            time.sleep(0.1)
        yield found
    finally:
        server.kill()
        server.wait()


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, environment) -> Path:
    """A folder with what a reader has: photographs, clouds and the runs of two small configs."""
    folder = tmp_path_factory.mktemp("reader")
    for config in ("dino_r18_synthetic-coco", "mask2former_r18_synthetic-panoptic"):
        run(folder, environment, f"dense3d train {config}")
    images = sorted((folder / "data/synthetic/coco_160x128/val2017").glob("*.jpg"))
    for name in ("photos", "others"):
        (folder / name).mkdir()
        for number, image in enumerate(images):
            shutil.copy(image, folder / name / f"{number}.jpg")
    shutil.copy(images[0], folder / "photo.jpg")
    (folder / "clouds").mkdir()
    for name, seed in (("cloud.ply", 0), ("room.ply", 1), ("clouds/first.ply", 2), ("clouds/second.ply", 3)):
        points = np.random.default_rng(seed).random((600, 3))
        header = ["ply", "format ascii 1.0", f"element vertex {len(points)}"]
        header += [*(f"property float {axis}" for axis in "xyz"), "end_header"]
        rows = [" ".join(f"{value:.4f}" for value in point) for point in points]
        (folder / name).write_text("\n".join([*header, *rows, ""]))
    for name in ("tests", "projects"):
        (folder / name).symlink_to(REPOSITORY / name)
    return folder


def run(folder: Path, environment: dict[str, str], script: str) -> None:
    done = subprocess.run(
        ["bash", "-ec", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{script}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


@pytest.mark.parametrize("page", pages(), ids=identity)
def test_shell_blocks_run(page, workplace, environment):
    code = "".join(block.code for block in blocks(page) if block.language == "shell")
    if code:
        run(workplace, environment, code)


@pytest.mark.parametrize("page", pages(), ids=identity)
def test_python_blocks_run(page, workplace, environment):
    code = "".join(b.code for b in blocks(page) if b.language == "python" and not b.is_fragment)
    if code:
        (workplace / "block.py").write_text(code)
        run(workplace, environment, "block block.py")


FRAGMENTS = [(p, b) for p in pages() for b in blocks(p) if b.language == "python" and b.is_fragment]


@pytest.mark.parametrize(
    "page, block", FRAGMENTS, ids=lambda v: identity(v) if isinstance(v, Path) else str(v.line)
)
def test_fragments_of_configs_are_sound(page: Path, block: Block, tmp_path):
    from dense3d.config import check_config, load_config
    from dense3d.config.types import find_type
    from dense3d.registry import MODELS

    for name in block.types:
        assert find_type(name, "mmdet", None) is not None, name
    if block.is_elided:
        return
    if "backbone = dict(" in block.code.splitlines()[0]:
        settings: dict = {}
        exec(block.code, settings)
        MODELS.build(settings["backbone"])
        return
    base = "" if "_base_" in block.code else f"_base_ = {block.base!r}\n"
    assert base or "_base_" in block.code, f"{page}:{block.line} names no base"
    (tmp_path / "config.py").write_text(base + block.code)
    check_config(load_config(tmp_path / "config.py"))
