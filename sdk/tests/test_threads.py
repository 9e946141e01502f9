"""The threads that wait: reused, limited in number, and harmless when they run out."""

from __future__ import annotations

import threading
import time

import pytest

from neuroflow.sandbox._threads import Threads


def test_idle_thread_is_used_again():
    threads = Threads(8)

    names = {threads.submit(lambda: threading.current_thread().name).result() for _ in range(20)}

    assert 1 <= len(names) <= 2


def test_calls_beyond_the_limit_wait_and_can_be_taken_back():
    threads = Threads(2)
    go_on = threading.Event()
    running = [threads.submit(go_on.wait) for _ in range(2)]
    waiting = threads.submit(lambda: "done")
    taken_back = threads.submit(lambda: pytest.fail("it was taken back"))

    assert not waiting.done()
    assert taken_back.cancel()
    go_on.set()

    assert waiting.result(10) == "done"
    assert all(future.result(10) for future in running)


def test_as_many_calls_as_allowed_are_made_at_once():
    threads = Threads(16)
    together = threading.Barrier(16, timeout=10)

    for _ in range(3):
        for future in [threads.submit(together.wait) for _ in range(16)]:
            future.result(10)


def test_exception_of_a_call_is_its_own():
    threads = Threads(1)

    with pytest.raises(ZeroDivisionError):
        threads.submit(lambda: 1 // 0).result(10)
    assert threads.submit(lambda: 1).result(10) == 1


def test_without_any_thread_the_call_is_refused_and_never_made(monkeypatch):
    threads = Threads(4)
    calls = []

    def fail(_self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError, match="can't start"):
            threads.submit(lambda: calls.append("refused"))

    threads.submit(lambda: calls.append("made")).result(10)
    time.sleep(0.05)
    assert calls == ["made"]
