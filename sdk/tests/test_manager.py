"""Managers: what they count, and what their clean-up ends."""

from __future__ import annotations

import asyncio

import pytest

from neuroflow.sandbox import (
    ConfigError,
    EndingKind,
    NamespaceIsolator,
    SandboxConfig,
    SandboxIsolator,
    SandboxManager,
    WasmSandboxConfig,
    WasmSandboxManager,
)


@pytest.fixture(params=[SandboxIsolator, NamespaceIsolator], ids=["process", "namespace"])
async def manager(request, work_dir):
    async with SandboxManager(SandboxConfig(work_dir), backend=request.param) as manager:
        yield manager


async def until_active(manager, count):
    for _ in range(1000):
        if (await manager.get_stats()).active_sandboxes == count:
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"never {count} active: {await manager.get_stats()}")


async def test_runs_are_counted_and_averaged(manager):
    before = await manager.get_stats()
    assert (before.active_sandboxes, before.total_executions) == (0, 0)
    assert (before.avg_execution_time, before.avg_memory_mb) == (0, 0)

    await manager.execute("sleep", ["0.2"])
    await manager.execute("sh", ["-c", "exit 3"])

    stats = await manager.get_stats()
    assert (stats.active_sandboxes, stats.total_executions) == (0, 2)
    assert 100 <= stats.avg_execution_time < 10_000
    assert 0 < stats.avg_memory_mb < 256


async def test_running_guest_is_active(manager):
    running = asyncio.create_task(manager.execute("sleep", ["60"]))
    await until_active(manager, 1)

    assert await manager.cleanup() == 1

    result = await running
    assert result.ending.kind is EndingKind.SIGNALLED
    assert (await manager.get_stats()).active_sandboxes == 0


async def test_cleanup_by_timeout_ends_only_what_ran_too_long(manager):
    long = asyncio.create_task(manager.execute("sh", ["-c", "echo early; sleep 60"]))
    await until_active(manager, 1)
    await asyncio.sleep(1)
    short = asyncio.create_task(manager.execute("sleep", ["1"]))
    await until_active(manager, 2)

    assert await manager.cleanup(timeout=0.9) == 1

    result = await long
    assert (result.exit_code, result.stdout) == (-9, b"early\n")
    assert (await short).success
    assert await manager.cleanup(timeout=300) == 0


async def test_cleanup_by_idle_time_removes_only_what_sits_idle(manager):
    idle = await manager.create_sandbox("idle")
    busy = await manager.create_sandbox("busy")
    assert (await idle.execute("true")).success
    running = asyncio.create_task(busy.execute("sleep", ["1"]))
    await asyncio.sleep(0.4)

    assert await manager.cleanup(idle_timeout=60) == 0
    assert await manager.cleanup(idle_timeout=0.2) == 1

    with pytest.raises(ConfigError, match="there is no sandbox `idle`"):
        await idle.execute("true")
    assert (await running).success
    assert (await busy.execute("true")).success
    assert await manager.cleanup_all() == 1


async def test_named_sandbox_has_its_config_and_is_one_however_much_runs_in_it(manager, work_dir):
    sandbox = await manager.create_sandbox("a", SandboxConfig(work_dir, environment={"WHO": "a"}))

    results = await asyncio.gather(*(sandbox.execute("printenv", ["WHO"]) for _ in range(4)))

    assert [result.stdout for result in results] == [b"a\n"] * 4
    assert (await manager.get_stats()).active_sandboxes == 1
    with pytest.raises(ConfigError, match="`a` exists already"):
        await manager.create_sandbox("a")


async def test_destroying_a_sandbox_ends_its_runs(manager):
    sandbox = await manager.create_sandbox("a")
    running = asyncio.create_task(sandbox.execute("sleep", ["60"]))
    other = asyncio.create_task(manager.execute("sleep", ["1"]))
    await until_active(manager, 2)
    await asyncio.sleep(0.3)

    assert await manager.destroy_sandbox("a") is True

    assert (await running).exit_code == -9
    assert (await other).success
    assert await manager.destroy_sandbox("a") is False


async def test_config_of_one_run_does_not_touch_the_default(manager, work_dir):
    config = SandboxConfig(work_dir, environment={"X": "1"})

    assert (await manager.execute_with_config(config, "printenv", ["X"])).stdout == b"1\n"
    assert (await manager.execute("printenv", ["X"])).exit_code == 1
    assert (await manager.get_stats()).total_executions == 2


async def test_cancelled_run_is_active_no_more(manager):
    running = asyncio.create_task(manager.execute("sleep", ["60"]))
    await until_active(manager, 1)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert (await manager.get_stats()).active_sandboxes == 0


async def test_leaving_the_block_ends_everything(work_dir):
    async with SandboxManager(SandboxConfig(work_dir)) as manager:
        running = asyncio.create_task(manager.execute("sleep", ["60"]))
        await until_active(manager, 1)

    assert (await running).exit_code == -9


@pytest.mark.parametrize("keys", [{"timeout": -1}, {"idle_timeout": "soon"}])
async def test_malformed_time_is_refused_and_ends_nothing(manager, keys):
    await manager.create_sandbox("a")

    with pytest.raises(ConfigError):
        await manager.cleanup(**keys)

    assert (await manager.get_stats()).active_sandboxes == 1


async def test_wasm_runs_are_counted_and_ended_too(wat):
    loops = wat('(module (func (export "_start") (loop br 0)))')
    async with WasmSandboxManager(WasmSandboxConfig(max_fuel=None)) as manager:
        assert (await manager.execute(wat('(module (func (export "_start")))'))).success
        named = await manager.create_sandbox("a", WasmSandboxConfig(max_fuel=10))
        assert (await named.execute(loops)).ending.kind is EndingKind.OUT_OF_FUEL
        running = asyncio.create_task(manager.execute(loops))
        await until_active(manager, 2)

        assert await manager.cleanup(timeout=0) == 1

        assert (await running).success is False
        stats = await manager.get_stats()
        assert (stats.active_sandboxes, stats.total_executions) == (1, 3)
