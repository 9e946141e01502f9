"""The examples that users were given, word for word.

They are text on purpose: nothing here may be adapted to the code. Each paragraph
is run as the body of a coroutine, with the names that it does not define itself.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import types
from pathlib import Path

import pytest

from neuroflow.sandbox import (
    ConfigError,
    SandboxConfig,
    SandboxExecutor,
    SandboxIsolator,
    UnsupportedError,
    WasmSandbox,
)

PYTHON = """\
from neuroflow.sandbox import SandboxIsolator, SandboxConfig, SandboxSecurityLevel
config = SandboxConfig(work_dir="/tmp/sandbox", cpu_time_limit=30, memory_limit=256 * 1024 * 1024,
                       security_level=SandboxSecurityLevel.STANDARD, allowed_commands=["python3", "pip"])
isolator = SandboxIsolator(config)
result = await isolator.execute("python3", ["-c", "print('Hello from sandbox!')"])
result.exit_code; result.execution_time_ms

from neuroflow.sandbox import WasmSandbox, WasmSandboxConfig
config = WasmSandboxConfig(max_memory_bytes=64 * 1024 * 1024, timeout_seconds=30, max_fuel=1_000_000, allowed_imports=[])
async with WasmSandbox(config) as sandbox:
    result = await sandbox.execute(wasm_bytes)          # also execute(wasm_bytes, input_data), execute_file(path, input_data)
    result.success; result.execution_time_ms; result.fuel_consumed

from neuroflow.sandbox import SandboxExecutor
executor = SandboxExecutor.new_python()                 # trusted code
executor = SandboxExecutor.new_namespace(SandboxConfig.default())
executor = SandboxExecutor.new_wasm(WasmSandboxConfig.default())
result = await executor.execute("python3", ["script.py"])
result = await executor.execute_wasm(wasm_module, input_data)

from neuroflow.sandbox import SandboxManager
manager = SandboxManager()
await manager.start()
stats = await manager.get_stats()    # active_sandboxes, total_executions, avg_execution_time (ms), avg_memory_mb
await manager.cleanup(); await manager.cleanup(timeout=300); await manager.cleanup(idle_timeout=60)   # seconds
"""

YAML = """\
sandbox:
  cpu_time_limit: 30          # CPU seconds
  memory_limit: 268435456     # bytes, or "256MB", "512MB", "256MiB"
  timeout: 30                 # wall-clock seconds
  file_size_limit: 10485760   # bytes
  max_processes: 10
  enable_network: false       # way 1: no network at all
  # enable_network: true      # way 2: allow-list
  # allowed_hosts: [localhost, api.trusted.com]
  work_dir: /tmp/sandbox
  allowed_paths: [/tmp, /workspace]   # every other path is out of reach
"""

PROFILE = """\
{ "defaultAction": "SCMP_ACT_ERRNO",
  "syscalls": [
    { "names": ["read", "write", "open", "close"], "action": "SCMP_ACT_ALLOW" },
    { "names": ["ptrace", "mount", "reboot"], "action": "SCMP_ACT_ERRNO" } ] }
"""

ISOLATOR, WASM, EXECUTOR, MANAGER = PYTHON.split("\n\n")


async def run(text: str, **names: object) -> dict[str, object]:
    """Runs `text` as if it stood in a coroutine, and returns the names it left."""
    code = compile(text, "<spec>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    running = types.FunctionType(code, names)()
    if inspect.iscoroutine(running):
        await running
    return names


async def test_isolator_example():
    left = await run(ISOLATOR)

    result = left["result"]
    assert result.exit_code == 0
    assert result.stdout == b"Hello from sandbox!\n"
    assert result.execution_time_ms > 0
    assert isinstance(left["isolator"], SandboxIsolator)


async def test_wasm_example(wat):
    left = await run(WASM, wasm_bytes=wat('(module (func (export "_start")))'))

    assert isinstance(left["sandbox"], WasmSandbox)
    assert left["result"].success is True
    assert 0 < left["result"].fuel_consumed < 1_000_000


@pytest.mark.parametrize("kind", ["new_python", "new_namespace", "new_wasm"])
async def test_executor_example(wat, kind):
    """Its three constructors are alternatives, and so are its two calls."""
    lines = EXECUTOR.splitlines()
    imports = [line for line in lines if line.startswith("from ")]
    (made,) = [line for line in lines if kind in line]
    execute, execute_wasm = (line for line in lines if "await" in line)
    names = {"wasm_module": wat('(module (func (export "_start")))'), "input_data": b"input"}
    setup = ["from neuroflow.sandbox import WasmSandboxConfig, SandboxConfig", *imports, made]
    config = (await run("\n".join(setup), **names))["executor"].config

    if kind == "new_wasm":
        left = await run("\n".join([*setup, execute_wasm]), **names)
        assert left["result"].success is True
        with pytest.raises(UnsupportedError):
            await run("\n".join([*setup, execute]), **names)
    else:
        script = Path(config.work_dir) / "script.py"
        # The sandbox makes its work dir, and what a guest writes there is its own.
        await SandboxExecutor.new_python(config).execute("tee", ["script.py"], input=b"print(6*7)")
        try:
            left = await run("\n".join([*setup, execute]), **names)
        finally:
            script.unlink()
        assert left["result"].stdout == b"42\n"
        with pytest.raises(UnsupportedError):
            await run("\n".join([*setup, execute_wasm]), **names)


async def test_manager_example():
    left = await run(MANAGER)

    assert left["stats"].active_sandboxes == 0
    assert left["stats"].total_executions == 0
    assert left["stats"].avg_execution_time == 0
    assert left["stats"].avg_memory_mb == 0


async def test_config_file_example(tmp_path):
    path = tmp_path / "neuroflow.yaml"
    path.write_text(YAML)

    config = SandboxConfig.from_file(path)

    assert config == SandboxConfig(
        "/tmp/sandbox",
        cpu_time_limit=30,
        memory_limit="256MB",
        timeout=30,
        file_size_limit=10_485_760,
        max_processes=10,
        enable_network=False,
        allowed_paths=["/tmp", "/workspace"],
    )
    assert config.named >= {"memory_limit", "max_processes", "work_dir"}


@pytest.mark.parametrize("as_data", [True, False], ids=["dict", "path"])
async def test_profile_example_is_refused_by_the_names_it_lacks(tmp_path, work_dir, as_data):
    path = tmp_path / "profile.json"
    path.write_text(PROFILE)
    profile = ast.literal_eval(PROFILE) if as_data else path

    with pytest.raises(ConfigError) as raised:
        await SandboxIsolator(SandboxConfig(work_dir, seccomp_profile=profile)).execute("true")

    assert "execve" in str(raised.value)
    assert "mmap" in str(raised.value)


def test_every_call_that_is_awaited_is_a_coroutine_function():
    """`create_task` takes coroutines only."""
    assert inspect.iscoroutinefunction(SandboxIsolator.execute)
    assert inspect.iscoroutinefunction(SandboxExecutor.execute_wasm)
    task = asyncio.run(_task_of(SandboxIsolator().execute("true")))
    assert task.exit_code == 0


async def _task_of(coroutine):
    return await asyncio.create_task(coroutine)
