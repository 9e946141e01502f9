"""Many runs at once: how many, how they fared, and ending those that take too long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from neuroflow.sandbox import _native, _reading
from neuroflow.sandbox._reading import Path, Reading, optional
from neuroflow.sandbox._waiting import on_thread
from neuroflow.sandbox.isolation import NamespaceIsolator, SandboxIsolator
from neuroflow.sandbox.wasm import WasmSandbox

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from typing_extensions import Self

    from neuroflow.sandbox.config import SandboxConfig, WasmSandboxConfig
    from neuroflow.sandbox.results import SandboxResult, WasmExecutionResult

_Sandbox = TypeVar("_Sandbox", bound="SandboxIsolator | NamespaceIsolator | WasmSandbox")


@dataclass(frozen=True)
class SandboxStats:
    """What a manager counted."""

    active_sandboxes: int
    """Named sandboxes, and runs that have none, alive now."""
    total_executions: int
    """Runs that came to a result; those whose guest never started are not among them."""
    avg_execution_time: float
    """Mean wall-clock time of a run, in milliseconds; 0 before the first."""
    avg_memory_mb: float
    """Mean peak memory of a run, in MiB; 0 before the first."""


class _Manager:
    """What the two managers have in common: counting and ending."""

    def __init__(self) -> None:
        self._native = _native.Manager()

    async def start(self) -> None:
        """Probes what this host can enforce, so that the first run need not.

        May be left out, and called again.
        """
        await on_thread(_native.probe_host)

    async def get_stats(self) -> SandboxStats:
        """The counts so far."""
        stats = self._native.stats()
        return SandboxStats(
            active_sandboxes=stats.active_sandboxes,
            total_executions=stats.total_executions,
            avg_execution_time=stats.avg_execution_time,
            avg_memory_mb=stats.avg_memory_mb,
        )

    async def destroy_sandbox(self, id: str) -> bool:
        """Ends the sandbox of that name and its runs. False if there is none.

        Returns when nothing of them runs any more.
        """
        return await on_thread(lambda: self._native.destroy_sandbox(id))

    async def cleanup(
        self, timeout: float | str | None = None, *, idle_timeout: float | str | None = None
    ) -> int:
        """Ends runs and sandboxes, and tells how many.

        Returns when nothing of them runs any more. Whoever awaits a run that was
        ended gets its result, with what it wrote until then.

        Args:
            timeout: Ends the runs that have taken longer than so many seconds.
            idle_timeout: Removes the named sandboxes in which nothing has run for
                so many seconds. With neither, everything is ended, as by
                `cleanup_all`.
        """
        read = Reading()
        longest = read("timeout", optional(_reading.seconds), timeout)
        idle = read("idle_timeout", optional(_reading.seconds), idle_timeout)
        read.done()
        if longest is None and idle is None:
            return await self.cleanup_all()
        ended = 0
        if longest is not None:
            ended += await on_thread(lambda: self._native.cleanup_longer_than(longest))
        if idle is not None:
            ended += self._native.cleanup_idle(idle)
        return ended

    async def cleanup_all(self) -> int:
        """Ends every run and removes every sandbox, and tells how many."""
        return await on_thread(self._native.cleanup)

    def _counted(self, sandbox: _Sandbox, name: str | None = None) -> _Sandbox:
        """Has the runs of `sandbox` counted here."""
        sandbox._manager = self._native
        sandbox._name = name
        if name is not None:
            self._native.create_sandbox(name, sandbox._executor)
        return sandbox

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.cleanup_all()


class SandboxManager(_Manager):
    """Runs programs in process or namespace sandboxes, counts them and ends them.

    A *sandbox* here is either a named one, from `create_sandbox` until it is
    destroyed or cleaned up, or that of a single run, which lives as long as the
    run. Entered with `async with`, it ends everything when the block is left.

    Args:
        default_config: The config of `execute`; `SandboxConfig()` if left out.
        backend: The sandbox that runs are given: `SandboxIsolator`, the process
            sandbox, or `NamespaceIsolator`.
    """

    def __init__(
        self,
        default_config: SandboxConfig | None = None,
        *,
        backend: type[SandboxIsolator | NamespaceIsolator] = SandboxIsolator,
    ) -> None:
        super().__init__()
        self._backend = backend
        self._default = self._counted(backend(default_config))

    async def execute(
        self,
        command: Path,
        args: Iterable[Path] | None = None,
        timeout: float | str | None = None,
        *,
        input: bytes | None = None,
    ) -> SandboxResult:
        """Runs a program with the default config; see `SandboxIsolator.execute`."""
        return await self._default.execute(command, args, timeout, input=input)

    async def execute_with_config(
        self,
        config: SandboxConfig,
        command: Path,
        args: Iterable[Path] | None = None,
        timeout: float | str | None = None,
        *,
        input: bytes | None = None,
    ) -> SandboxResult:
        """Runs a program with a config of its own; see `SandboxIsolator.execute`."""
        sandbox = self._counted(self._backend(config))
        return await sandbox.execute(command, args, timeout, input=input)

    async def create_sandbox(
        self,
        id: str,
        config: SandboxConfig | None = None,
    ) -> SandboxIsolator | NamespaceIsolator:
        """Keeps a sandbox under a name until it is destroyed or cleaned up.

        After that its `execute` raises `ConfigError`.

        Raises:
            ConfigError: The name is taken.
        """
        return self._counted(self._backend(config), id)


class WasmSandboxManager(_Manager):
    """Runs WASM modules, counts them and ends them.

    Args:
        default_config: The config of `execute`; `WasmSandboxConfig()` if left out.
    """

    def __init__(self, default_config: WasmSandboxConfig | None = None) -> None:
        super().__init__()
        self._default = self._counted(WasmSandbox(default_config))

    async def execute(self, wasm_bytes: bytes, input_data: bytes = b"") -> WasmExecutionResult:
        """Runs a module with the default config; see `WasmSandbox.execute`."""
        return await self._default.execute(wasm_bytes, input_data)

    async def execute_with_config(
        self, config: WasmSandboxConfig, wasm_bytes: bytes, input_data: bytes = b""
    ) -> WasmExecutionResult:
        """Runs a module with a config of its own; see `WasmSandbox.execute`."""
        return await self._counted(WasmSandbox(config)).execute(wasm_bytes, input_data)

    async def create_sandbox(
        self,
        id: str,
        config: WasmSandboxConfig | None = None,
    ) -> WasmSandbox:
        """Keeps a sandbox under a name until it is destroyed or cleaned up.

        After that its `execute` raises `ConfigError`.

        Raises:
            ConfigError: The name is taken.
        """
        return self._counted(WasmSandbox(config), id)
