"""Pickles and YAML files that data sets name: read as plain data, never run.

Unpickling calls whatever a file names, and so do YAML's Python tags. :func:`restrict_loading` has
``mmengine.fileio.load``, which reads the infos, proposals and results of mmengine's, mmdet's and mmseg's data
sets and metrics, build lists, dicts, NumPy arrays and mmengine's ``InstanceData``, and nothing else.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Callable
from typing import IO, Any

from mmengine.fileio.handlers import registry_utils
from mmengine.fileio.handlers.pickle_handler import PickleHandler
from mmengine.fileio.handlers.yaml_handler import YamlHandler

from dense3d.errors import DataError

_REMEDY = "write the file as JSON, or with lists, dicts, numbers, text and NumPy arrays only"
_DAMAGE = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError,
    ImportError, OverflowError, MemoryError, RecursionError, AssertionError, NotImplementedError,
)  # fmt: skip
_BUILTINS = {
    "set",
    "frozenset",
    "bytearray",
    "complex",
    "slice",
    "range",
    "list",
    "dict",
    "tuple",
    "int",
    "float",
}
_BUILTINS |= {"str", "bool", "bytes", "object"}
_OTHERS = {
    ("copyreg", "_reconstructor"),  # makes an instance of a class that was found, by protocols 0 and 1
    ("collections", "OrderedDict"),
    ("collections", "defaultdict"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("mmengine.structures.instance_data", "InstanceData"),
    ("mmengine.structures.base_data_element", "BaseDataElement"),
}
_OF_ARRAYS = {"multiarray": ("_reconstruct", "scalar"), "numeric": ("_frombuffer",)}
_OLD_NAMES = {"__builtin__": "builtins", "copy_reg": "copyreg"}


class _RefusedError(DataError):
    """A pickle names something that is not plain data."""


class PlainUnpickler(pickle.Unpickler):
    """An unpickler that finds classes of plain data only."""

    def find_class(self, module: str, name: str) -> Any:
        """The class or function that a pickle names.

        Raises:
            DataError: it is none that builds plain data.
        """
        module = _OLD_NAMES.get(module, module)
        if (module, name) == ("_codecs", "encode"):
            return _latin1
        package, _, part = module.rpartition(".")
        of_arrays = package in ("numpy.core", "numpy._core") and name in _OF_ARRAYS.get(part, ())
        if of_arrays:
            return _of_numpy(part, name)
        is_builtin = module == "builtins" and name in _BUILTINS
        if is_builtin or (module, name) in _OTHERS or _is_scalar(module, name):
            return super().find_class(module, name)
        raise _RefusedError(f"it names {module}.{name}, and a pickle can run any code")

    def persistent_load(self, pid: Any) -> Any:
        """Objects outside of the file.

        Raises:
            DataError: always.
        """
        raise _RefusedError("it refers to objects outside of the file")


def load_plain(file: IO[bytes], name: str, **options: Any) -> Any:
    """The plain data of a pickle.

    Args:
        file: open file.
        name: of the file, for messages.
        **options: of ``pickle.Unpickler``, such as ``encoding``.

    Raises:
        DataError: the file is damaged or wants more than plain data to be built.

    Example:
        >>> load_plain(io.BytesIO(pickle.dumps({"data_list": [1, 2]})), "infos.pkl")
        {'data_list': [1, 2]}
        >>> load_plain(io.BytesIO(pickle.dumps(print)), "infos.pkl")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        dense3d.errors.DataError: infos.pkl was refused: it names builtins.print, and a pickle can run ...
    """
    try:
        return PlainUnpickler(file, **options).load()
    except _RefusedError as error:
        raise DataError(f"{name} was refused: {error}; {_REMEDY}") from None
    except _DAMAGE as error:
        text = (str(error) or type(error).__name__).splitlines()[0][:120]
        raise DataError(f"{name} is damaged or no pickle ({text}); make or copy it again") from None


def restrict_loading() -> None:
    """Have mmengine and the libraries on it load plain data only; cheap, and idempotent."""
    handlers = registry_utils.file_handlers
    if not isinstance(handlers["pkl"], _PlainPickleHandler):
        handlers["pkl"] = handlers["pickle"] = _PlainPickleHandler()
        handlers["yaml"] = handlers["yml"] = _SafeYamlHandler()
    for name, attribute, stand_in in _DOORS:
        module = sys.modules.get(name)
        if module is not None and not isinstance(getattr(module, attribute), stand_in):
            setattr(module, attribute, stand_in())


class _PlainPickleHandler(PickleHandler):
    def load_from_fileobj(self, file: IO[bytes], **kwargs: Any) -> Any:
        return load_plain(file, _name_of_loaded("the pickle"), **kwargs)


class _SafeYamlHandler(YamlHandler):
    def load_from_fileobj(self, file: IO[str], **kwargs: Any) -> Any:
        import yaml

        try:
            return yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except yaml.YAMLError as error:
            place = getattr(error, "problem_mark", None)
            where = f" (line {place.line + 1})" if place is not None else ""
            what = getattr(error, "problem", None) or str(error).splitlines()[0]
            name = _name_of_loaded("the YAML file")
            raise DataError(f"{name} is no YAML of plain data: {what}{where}; correct it") from None


def _name_of_loaded(otherwise: str) -> str:
    """The file that ``mmengine.fileio.load`` was called with; its handlers are given the content only."""
    name = sys._getframe(2).f_locals.get("file")
    return name if isinstance(name, str) else otherwise


class _Pickle:
    """The module ``pickle`` as mmseg's loading of volumes uses it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(pickle, name)

    @staticmethod
    def loads(content: bytes) -> Any:
        return load_plain(io.BytesIO(content), "the pickle")


class _NumPy:
    """NumPy as mmdet's OpenImages uses it: ``np.load`` of a hierarchy, with pickles allowed."""

    def __getattr__(self, name: str) -> Any:
        import numpy

        return getattr(numpy, name)

    @staticmethod
    def load(file: str, *args: Any, allow_pickle: bool = False, **kwargs: Any) -> Any:
        import numpy

        try:
            return numpy.load(file, *args, allow_pickle=False, **kwargs)
        except (ValueError, EOFError) as error:
            raise DataError(
                f"{file} was refused: {error}, and a pickle can run any code; save it as an array of numbers"
            ) from None


_DOORS: tuple[tuple[str, str, type], ...] = (
    ("mmseg.utils.io", "pickle", _Pickle),
    ("mmdet.datasets.openimages", "np", _NumPy),
)


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """``codecs.encode`` for what protocol 2 writes for bytes."""
    if encoding != "latin1":
        raise _RefusedError(f"it names the encoding {encoding!r}")
    return text.encode("latin1")


def _of_numpy(part: str, name: str) -> Callable:
    """NumPy's own function, whatever this version calls its module."""
    import numpy

    return getattr(getattr(getattr(numpy, "_core", None) or numpy.core, part), name)


def _is_scalar(module: str, name: str) -> bool:
    import numpy

    kind = getattr(numpy, name, None) if module == "numpy" else None
    return isinstance(kind, type) and issubclass(kind, (numpy.generic,))
