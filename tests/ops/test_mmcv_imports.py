"""The stand-in for ``mmcv._ext`` beside imitations of mmcv and of its neighbours, each in a fresh process."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from dense3d import ops


def run_python(code: str, *folders: Path) -> subprocess.CompletedProcess:
    """Run ``code`` with ``folders`` in front of the installed packages."""
    head = f"import sys; sys.path[:0] = {[str(folder) for folder in folders]}\n"
    head += "from dense3d.ops import install_mmcv_extension; install_mmcv_extension()\n"
    # Python 3.12 and newer warn once, when they first compile a file, of odd escapes in mmdet's docstrings.
    run = [sys.executable, "-W", "ignore::SyntaxWarning", "-c", head + code]
    return subprocess.run(run, capture_output=True, text=True, timeout=300)


def write_package(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def test_installing_is_idempotent_and_imports_nothing_heavy():
    done = run_python(
        "install_mmcv_extension(); import sys\n"
        "print(sum(type(f).__name__ == 'MmcvFinder' for f in sys.meta_path))\n"
        "print([m for m in ('torch', 'numpy', 'mmcv', 'mmengine') if m in sys.modules])"
    )
    assert done.stdout.split("\n")[:2] == ["1", "[]"], done.stderr


def test_a_working_extension_is_used_as_it_is(tmp_path):
    mmcv = write_package(tmp_path, {"mmcv/__init__.py": "", "mmcv/_ext.py": "def nms(): return 'compiled'"})
    done = run_python(
        "import mmcv._ext, importlib.util\n"
        "print(mmcv._ext.nms(), mmcv._ext.__spec__.origin, hasattr(mmcv._ext, 'three_nn_forward'))\n"
        "from dense3d.ops import mmcv_extension_state; print(mmcv_extension_state())",
        mmcv,
    )
    file = tmp_path / "mmcv" / "_ext.py"
    expected = [f"compiled {file} False", f"mmcv's compiled extension at {file}"]
    assert done.stdout.splitlines() == expected, done.stderr


def test_an_extension_that_cannot_be_loaded_is_replaced(tmp_path):
    library = "mmcv/_ext" + sysconfig.get_config_var("EXT_SUFFIX")
    mmcv = write_package(tmp_path, {"mmcv/__init__.py": "", library: b"made for another torch"})
    done = run_python(
        "import importlib.util; print(importlib.util.find_spec('mmcv._ext').name)\n"
        "import mmcv._ext; print(callable(mmcv._ext.nms))\n"
        "from dense3d.ops import mmcv_extension_state; print(mmcv_extension_state())",
        mmcv,
    )
    lines = done.stdout.splitlines()
    assert lines[:2] == ["mmcv._ext", "True"], done.stderr
    assert lines[2].startswith("dense3d's stand-in, because mmcv's compiled extension cannot be loaded (")


def test_an_operator_without_implementation_is_named(tmp_path):
    mmcv = write_package(tmp_path, {"mmcv/__init__.py": ""})
    done = run_python("import mmcv._ext\nmmcv._ext.three_nn_forward(1, b=2)", mmcv)
    assert done.stderr.splitlines()[-1].startswith(
        "dense3d.errors.OperatorUnavailableError: mmcv's operator 'three_nn_forward' has no implementation"
    )


def test_an_mmpretrain_that_breaks_is_named_and_left_out(tmp_path):
    packages = write_package(
        tmp_path,
        {
            "mmpretrain/__init__.py": "",
            "mmpretrain/models/__init__.py": "raise TypeError('NoneType takes no arguments')",
            "onedl_mmpretrain-1.3.6.dist-info/METADATA": "Name: onedl-mmpretrain\nVersion: 1.3.6\n",
            "mmdet/__init__.py": "",
            "mmdet/models/__init__.py": (
                "try:\n    import mmpretrain.models\nexcept ImportError:\n    mmpretrain = None\n"
            ),
        },
    )
    done = run_python("import mmdet.models; print(mmdet.models.mmpretrain)", packages)
    assert done.stdout == "None\n", done.stderr
    assert "mmpretrain is installed (onedl-mmpretrain 1.3.6" in done.stderr
    assert "TypeError: NoneType takes no arguments" in done.stderr
    assert "pip uninstall onedl-mmpretrain" in done.stderr


def test_a_working_mmpretrain_stays_and_nothing_is_said(tmp_path):
    packages = write_package(
        tmp_path,
        {
            "mmpretrain/__init__.py": "",
            "mmpretrain/models/__init__.py": "classifier = 1",
            "mmdet/__init__.py": "",
            "mmdet/models/__init__.py": "from mmpretrain.models import classifier",
        },
    )
    done = run_python("import mmdet.models; print(mmdet.models.classifier)", packages)
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_only_the_onedl_lines_are_kept_off_the_console(tmp_path):
    printing = (
        "from mmengine.logging import print_log\n"
        "print_log('Could not import OneDL. Skipping OneDL datasets.')\n"
        "print_log('something else')\n"
    )
    packages = write_package(tmp_path, {"mmdet/__init__.py": "", "mmdet/datasets/__init__.py": printing})
    done = run_python(
        "import mmdet.datasets; from mmengine.logging import print_log\n"
        "print_log('Could not import OneDL, says somebody else')",
        packages,
    )
    assert done.stdout.splitlines() == ["something else", "Could not import OneDL, says somebody else"]


def test_hooked_modules_keep_their_own_loader(tmp_path):
    packages = write_package(tmp_path, {"mmdet/__init__.py": "", "mmdet/datasets/__init__.py": "x = 1"})
    done = run_python(
        "import mmdet.datasets as d, inspect, pkgutil\n"
        "print(type(d.__loader__).__name__, type(d.__spec__.loader).__name__, inspect.getsource(d))",
        packages,
    )
    assert done.stdout.split()[:2] == ["SourceFileLoader"] * 2, done.stderr
    assert done.stdout.endswith("x = 1\n\n")


def test_no_operator_hides_behind_a_module_of_its_name():
    folder = Path(ops.__file__).parent
    assert not [name for name in ops.__all__ if (folder / f"{name}.py").exists()]


def test_the_installed_libraries_import_quietly():
    pytest.importorskip("mmdet")
    done = run_python("import mmcv.ops, mmdet.models, mmseg.models, mmdet.datasets, mmseg.datasets")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
