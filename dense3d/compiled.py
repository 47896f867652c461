"""numba's ``njit`` with a cache on disk wherever there is one, and without where there is not.

numba keeps what it compiled in NUMBA_CACHE_DIR, beside the source, or in the cache folder of the user. None
of them may be writable in a container, and with ``cache=True`` such a module cannot even be imported. Here
such a process compiles for itself. numba imports slowly: import this from compiled modules only.
"""

from __future__ import annotations

from collections.abc import Callable

from numba.core import config
from numba.core.caching import FunctionCache
from numba.core.compiler_lock import global_compiler_lock

from dense3d.cache_folders import prepare_cache_folders

prepare_cache_folders()  # without a home numba would make a folder named ~


class ForgivingCache(FunctionCache):
    """A damaged cache, a full disk or a quota cost the time to compile, and nothing else."""

    def load_overload(self, sig, target_context):
        """The compiled function, or ``None`` where the cache has none that can be read."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # of any type: the index and the code are pickles
            return None

    def save_overload(self, sig, data) -> None:
        """Keep the compiled function where that is possible."""
        try:
            super().save_overload(sig, data)
        except Exception:  # as above: it reads the index first
            return


def njit(slp_vectorize: bool = False, **options) -> Callable[[Callable], Callable]:
    """Decorator of functions that numba compiles at their first call, cached on disk where that is possible.

    Args:
        slp_vectorize: join equal statements on neighbouring elements into vector instructions. numba leaves
            that out since LLVM got logarithms and exponentials wrong by it (numba issue 8705): for functions
            without such calls whose tests compare with another implementation.
        options: those of :func:`numba.njit` but ``cache``.

    Example:
        >>> @njit(nogil=True)
        ... def doubled(x):
        ...     return 2 * x
        >>> doubled(4)
        8
    """

    import numba

    def decorate(function: Callable) -> Callable:
        compiled = numba.njit(**options)(function)
        if slp_vectorize:
            compiled.compile = _slp_vectorized(compiled.compile)
        try:
            compiled._cache = ForgivingCache(function)
        except (RuntimeError, OSError):  # no folder for it can be written
            return compiled
        return compiled

    return decorate


def _slp_vectorized(compile_: Callable) -> Callable:
    """The same compilation with LLVM's SLP vectoriser; numba has one switch for all functions."""

    def compile_with_it(signature):
        with global_compiler_lock:
            before, config.SLP_VECTORIZE = config.SLP_VECTORIZE, 1
            try:
                return compile_(signature)
            finally:
                config.SLP_VECTORIZE = before

    return compile_with_it
