"""One interface to the three sandboxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neuroflow.sandbox.errors import UnsupportedError
from neuroflow.sandbox.isolation import NamespaceIsolator, SandboxIsolator
from neuroflow.sandbox.wasm import WasmSandbox

if TYPE_CHECKING:
    from collections.abc import Iterable

    from neuroflow.sandbox._reading import Path
    from neuroflow.sandbox.config import SandboxConfig, WasmSandboxConfig
    from neuroflow.sandbox.results import SandboxResult, WasmExecutionResult


class SandboxExecutor:
    """A sandbox of one of the three kinds.

    Choose by how far the code is trusted: `new_python` for code one trusts,
    `new_namespace` for third-party code, `new_wasm` for untrusted modules.
    """

    def __init__(self, sandbox: SandboxIsolator | NamespaceIsolator | WasmSandbox) -> None:
        self._sandbox = sandbox

    @classmethod
    def new_python(cls, config: SandboxConfig | None = None) -> SandboxExecutor:
        """The process sandbox."""
        return cls(SandboxIsolator(config))

    @classmethod
    def new_namespace(cls, config: SandboxConfig | None = None) -> SandboxExecutor:
        """The Linux-namespace sandbox."""
        return cls(NamespaceIsolator(config))

    @classmethod
    def new_wasm(cls, config: WasmSandboxConfig | None = None) -> SandboxExecutor:
        """The WASM sandbox."""
        return cls(WasmSandbox(config))

    @property
    def config(self) -> SandboxConfig | WasmSandboxConfig:
        """The config every run has."""
        return self._sandbox.config

    async def execute(
        self,
        command: Path,
        args: Iterable[Path] | None = None,
        timeout: float | str | None = None,
        *,
        input: bytes | None = None,
    ) -> SandboxResult:
        """Runs a program; see `SandboxIsolator.execute`.

        Raises:
            UnsupportedError: This is a WASM sandbox, which runs modules.
            SandboxError: As for `SandboxIsolator.execute`.
        """
        if isinstance(self._sandbox, WasmSandbox):
            raise UnsupportedError(
                "execute",
                "the WASM sandbox runs modules, not programs",
                "call execute_wasm, or use SandboxExecutor.new_namespace",
            )
        return await self._sandbox.execute(command, args, timeout, input=input)

    async def execute_wasm(self, wasm_bytes: bytes, input_data: bytes = b"") -> WasmExecutionResult:
        """Runs a WASM module; see `WasmSandbox.execute`.

        Raises:
            UnsupportedError: This sandbox runs programs.
            SandboxError: As for `WasmSandbox.execute`.
        """
        if not isinstance(self._sandbox, WasmSandbox):
            raise UnsupportedError(
                "execute_wasm",
                "this sandbox runs programs, not WASM modules",
                "use SandboxExecutor.new_wasm",
            )
        return await self._sandbox.execute(wasm_bytes, input_data)
