"""How a call ends: with success, with one clear sentence, or with a fault such as a crash or a hang.

Each call runs in a forked process, so that endless loops and crashes in compiled code are seen, and
nothing that it does to its process reaches the next one. What a caller will need is imported before: a
process starts with all that is imported by then.
"""

from __future__ import annotations

import faulthandler
import gc
import math
import os
import pickle
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dense3d.errors import Dense3dError

SUCCESS, REFUSED, FAULT = "success", "refused", "fault"
WAITING = 10  # how many times longer a call may take than its seconds of work: other processes work, too
LONGEST_SENTENCE = 700  # characters; paths included
_BORING = ("Traceback", " object at 0x", "<class '")  # words of a program, not of a sentence for a person


@dataclass(frozen=True)
class Outcome:
    """The end of a call.

    Attributes:
        kind: ``"success"``; ``"refused"``, with one clear sentence; or ``"fault"``.
        text: the sentence, or what is wrong.
        value: what the call returned.
        seconds: how long it took.
    """

    kind: str
    text: str = ""
    value: Any = None
    seconds: float = 0.0


def outcome_of(
    function: Callable[..., Any], *args: Any, seconds: float = 20.0, megabytes: int = 1500, **kwargs: Any
) -> Outcome:
    """Call a function in a process of its own and classify how it ends.

    Args:
        function: what to call. Its own assertions that fail are faults. A command line may leave by
            ``SystemExit``: with 0 it is a success, with 2 the last line of stderr is the sentence.
        *args, **kwargs: its arguments.
        seconds: limit of the time that the processor works for it.
        megabytes: limit of the memory that it takes beyond what the process has already.

    Returns:
        The outcome; ``value`` only if it can be pickled.
    """
    reader, writer = os.pipe()
    sys.stdout.flush(), sys.stderr.flush()
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _run(writer, seconds, megabytes, lambda: function(*args, **kwargs))
    os.close(writer)
    try:
        content = _read(reader, start + WAITING * seconds)
    finally:
        os.close(reader)
        if content_is_late := time.monotonic() >= start + WAITING * seconds:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    took = time.monotonic() - start
    if content:
        kind, text, value = pickle.loads(content)
        return Outcome(kind, text, value, took)
    if content_is_late or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
        text = f"still running after {took:.0f} seconds, of work at most {seconds}"
        return Outcome(FAULT, text, seconds=took)
    end = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"status {status}"
    return Outcome(FAULT, f"the process ended with {end}", seconds=took)


def assert_clear(function: Callable[..., Any], *args: Any, names: str = "", **options: Any) -> Outcome:
    """:func:`outcome_of`, which must be a success or a clear sentence.

    Args:
        names: what the sentence must name, for instance the file.
        *args, **options: as for :func:`outcome_of`.

    Raises:
        AssertionError: it was a fault, or the sentence does not name what it must.
    """
    outcome = outcome_of(function, *args, **options)
    assert outcome.kind != FAULT, outcome.text
    assert outcome.kind == SUCCESS or names in outcome.text, f"{names!r} is not named: {outcome.text}"
    return outcome


def why_unclear(sentence: str) -> str | None:
    """What keeps a message from being one clear sentence."""
    if not sentence.strip():
        return "it is empty"
    if "\n" in sentence.strip():
        return "it has more than one line"
    if len(sentence) > LONGEST_SENTENCE:
        return f"it has {len(sentence)} characters"
    return next((f"it has {word.strip()}" for word in _BORING if word in sentence), None)


def _run(writer: int, seconds: float, megabytes: int, call: Callable[[], Any]) -> None:
    """What the forked process does; it never returns."""
    gc.collect = lambda *_: 0  # of data sets: looking through all that pytest holds takes most of the time
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    faulthandler.disable()  # pytest's would fill the screen
    log = tempfile.TemporaryFile()  # noqa: SIM115
    os.dup2(log.fileno(), 1), os.dup2(log.fileno(), 2)
    sys.stdout, sys.stderr = (open(n, "w", closefd=False) for n in (1, 2))  # noqa: SIM115
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), resource.RLIM_INFINITY))
    try:
        result = _classified(call, lambda: _last_line(log))
        try:
            content = pickle.dumps(result)
        except Exception:
            content = pickle.dumps((*result[:2], None))
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(content)
    finally:
        os._exit(0)


def _classified(call: Callable[[], Any], last_line: Callable[[], str]) -> tuple[str, str, Any]:
    try:
        return SUCCESS, "", call()
    except Dense3dError as error:
        sentence = str(error)
    except SystemExit as error:
        if not error.code:
            return SUCCESS, "", None
        sentence = last_line()
        if error.code != 2 or "error: " not in sentence:
            return FAULT, f"exit status {error.code} after {sentence!r}", None
    except BaseException:
        return FAULT, traceback.format_exc(), None
    unclear = why_unclear(sentence)
    if unclear:
        return FAULT, f"no clear sentence, {unclear}: {sentence}", None
    return REFUSED, sentence, None


def _last_line(log: Any) -> str:
    sys.stderr.flush()
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def _read(reader: int, until: float) -> bytes:
    """All that the process writes before it ends; b"" if it is late."""
    content = b""
    while (left := until - time.monotonic()) > 0:
        if select.select([reader], [], [], left)[0]:
            piece = os.read(reader, 2**16)
            if not piece:
                return content
            content += piece
    return b""
