"""Cancelling, and interpreters that exit: no guest goes on that nobody waits for."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from support import processes_with, wait_until

from neuroflow.sandbox import SandboxConfig, SandboxIsolator


def forking(marker: str) -> list[str]:
    """Arguments for `sh`: a guest with a child and a daemon, ready once it said so."""
    return [
        "-c",
        f"(setsid sh -c 'sleep 60; : {marker}' &); sleep 60 & echo > up; wait; : {marker}",
    ]


async def until_up(work_dir, task):
    while not (work_dir / "up").exists():
        assert not task.done(), task
        await asyncio.sleep(0.01)


async def test_cancelling_kills_the_whole_tree_before_it_raises(isolate, work_dir, marker):
    task = asyncio.create_task(isolate().execute("sh", forking(marker)))
    await until_up(work_dir, task)
    assert processes_with(marker)

    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert processes_with(marker) == []
    assert time.monotonic() - began < 5


async def test_wait_for_kills_what_it_gives_up_on(isolate, marker):
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(isolate().execute("sh", forking(marker)), 0.5)

    assert processes_with(marker) == []


async def test_cancelling_twice_does_not_cut_the_killing_short(isolate, work_dir, marker):
    task = asyncio.create_task(isolate().execute("sh", forking(marker)))
    await until_up(work_dir, task)

    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert processes_with(marker) == []


async def test_run_that_is_cancelled_at_once_starts_nothing(isolate, work_dir):
    task = asyncio.create_task(isolate().execute("touch", ["here"]))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await asyncio.sleep(0.3)
    assert not (work_dir / "here").exists()


@pytest.mark.parametrize("delay", [0, 0.001, 0.003, 0.01, 0.03])
async def test_cancelling_at_any_moment_leaves_nothing(isolate, marker, delay):
    task = asyncio.create_task(isolate().execute("sh", forking(marker)))
    await asyncio.sleep(delay)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert processes_with(marker) == []


async def test_one_cancelled_run_leaves_the_others_alone(isolate):
    isolator = isolate()
    others = [asyncio.create_task(isolator.execute("sleep", ["0.5"])) for _ in range(4)]
    victim = asyncio.create_task(isolator.execute("sleep", ["60"]))
    await asyncio.sleep(0.1)

    victim.cancel()
    results = await asyncio.gather(victim, *others, return_exceptions=True)

    assert isinstance(results[0], asyncio.CancelledError)
    assert all(result.success for result in results[1:])


def test_loops_one_after_the_other_and_of_other_kinds_can_be_used(work_dir):
    isolator = SandboxIsolator(SandboxConfig(work_dir))

    async def hello() -> bytes:
        return (await isolator.execute("echo", ["hello"])).stdout

    assert asyncio.run(hello()) == b"hello\n"
    assert asyncio.run(hello()) == b"hello\n"
    uvloop = pytest.importorskip("uvloop")
    with (
        asyncio.Runner(loop_factory=uvloop.new_event_loop)
        if sys.version_info >= (3, 11)
        else (pytest.skip("asyncio.Runner is of Python 3.11")) as runner
    ):
        assert runner.run(hello()) == b"hello\n"


def script(work_dir, marker, body: str) -> list[str]:
    """A Python program of its own that starts a long guest, and then does `body`."""
    text = f"""
    import asyncio, os, signal, sys, threading, time
    from neuroflow.sandbox import SandboxConfig, SandboxIsolator
    work = {str(work_dir)!r}
    isolator = SandboxIsolator(SandboxConfig(work))
    async def guest():
        return await isolator.execute("sh", {forking(marker)!r})
    async def up():
        while not os.path.exists(work + "/up"):
            await asyncio.sleep(0.01)
    """
    return [sys.executable, "-c", textwrap.dedent(text) + textwrap.dedent(body)]


def test_ctrl_c_kills_the_guest(work_dir, marker):
    command = script(work_dir, marker, "asyncio.run(guest())")
    with subprocess.Popen(command, stderr=subprocess.PIPE) as program:
        wait_until((work_dir / "up").exists)
        program.send_signal(signal.SIGINT)
        _, stderr = program.communicate(timeout=20)

    assert b"KeyboardInterrupt" in stderr
    assert program.returncode != 0
    wait_until(lambda: processes_with(marker) == [])


def test_interpreter_that_exits_does_not_wait_for_a_guest_nobody_waits_for(work_dir, marker):
    body = """
    loop = asyncio.new_event_loop()
    task = loop.create_task(guest())
    loop.run_until_complete(up())
    print("leaving", flush=True)
    """
    began = time.monotonic()
    done = subprocess.run(
        script(work_dir, marker, body), capture_output=True, timeout=50, check=False
    )

    assert done.stdout == b"leaving\n"
    assert done.returncode == 0
    assert time.monotonic() - began < 25
    wait_until(lambda: processes_with(marker) == [])


def test_guest_ends_with_an_interpreter_that_is_killed(work_dir, marker):
    with subprocess.Popen(script(work_dir, marker, "asyncio.run(guest())")) as program:
        wait_until((work_dir / "up").exists)
        program.kill()

    wait_until(lambda: processes_with(marker) == [])


def test_forked_child_of_the_application_can_run_guests_of_its_own(work_dir):
    body = """
    asyncio.run(isolator.execute("true"))
    child = os.fork()
    if child == 0:
        own = SandboxIsolator(SandboxConfig(work))
        result = asyncio.run(own.execute("echo", ["from the child"]))
        os.write(1, result.stdout)
        os._exit(0)
    os.waitpid(child, 0)
    """
    done = subprocess.run(
        script(work_dir, "unused", body), capture_output=True, timeout=50, check=False
    )

    assert done.stdout == b"from the child\n", done
    assert os.path.isdir(work_dir)
