"""Runs code its owner did not write: three sandboxes behind one interface.

* `SandboxIsolator`: a process with limits, for code one trusts;
* `NamespaceIsolator`: Linux namespaces, for third-party code;
* `WasmSandbox`: a WASM engine, for untrusted modules;
* `SandboxExecutor`: any of the three; `SandboxManager`: many runs at once.

A guest that fails, is killed or runs into a limit is a *result*; an exception
means that the sandbox could not do what it was asked.
"""

from neuroflow.sandbox.config import (
    Isolation,
    SandboxConfig,
    SandboxSecurityLevel,
    WasmSandboxConfig,
)
from neuroflow.sandbox.errors import (
    ConfigError,
    InternalError,
    ProgramNotExecutableError,
    ProgramNotFoundError,
    SandboxError,
    SetupError,
    UnsupportedError,
)
from neuroflow.sandbox.executor import SandboxExecutor
from neuroflow.sandbox.isolation import NamespaceIsolator, SandboxIsolator
from neuroflow.sandbox.manager import SandboxManager, SandboxStats, WasmSandboxManager
from neuroflow.sandbox.results import (
    Ending,
    EndingKind,
    Held,
    Pressure,
    SandboxResult,
    Stall,
    State,
    Usage,
    Violation,
    WasmExecutionResult,
)
from neuroflow.sandbox.security import SecurityReport
from neuroflow.sandbox.wasm import WasmSandbox, execute_wasm

__all__ = [
    "ConfigError",
    "Ending",
    "EndingKind",
    "Held",
    "InternalError",
    "Isolation",
    "NamespaceIsolator",
    "Pressure",
    "ProgramNotExecutableError",
    "ProgramNotFoundError",
    "SandboxConfig",
    "SandboxError",
    "SandboxExecutor",
    "SandboxIsolator",
    "SandboxManager",
    "SandboxResult",
    "SandboxSecurityLevel",
    "SandboxStats",
    "SecurityReport",
    "SetupError",
    "Stall",
    "State",
    "UnsupportedError",
    "Usage",
    "Violation",
    "WasmExecutionResult",
    "WasmSandbox",
    "WasmSandboxConfig",
    "WasmSandboxManager",
    "execute_wasm",
]
