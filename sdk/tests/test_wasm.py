"""The WASM sandbox from Python: results, refusals, and ending a module."""

from __future__ import annotations

import asyncio
import time

import pytest

from neuroflow.sandbox import (
    ConfigError,
    EndingKind,
    SandboxConfig,
    SandboxExecutor,
    State,
    UnsupportedError,
    WasmSandbox,
    WasmSandboxConfig,
    execute_wasm,
)

EMPTY = '(module (func (export "_start")))'
LOOP = '(module (func (export "_start") (loop br 0)))'
ECHO = """(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 1024))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i32.store (i32.const 4) (i32.load (i32.const 8)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))))"""
WASI = WasmSandboxConfig(allowed_imports=["wasi_snapshot_preview1.*"])


async def test_module_runs_and_its_result_is_complete(wat):
    async with WasmSandbox() as sandbox:
        result = await sandbox.execute(wat(EMPTY))

    assert result.success is True
    assert result.output == b""
    assert result.error is None
    assert result.fuel_consumed > 0
    assert result.execution_time_ms > 0
    assert result.memory_used_bytes == 0
    assert result.ending.kind is EndingKind.EXITED
    assert result.enforcement["fuel"].state is State.ENFORCED


async def test_main_is_the_entry_point_where_there_is_no_start(wat):
    assert (await execute_wasm(wat('(module (func (export "main")))'))).success


async def test_fuel_is_the_same_on_every_run(wat):
    module = wat(
        '(module (func (export "_start") (local i32) (loop (br_if 0 (i32.lt_u '
        "(local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 1000))))))"
    )

    runs = [await execute_wasm(module) for _ in range(3)]

    assert len({run.fuel_consumed for run in runs}) == 1
    assert runs[0].fuel_consumed > 1000


async def test_input_and_output_go_through_wasi_where_it_is_granted(wat):
    async with WasmSandbox(WASI) as sandbox:
        result = await sandbox.execute(wat(ECHO), b"over and back")

    assert (result.success, result.output) == (True, b"over and back")


async def test_import_that_is_not_granted_is_a_result_and_nothing_runs(wat):
    result = await execute_wasm(wat(ECHO))

    assert result.success is False
    assert result.ending.kind is EndingKind.IMPORT_REFUSED
    assert "wasi_snapshot_preview1.fd_read" in result.error
    assert (await execute_wasm(wat(ECHO), WASI, b"x")).output == b"x"


@pytest.mark.parametrize(
    ("module", "keys", "kind"),
    [
        (LOOP, {}, EndingKind.OUT_OF_FUEL),
        (LOOP, {"max_fuel": None, "timeout_seconds": 0.3}, EndingKind.TIMED_OUT),
        ('(module (func (export "_start") unreachable))', {}, EndingKind.TRAP),
        ('(module (memory 1000) (func (export "_start")))', {"max_memory_bytes": "1MB"}, None),
    ],
)
async def test_module_that_goes_wrong_is_a_result(wat, module, keys, kind):
    result = await execute_wasm(wat(module), WasmSandboxConfig(**keys))

    assert result.success is False
    assert result.error
    assert kind is None or result.ending.kind is kind


@pytest.mark.parametrize("data", [b"", b"(module)", b"\0asm", b"\0asm\x0d\0\1\0", b"\x7fELF"])
async def test_bytes_that_are_no_module_are_refused(data):
    with pytest.raises((ConfigError, UnsupportedError)):
        await execute_wasm(data)


async def test_cancelling_ends_the_module(wat):
    config = WasmSandboxConfig(max_fuel=None, timeout_seconds=60)
    task = asyncio.create_task(execute_wasm(wat(LOOP), config))
    await asyncio.sleep(0.3)

    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert time.monotonic() - began < 5


async def test_leaving_the_block_ends_what_still_runs(wat):
    async with WasmSandbox(WasmSandboxConfig(max_fuel=None, timeout_seconds=60)) as sandbox:
        running = asyncio.create_task(sandbox.execute(wat(LOOP)))
        await asyncio.sleep(0.3)

    assert (await running).success is False


async def test_modules_run_at_once(wat):
    async with WasmSandbox(WASI) as sandbox:
        module = wat(ECHO)
        inputs = [b"%d" % number for number in range(16)]
        results = await asyncio.gather(*(sandbox.execute(module, data) for data in inputs))

    assert [result.output for result in results] == inputs


async def test_module_is_read_from_a_file(wat, tmp_path):
    path = tmp_path / "echo.wasm"
    path.write_bytes(wat(ECHO))

    async with WasmSandbox(WASI) as sandbox:
        assert (await sandbox.execute_file(path, b"x")).output == b"x"
        assert (await sandbox.execute_file(str(path))).success
        with pytest.raises(FileNotFoundError):
            await sandbox.execute_file(tmp_path / "none.wasm")


async def test_executors_run_what_is_theirs_and_refuse_what_is_not(wat, work_dir):
    config = SandboxConfig(work_dir)
    wasm = SandboxExecutor.new_wasm(WASI)

    assert (await wasm.execute_wasm(wat(ECHO), b"x")).output == b"x"
    with pytest.raises(UnsupportedError, match="runs modules, not programs"):
        await wasm.execute("true")
    for programs in (SandboxExecutor.new_python(config), SandboxExecutor.new_namespace(config)):
        assert (await programs.execute("echo", ["x"], input=b"")).stdout == b"x\n"
        with pytest.raises(UnsupportedError, match="runs programs, not WASM"):
            await programs.execute_wasm(wat(ECHO))


@pytest.mark.parametrize("call", [("text",), (b"", "text")])
async def test_text_is_not_bytes(call):
    with pytest.raises(ConfigError, match="is not bytes"):
        await execute_wasm(call[0], None, *call[1:])
