"""Heavy or optional packages, imported where they are used, with an error that names the remedy."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.util
import sys
from types import ModuleType

from dense3d.errors import MissingDependencyError

# package -> the extra of dense3d that installs it (None: it is a core dependency)
EXTRAS = {
    "open3d": "pointcloud",
    "nerfstudio": "nerf",
    "gsplat": "splats",
    "deformops": "cuda",
    "onnx": "export",
    "onnxscript": "export",
    "nibabel": "volume",
    "nrrd": "volume",
    "SimpleITK": "volume",
    "tifffile": "volume",
    "skimage": "volume",
    "starlette": "volume",
    "uvicorn": "volume",
    "websockets": "volume",
    "pydicom": "dicom",
    "highdicom": "dicom",
    "zarr": "zarr",
    "h5py": "hdf5",
    "sklearn": "pointcloud",
    "laspy": "survey",
    "lazrs": "survey",
    "pye57": "survey",
    "viser": "view",
    "pycolmap": "sfm",
    "imageio_ffmpeg": "video",
}


def require(name: str, purpose: str = "") -> ModuleType:
    """Import the module ``name`` or say which command installs it.

    nerfstudio is to be imported through this function, since on Python 3.13 one of its imports is missing.

    Args:
        name: dotted module name, for instance ``"nerfstudio.cameras"``.
        purpose: what it is needed for, put into the message.

    Raises:
        MissingDependencyError: the package or a system library that it loads is missing.
    """
    package = name.split(".")[0]
    if package in ("open3d", "nerfstudio"):  # the second imports the first
        _preload_libusb()
    if package == "nerfstudio":
        _stand_in_for_fpsample()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != package:
            raise
        extra = EXTRAS.get(package)
        target = f"'dense3d[{extra}]'" if extra else package
        reason = f" (needed for {purpose})" if purpose else ""
        raise MissingDependencyError(
            f"the package {package!r} is not installed{reason}: pip install {target}"
        ) from error
    except (OSError, ImportError) as error:
        missing = missing_library(error, package)
        if missing is None:
            raise
        raise missing from error


def missing_library(error: Exception, package: str | None = None) -> MissingDependencyError | None:
    """The sentence about a shared library that an import did not find; None for any other failure.

    Args:
        error: what the import raised.
        package: what was imported; the error's own name unless given.
    """
    if ".so" not in str(error) or not isinstance(error, (OSError, ImportError)):
        return None
    library = str(error).split(":")[0]
    package = package or getattr(error, "name", None) or "an imported package"
    known = {
        "libusb-1.0.so.0": "pip install libusb-package",
        "libGL.so.1": "on Debian or Ubuntu: apt-get install libgl1",
        "libX11.so.6": "on Debian or Ubuntu: apt-get install libx11-6",
        "libgomp.so.1": "on Debian or Ubuntu: apt-get install libgomp1",
        "libEGL.so.1": "on Debian or Ubuntu: apt-get install libegl1",
    }
    remedy = known.get(library, f"install the system package that provides {library}")
    if package == "cv2":
        remedy = "pip install --force-reinstall --no-deps opencv-python-headless, which needs none"
    return MissingDependencyError(f"{package} needs the system library {library}, which is missing; {remedy}")


def _stand_in_for_fpsample() -> None:
    """nerfstudio imports ``fpsample``, which has no wheel for Python 3.13 and which one setting uses."""
    if "fpsample" not in sys.modules and importlib.util.find_spec("fpsample") is None:
        sys.modules["fpsample"] = importlib.import_module("dense3d.fpsample_stand_in")


def _preload_libusb() -> None:
    """Open3D links libusb-1.0.so.0, which bare machines lack; the libusb-package wheel carries it."""
    with contextlib.suppress(OSError):
        ctypes.CDLL("libusb-1.0.so.0", mode=ctypes.RTLD_GLOBAL)
        return
    with contextlib.suppress(ImportError, OSError):
        import libusb_package

        ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)
