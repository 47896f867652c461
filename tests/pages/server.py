"""Runs ``dense3d`` for the blocks of the pages in forks of one process that has imported everything.

``python server.py SOCKET`` serves; ``call.py SOCKET WORD...`` is ``dense3d WORD...`` through it, in the
caller's folder and environment and with its output, and ``call.py SOCKET python FILE`` runs a file of Python.
Otherwise most of the time would go into importing torch.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import socket
import sys
import traceback

from pages import shrunk


def warm_up() -> None:
    """Import what commands need, and run one backward pass, without which torch refuses those of forks."""
    import torch

    from dense3d.registry import DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS

    for registry in (DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS):
        registry.import_all()
    torch.ones(1, requires_grad=True).sum().backward()
    gc.collect()
    gc.freeze()  # each data set that a fork builds makes a collection


def serve(address: str) -> None:
    """Answer one call after the other until the process is ended."""
    warm_up()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    while True:
        caller, _ = listener.accept()
        with caller:
            message, descriptors, _, _ = socket.recv_fds(caller, 1 << 20, 2)
            child = os.fork()
            if child == 0:
                answer(json.loads(message), descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            caller.sendall(str(status).encode())


def answer(call: dict, descriptors: list[int]) -> None:
    """Run a call in this fork and end it."""
    status = 1
    try:
        for number, descriptor in enumerate(descriptors, start=1):
            os.dup2(descriptor, number)
        os.chdir(call["folder"])
        os.environ.update(call["environment"])
        words = call["words"]
        if words[0] == "python":
            sys.argv, sys.path[0] = words[1:], call["folder"]
            runpy.run_path(words[1], run_name="__main__")
            status = 0
        else:
            status = shrunk.main(words)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    serve(sys.argv[1])
