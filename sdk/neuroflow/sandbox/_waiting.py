"""Waits for blocking runs without blocking the event loop.

A run is waited for on a thread, without the GIL. Whatever the caller does, no
guest goes on that nobody waits for: cancelling a call kills the guest and all it
started before `CancelledError` gets out, and an interpreter that exits kills
what still runs.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, TypeVar

from neuroflow.sandbox._threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from neuroflow.sandbox import _native

T = TypeVar("T")

MOST_AT_ONCE = 1024
"""Runs that go on at the same time; those beyond wait for their turn, unstarted."""

_lock = threading.Lock()
_threads: Threads | None = None


def _get() -> Threads:
    global _threads  # noqa: PLW0603
    with _lock:
        if _threads is None:
            _threads = Threads(MOST_AT_ONCE)
        return _threads


def _forget() -> None:
    """In a forked child there are no threads and no runs, only their shadows."""
    global _lock, _threads  # noqa: PLW0603
    _lock = threading.Lock()
    _threads = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


async def outcome_of(run: _native.Run) -> _native.Outcome:
    """Carries out `run` and tells what it came to.

    When this is cancelled the guest is killed, and gone, before `CancelledError`
    gets out. Where the run had not begun, nothing is started.
    """
    waiting = _get().submit(run.wait, ends=run)
    settled = asyncio.wrap_future(waiting)
    try:
        return await asyncio.shield(settled)
    except asyncio.CancelledError:
        if not waiting.cancel():
            run.kill()
            await _until_done(settled)
        raise
    except GeneratorExit:
        # Closed without a loop to wait on: this is all that can be done.
        run.kill()
        raise


async def _until_done(settled: asyncio.Future[_native.Outcome]) -> None:
    """Waits for a run that was killed. Cancelling again does not cut this short."""
    while not settled.done():
        try:
            await asyncio.wait([settled])
        except asyncio.CancelledError:
            continue
    if not settled.cancelled():
        settled.exception()  # seen: asyncio need not report it


async def on_thread(call: Callable[[], T]) -> T:
    """Makes a call that blocks for a moment, such as ending runs."""
    return await asyncio.wrap_future(_get().submit(call))
