"""The WASM sandbox, for untrusted modules."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import TYPE_CHECKING

from neuroflow.sandbox import _native, _reading
from neuroflow.sandbox._reading import Path, Reading
from neuroflow.sandbox._waiting import on_thread, outcome_of
from neuroflow.sandbox.config import WasmSandboxConfig
from neuroflow.sandbox.results import WasmExecutionResult

if TYPE_CHECKING:
    from types import TracebackType


class WasmSandbox:
    """Runs WASM modules that reach nothing but what `allowed_imports` grants.

    Entered with `async with`, it ends what still runs when the block is left. One
    sandbox serves any number of runs, one after the other or at once; each has a
    memory of its own.

    Args:
        config: The config every run has; `WasmSandboxConfig()` if left out.
    """

    def __init__(self, config: WasmSandboxConfig | None = None) -> None:
        self._config = WasmSandboxConfig() if config is None else config
        self._executor = _native.Executor.wasm(self._config)
        self._runs: set[_native.Run] = set()
        # Set by a manager, which then counts the runs and can end them.
        self._manager: _native.Manager | None = None
        self._name: str | None = None

    @property
    def config(self) -> WasmSandboxConfig:
        """The config every run has."""
        return self._config

    async def execute(self, wasm_bytes: bytes, input_data: bytes = b"") -> WasmExecutionResult:
        """Runs a module to its end and tells how it ended.

        The entry point is the export `_start`, else `main`. A module that traps,
        runs out of fuel or time, grows past its memory or asks for an import that
        is not allowed is a result with `success=False`, not an exception.
        Cancelling the call ends the module before `CancelledError` gets out.

        Args:
            wasm_bytes: A binary core module.
            input_data: What it reads from its stdin, where `allowed_imports`
                grants it the imports for that.

        Raises:
            ConfigError: The bytes are no module, or the config contradicts itself.
            UnsupportedError: This build has no WASM engine, or the module needs
                what is not offered.
        """
        read = Reading()
        module = read("wasm_bytes", _reading.data, wasm_bytes)
        stdin = read("input_data", _reading.data, input_data)
        read.done()
        run = self._executor.module(module, stdin, manager=self._manager, sandbox=self._name)
        self._runs.add(run)
        try:
            return WasmExecutionResult._of(await outcome_of(run))
        finally:
            self._runs.discard(run)

    async def execute_file(self, path: Path, input_data: bytes = b"") -> WasmExecutionResult:
        """Runs the module in a file; like `execute` in all else.

        Raises:
            OSError: The file cannot be read.
            SandboxError: As for `execute`.
        """
        return await self.execute(await on_thread(FilePath(path).read_bytes), input_data)

    async def __aenter__(self) -> WasmSandbox:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for run in tuple(self._runs):
            run.kill()


async def execute_wasm(
    wasm_bytes: bytes, config: WasmSandboxConfig | None = None, input_data: bytes = b""
) -> WasmExecutionResult:
    """Runs a module in a sandbox of its own; see `WasmSandbox.execute`."""
    async with WasmSandbox(config) as sandbox:
        return await sandbox.execute(wasm_bytes, input_data)
