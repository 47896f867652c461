"""Errors whose message is one sentence for a person: what is wrong, where, and what to do.

The command lines print them as ``error: ...`` and exit with status 2, without a traceback; from
Python they are ordinary exceptions. Each also derives from the built-in error that fits.
"""

from __future__ import annotations


class Dense3dError(Exception):
    """Base of all errors that the user can mend; the message names the file or item and the remedy."""


class ConfigError(Dense3dError, ValueError):
    """A configuration file, key, type or value is wrong."""


class DataError(Dense3dError, ValueError):
    """A data set, annotation file or sample is missing, broken or inconsistent."""


class CheckpointError(Dense3dError, RuntimeError):
    """A checkpoint is missing, unsafe, damaged or belongs to another model."""


class MissingDependencyError(Dense3dError, ImportError):
    """A package or a system library is not installed; the message names the command that brings it."""


class OperatorUnavailableError(Dense3dError, NotImplementedError):
    """An operator has no implementation on this machine; the message names it and the alternatives."""


class TrainingError(Dense3dError, RuntimeError):
    """Training cannot go on, for instance because the loss is not finite."""


def did_you_mean(word: str, known, limit: int = 3) -> str:
    """``"; did you mean 'a' or 'b'?"`` for the known names nearest to ``word``, or ``""``.

    Example:
        >>> did_you_mean("ResNeet", ["ResNet", "ViT"])
        "; did you mean 'ResNet'?"
        >>> did_you_mean("zzz", ["ResNet"])
        ''
    """
    import difflib

    lower = {name.lower(): name for name in known}
    close = [lower[m] for m in difflib.get_close_matches(word.lower(), list(lower), n=limit, cutoff=0.6)]
    return f"; did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
