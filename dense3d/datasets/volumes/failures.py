"""What libraries say of a broken file, as one sentence that names the file."""

from __future__ import annotations

import contextlib
import logging
import re
import warnings
from collections.abc import Iterator

from dense3d.errors import DataError, Dense3dError

LOGGERS = ("tifffile", "nibabel.global", "pydicom")


@contextlib.contextmanager
def told_of(path: str, kind: str) -> Iterator[None]:
    """Turn whatever a reader raises into a sentence; warnings of libraries are not shown.

    Args:
        path: the file.
        kind: of file, for instance "NIfTI".

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with _quiet():
            yield
    except Dense3dError:
        raise
    except FileNotFoundError as error:
        missing = error.filename or path
        raise DataError(f"{path}: there is no file {missing}; check the path") from error
    except PermissionError as error:
        raise DataError(f"{path}: it may not be read; ask for the permission or copy it") from error
    except MemoryError as error:
        raise DataError(f"{path}: memory does not suffice; free some or open it with a limit") from error
    except Exception as error:
        raise DataError(
            f"{path}: it is no {kind} file that can be read ({reason(error)}); copy it again from where it "
            "came from or save it in another format"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Neither warnings nor log lines of libraries; what matters is in notes or in the sentence."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)


def reason(error: Exception, most: int = 120) -> str:
    """The first line of what an exception says.

    Example:
        >>> reason(ValueError("bad <class 'int'> here" + chr(10) + "more"))
        'bad int here'
    """
    text = re.sub(r"<class '([^']*)'>", r"\1", str(error)).replace(" object at 0x", " ")
    line = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    line = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", "?", line.replace("Traceback", "trace"))
    return line if len(line) <= most else line[: most - 3] + "..."
