"""Threads that wait for blocking calls, kept for the next one.

Not `concurrent.futures.ThreadPoolExecutor`: an interpreter that exits joins its
threads before anything of ours is asked, and would so wait for every guest that
nobody waits for any more. Here the end of the main thread comes first: what is
still going on is ended, and then the threads are.
"""

from __future__ import annotations

import threading
import weakref
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_Call = tuple["Future[object]", "Callable[[], object]"]


class Killable(Protocol):
    """What can be ended from any thread."""

    def kill(self) -> None:
        """Ends it, without waiting."""


class Threads:
    """At most `most` threads, started when there is work and no idle one.

    Calls beyond that wait for their turn.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._started = 0
        self._starting = threading.Lock()
        self._idle = threading.Semaphore(0)
        # `None` tells one thread to end.
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._live: weakref.WeakSet[Killable] = weakref.WeakSet()
        threading.Thread(target=self._at_exit, name="neuroflow-exit", daemon=True).start()

    def submit(self, call: Callable[[], T], ends: Killable | None = None) -> Future[T]:
        """Has `call` made on a thread. `ends` is killed if the interpreter exits.

        Raises:
            RuntimeError: There is no thread, and none can be started.
        """
        if ends is not None:
            self._live.add(ends)
        future: Future[T] = Future()
        self._calls.put((cast("Future[object]", future), call))
        if not self._idle.acquire(blocking=False):
            self._start_one(future)
        return future

    def _start_one(self, future: Future[T]) -> None:
        with self._starting:
            if self._started == self._most:
                return
            thread = threading.Thread(target=self._work, name=f"neuroflow-{self._started}")
            try:
                thread.start()
            except RuntimeError:
                # Out of threads: one of those there are will make the call.
                if self._started == 0:
                    future.cancel()
                    raise
                return
            self._started += 1

    def _work(self) -> None:
        while True:
            try:
                call = self._calls.get_nowait()
            except Empty:
                self._idle.release()
                call = self._calls.get()
            if call is None:
                return
            _make(*call)
            # An idle thread keeps nothing of its last call alive.
            del call

    def _at_exit(self) -> None:
        threading.main_thread().join()
        for running in tuple(self._live):
            running.kill()
        for _ in range(self._started):
            self._calls.put(None)


def _make(future: Future[object], call: Callable[[], object]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:  # it is the waiter's to handle
        future.set_exception(error)
    else:
        future.set_result(result)
