"""Running programs: what goes in, what comes out, and every way it can end."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from neuroflow.sandbox import (
    ConfigError,
    EndingKind,
    ProgramNotExecutableError,
    ProgramNotFoundError,
    SandboxConfig,
    SandboxError,
    SandboxIsolator,
    State,
)


async def test_program_runs_and_its_result_is_complete(isolate):
    result = await isolate().execute("python3", ["-c", "print('Hello from sandbox!')"])

    assert result.success
    assert result.exit_code == 0
    assert result.stdout == b"Hello from sandbox!\n"
    assert result.stderr == b""
    assert result.error is None
    assert result.timed_out is False
    assert result.output_truncated is False
    assert result.ending.kind is EndingKind.EXITED
    assert result.ending.code == 0
    assert result.violations == ()
    assert 0 < result.execution_time_ms < 30_000
    assert result.execution_time_ms == result.usage.wall_ms
    assert 1 << 20 < result.max_memory_bytes < 1 << 30
    assert result.usage.stdout_bytes == len(result.stdout)


async def test_exit_code_is_the_programs_own(isolate):
    result = await isolate().execute("sh", ["-c", "echo bad >&2; exit 7"])

    assert (result.exit_code, result.success, result.error) == (7, False, None)
    assert result.stderr == b"bad\n"
    assert (result.ending.kind, result.ending.code) == ("exited", 7)


async def test_signal_is_told_apart_from_an_exit_code(isolate):
    result = await isolate().execute("sh", ["-c", "kill -SEGV $$"])

    assert result.exit_code == -11
    assert (result.ending.kind, result.ending.signal) == (EndingKind.SIGNALLED, 11)
    assert result.error


async def test_timeout_keeps_the_output_and_ends_what_was_started(isolate, marker):
    script = f"echo early; setsid sh -c 'sleep 60; : {marker}' & sleep 60; : {marker}"

    began = time.monotonic()
    result = await isolate().execute("sh", ["-c", script], timeout=1)

    assert time.monotonic() - began < 10
    assert result.exit_code == -9
    assert result.timed_out is True
    assert result.error == "Command timed out after 1s"
    assert result.stdout == b"early\n"
    assert result.ending.kind is EndingKind.TIMED_OUT


async def test_timeout_of_the_config_holds_and_that_of_a_call_comes_before_it(isolate):
    isolator = isolate(timeout="500ms")

    assert (await isolator.execute("sleep", ["60"])).timed_out
    assert (await isolator.execute("sleep", ["0.7"], timeout="10s")).success


async def test_stdin_is_what_is_given_and_else_at_its_end(isolate):
    isolator = isolate()
    data = bytes(range(256)) * 4096

    assert (await isolator.execute("cat", input=data)).stdout == data
    assert (await isolator.execute("cat", input=bytearray(b"x"))).stdout == b"x"
    assert (await isolator.execute("cat", input=memoryview(b"y"))).stdout == b"y"
    assert (await isolator.execute("cat")).stdout == b""


async def test_arguments_reach_the_program_as_they_are(isolate):
    hostile = [
        "",
        "-x",
        "--",
        "$(id)",
        "`id`",
        "a;b",
        "ü\n",
        "*",
        os.fsdecode(b"\xff\xfe"),
        "x" * 100_000,
    ]
    show = "import os, sys; sys.stdout.buffer.write(b'\\0'.join(map(os.fsencode, sys.argv[1:])))"

    result = await isolate().execute("python3", ["-c", show, *hostile])

    assert result.stdout.split(b"\0") == [os.fsencode(arg) for arg in hostile]


async def test_environment_is_clean_but_for_what_is_named(isolate, monkeypatch):
    monkeypatch.setenv("SECRET", "do not tell")

    result = await isolate(environment={"GREETING": "hi"}).execute("env")

    names = {line.split("=")[0] for line in result.stdout.decode().splitlines()}
    assert b"GREETING=hi\n" in result.stdout
    assert "SECRET" not in names
    assert {"PATH", "HOME", "LANG", "TMPDIR"} <= names


async def test_guest_starts_in_its_work_dir_and_can_write_there(isolate, work_dir):
    result = await isolate().execute("sh", ["-c", "pwd; echo written > note"])

    assert result.stdout.decode().strip() == str(work_dir)
    assert (work_dir / "note").read_text() == "written\n"


async def test_command_that_is_not_allowed_is_a_result_and_nothing_starts(isolate, work_dir):
    isolator = isolate(allowed_commands=["python3", "cat"])

    refused = await isolator.execute("touch", ["here"])
    by_path = await isolator.execute("/usr/bin/touch", ["here"])

    assert refused.exit_code == -1
    assert refused.error == "Command 'touch' not in allowed list"
    assert refused.success is False
    assert refused.ending.kind is EndingKind.REFUSED
    assert by_path.exit_code == -1
    assert not (work_dir / "here").exists()
    assert (await isolator.execute("cat", input=b"allowed")).stdout == b"allowed"
    assert (await isolate().execute("touch", ["here"])).success


async def test_output_past_the_cap_is_thrown_away_and_the_beginning_kept(isolate):
    result = await isolate(max_output=1000).execute(
        "sh", ["-c", "printf start; head -c 4000 /dev/zero"]
    )

    assert result.success
    assert result.output_truncated is True
    assert len(result.stdout) == 1000
    assert result.stdout.startswith(b"start")
    assert result.usage.stdout_bytes == 4005


async def test_guest_that_never_stops_printing_is_ended(isolate):
    result = await isolate(max_output=1000).execute("yes")

    assert result.ending.kind is EndingKind.OUTPUT
    assert result.exit_code == -9
    assert len(result.stdout) == 1000


async def test_busy_guest_ends_at_its_cpu_limit(isolate):
    result = await isolate(cpu_time_limit=1, timeout=30).execute(
        "python3",
        ["-c", "import signal\nsignal.signal(signal.SIGXCPU, lambda *_: 0)\nwhile 1: pass"],
    )

    assert result.ending.kind is EndingKind.CPU_TIME
    assert result.exit_code == -9
    assert result.execution_time_ms < 20_000


async def test_guest_that_takes_too_much_memory_is_ended(isolate):
    isolator = isolate(memory_limit="128MB", allow_degraded=["memory"])

    result = await isolator.execute(
        "python3", ["-c", "x = [bytearray(1 << 24) for _ in range(99)]"]
    )

    assert not result.success
    assert result.ending.kind in (EndingKind.OUT_OF_MEMORY, EndingKind.EXITED)
    assert b"MemoryError" in result.stderr or result.ending.kind is EndingKind.OUT_OF_MEMORY


async def test_program_that_is_not_there_is_a_file_not_found_error(isolate):
    with pytest.raises(ProgramNotFoundError) as raised:
        await isolate().execute("no-such-program")

    assert isinstance(raised.value, FileNotFoundError)
    assert isinstance(raised.value, SandboxError)
    assert raised.value.code == "not_found"
    assert raised.value.program == "no-such-program"
    assert "`no-such-program` was not found" in str(raised.value)


async def test_file_that_cannot_be_executed_is_a_permission_error(isolate, work_dir):
    (work_dir / "data").write_text("no program")

    with pytest.raises(ProgramNotExecutableError) as raised:
        await isolate().execute(work_dir / "data")

    assert isinstance(raised.value, PermissionError)
    assert raised.value.code == "not_executable"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ({"command": 3}, "command: "),
        ({"command": "true", "args": "-x"}, "args: `'-x'` is not a list; write ['-x']"),
        ({"command": "true", "args": [1]}, "args: "),
        ({"command": "true", "timeout": "soon"}, "timeout: `soon` is not a time"),
        ({"command": "true", "timeout": -1}, "timeout: `-1` is not a time"),
        ({"command": "true", "timeout": 0}, "timeout"),
        ({"command": "true", "input": "text"}, "input: `'text'` is not bytes"),
        ({"command": "tr\0ue"}, "NUL"),
        ({"command": "true", "args": ["a\0b"]}, "NUL"),
    ],
)
async def test_bad_argument_is_refused_and_nothing_starts(isolate, call, said):
    with pytest.raises(ConfigError) as raised:
        await isolate().execute(**call)

    assert said in str(raised.value)


async def test_contradictions_of_a_config_are_told_all_at_once(work_dir):
    config = SandboxConfig(work_dir, enable_network=True, timeout=0, allow_degraded=["luck"])

    with pytest.raises(ConfigError) as raised:
        await SandboxIsolator(config).execute("true")

    assert len(raised.value.problems) == 3


async def test_receipt_comes_with_every_result(isolate):
    result = await isolate().execute("true")

    assert {"memory", "timeout", "network", "descriptors"} <= set(result.enforcement)
    assert result.enforcement["timeout"].state is State.ENFORCED
    assert result.enforcement["timeout"].by
    assert result.enforcement["memory"].state in (State.ENFORCED, State.DEGRADED)


async def test_many_runs_at_once_do_not_mix(isolate):
    isolator = isolate()

    async def echo(number: int) -> bytes:
        return (await isolator.execute("echo", [str(number)])).stdout

    assert await asyncio.gather(*map(echo, range(32))) == [b"%d\n" % n for n in range(32)]


async def test_event_loop_goes_on_while_a_guest_runs(isolate):
    ticks = 0
    running = asyncio.ensure_future(isolate().execute("sleep", ["1"]))
    while not running.done():
        await asyncio.sleep(0.02)
        ticks += 1

    assert running.result().success
    assert ticks > 10


async def test_network_is_the_hosts_on_the_list_and_what_was_refused_is_told(isolate):
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1")
    host = "{}:{}".format(*server.sockets[0].getsockname())
    code = (
        "import urllib.error, urllib.request\n"
        f"print(urllib.request.urlopen('http://{host}/').read())\n"
        "try: urllib.request.urlopen('http://tracker.example/')\n"
        "except urllib.error.HTTPError as error: print(error.code)"
    )
    async with server:
        result = await isolate(enable_network=True, allowed_hosts=[host]).execute(
            "python3", ["-c", code]
        )

    assert result.stdout == b"b'hello'\n403\n", result.stderr
    assert [violation.rule for violation in result.violations] == ["allowed_hosts"]
    assert result.violations[0].fix == "add `tracker.example:80` to `allowed_hosts`"
