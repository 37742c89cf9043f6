"""Who holds a claim, and whether that process still lives."""

from __future__ import annotations

import os
import secrets
import socket

_BOOT = secrets.token_hex(4)


def me() -> str:
    """This process: ``host:pid:nonce``. The nonce tells it from a later one with the same pid."""
    return f"{socket.gethostname()}:{os.getpid()}:{_BOOT}"


def gone(worker: str) -> bool:
    """Whether the worker is certainly dead; of other hosts only their lease tells."""
    host, pid, nonce = worker.rsplit(":", 2)
    if host != socket.gethostname():
        return False
    if int(pid) == os.getpid():
        return nonce != _BOOT
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
