"""What a user writes: the configs of the three sandboxes.

Frozen dataclasses, so that they compare, print, pickle and go through
`dataclasses.replace`. What a value *means* is decided in one place, the kernel:
sizes and times given as text are read by it, and contradictions between keys
are found by it when a run is planned.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from neuroflow.sandbox import _native, _reading
from neuroflow.sandbox._reading import Path, Reading, optional

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MIB = 1 << 20


class SandboxSecurityLevel(str, Enum):
    """How strong the process sandbox is, weakest first.

    The namespace sandbox is at least as strong as `STRICT` at every level.
    """

    MINIMAL = "minimal"
    """Limits only."""
    STANDARD = "standard"
    """Limits, `no_new_privs`, and a deny list of dangerous system calls."""
    STRICT = "strict"
    """Standard, and Landlock to the work dir, the allowed paths and the system's
    own read-only files, and no network."""
    PARANOID = "paranoid"
    """The namespace sandbox's plan, or a refusal."""


class Isolation(str, Enum):
    """How much isolation the namespace sandbox insists on."""

    STRICT = "strict"
    """All namespaces, or a refusal."""
    CONTAINED = "contained"
    """Landlock, seccomp and rlimits without namespaces, where the host has no
    namespaces to give."""


_Config = TypeVar("_Config", bound="SandboxConfig | WasmSandboxConfig")


def _remembers_named(cls: type[_Config]) -> type[_Config]:
    """Fills in `named`: the keys that the call wrote.

    A signature's defaults cannot tell `memory_limit=256 << 20` from a memory
    limit left out, and to the sandbox these are two things. Where `named` is
    given, as by `dataclasses.replace`, that set stands, and what differs from
    its default is added.
    """
    construct: Any = vars(cls)["__init__"]
    names = [entry.name for entry in fields(cls) if entry.name != "named"]

    @functools.wraps(construct)
    def init(self: Any, *args: Any, named: Iterable[str] | None = None, **kwargs: Any) -> None:  # noqa: ANN401
        construct(self, *args, **kwargs)
        if named is None:
            named = [*names[: len(args)], *kwargs]
        else:
            default = cls()
            changed = [n for n in names if getattr(self, n) != getattr(default, n)]
            named = [*named, *changed]
        object.__setattr__(self, "named", frozenset(named))

    type.__setattr__(cls, "__init__", init)
    return cls


@_remembers_named
@dataclass(frozen=True, init=False)
class SandboxConfig:
    """The config of the process and namespace sandboxes.

    Sizes are bytes, or text with a unit: `"256MB"` and `"256MiB"` are both 2^28
    bytes. Times are seconds, or text: `"1.5s"`, `"1m"`. Both are kept as
    numbers. Limits hold for the guest and all its descendants; `None` is no
    limit.

    Raises:
        ConfigError: A value is malformed; every such value is listed. Values that
            contradict each other are found when something is run.
    """

    work_dir: str
    """The guest's current directory, writable; made if it is missing."""
    cpu_time_limit: int | None
    """CPU seconds before the guest is ended."""
    cpu_quota: float | None
    """CPU time per wall-clock time, in cores: 0.5 is half of one. Slows the guest
    down and ends nothing. Needs cgroup v2."""
    memory_limit: int | None
    """Bytes of memory."""
    file_size_limit: int | None
    """Bytes of the largest file."""
    timeout: float | None
    """Wall-clock seconds before the guest is ended."""
    max_processes: int | None
    """Processes and threads alive at once."""
    max_output: int
    """Bytes of stdout and of stderr that are kept, each. What comes after is
    thrown away, and at ten times the cap the guest is ended."""
    enable_network: bool
    """Whether there is a network at all; then `allowed_hosts` says to whom."""
    allowed_hosts: list[str]
    """Hosts the guest may reach: `[]` is nobody, `["*"]` is all."""
    allowed_paths: list[str]
    """Paths beside the work dir: `"/data"` (read-write), `"/data:ro"`, `"/data:rw"`."""
    enable_seccomp: bool
    """Whether system calls are filtered."""
    seccomp_profile: dict[str, Any] | str | None
    """A filter of one's own: OCI/Docker data, or the path of a JSON file with it."""
    landlock: bool
    """Whether Landlock stands as a second wall."""
    security_level: SandboxSecurityLevel
    """How strong the process sandbox is."""
    isolation: Isolation
    """How much isolation the namespace sandbox insists on."""
    environment: dict[str, str]
    """Variables added to the guest's clean environment."""
    allowed_commands: list[str]
    """Commands that may start, compared by the executable they resolve to; `[]` is any."""
    allow_degraded: list[str]
    """Protections that may be weaker on this host, by name: `["memory"]`."""
    named: frozenset[str] = field(repr=False, compare=False)
    """The keys that were written, as opposed to left at their default. A limit
    that was named is enforced as promised or the run is refused."""

    def __init__(
        self,
        work_dir: Path = "/tmp/neuroflow-sandbox",
        *,
        cpu_time_limit: int | None = 30,
        cpu_quota: float | None = None,
        memory_limit: int | str | None = 256 * MIB,
        file_size_limit: int | str | None = 10 * MIB,
        timeout: float | str | None = 30,
        max_processes: int | None = 64,
        max_output: int | str = 16 * MIB,
        enable_network: bool = False,
        allowed_hosts: Iterable[str] = (),
        allowed_paths: Iterable[Path] = (),
        enable_seccomp: bool = True,
        seccomp_profile: Mapping[str, Any] | Path | None = None,
        landlock: bool = True,
        security_level: SandboxSecurityLevel | str = SandboxSecurityLevel.STANDARD,
        isolation: Isolation | str = Isolation.STRICT,
        environment: Mapping[str, str] | None = None,
        allowed_commands: Iterable[str] = (),
        allow_degraded: Iterable[str] = (),
    ) -> None:
        read = Reading()
        vars(self).update(
            work_dir=read("work_dir", _reading.path, work_dir),
            cpu_time_limit=read("cpu_time_limit", optional(_reading.count), cpu_time_limit),
            cpu_quota=read("cpu_quota", optional(_reading.cores), cpu_quota),
            memory_limit=read("memory_limit", optional(_reading.size), memory_limit),
            file_size_limit=read("file_size_limit", optional(_reading.size), file_size_limit),
            timeout=read("timeout", optional(_reading.seconds), timeout),
            max_processes=read("max_processes", optional(_reading.count), max_processes),
            max_output=read("max_output", _reading.size, max_output),
            enable_network=read("enable_network", _reading.flag, enable_network),
            allowed_hosts=read("allowed_hosts", _reading.texts, allowed_hosts),
            allowed_paths=read("allowed_paths", _reading.paths, allowed_paths),
            enable_seccomp=read("enable_seccomp", _reading.flag, enable_seccomp),
            seccomp_profile=read("seccomp_profile", optional(_reading.profile), seccomp_profile),
            landlock=read("landlock", _reading.flag, landlock),
            security_level=read(
                "security_level", _reading.one_of(SandboxSecurityLevel), security_level
            ),
            isolation=read("isolation", _reading.one_of(Isolation), isolation),
            environment=read("environment", _reading.environment, environment or {}),
            allowed_commands=read("allowed_commands", _reading.texts, allowed_commands),
            allow_degraded=read("allow_degraded", _reading.texts, allow_degraded),
        )
        read.done()

    @classmethod
    def default(cls) -> SandboxConfig:
        """The config in which nothing is named."""
        return cls()

    @classmethod
    def from_file(cls, path: Path) -> SandboxConfig:
        """Reads the `sandbox:` section of a YAML file such as `config/neuroflow.yaml`.

        Raises:
            ConfigError: The file cannot be read, or holds an unknown key or a
                malformed value; line and column are told.
        """
        return cls(**_native.load_config(os.fspath(path)))


@_remembers_named
@dataclass(frozen=True, init=False)
class WasmSandboxConfig:
    """The config of the WASM sandbox.

    Raises:
        ConfigError: A value is malformed; every such value is listed.
    """

    max_memory_bytes: int
    """Bytes of linear memory, all memories of a module together."""
    timeout_seconds: float
    """Wall-clock time; covers compiling, starting, running and host calls."""
    max_fuel: int | None
    """Units of fuel; `None` is unmetered."""
    allowed_imports: list[str]
    """Imports that are satisfied: `"env.log"`, or `"env.*"` for a whole module.
    `[]` is none: no WASI, no files, no clock."""
    max_output: int
    """Bytes of stdout and of stderr that are kept, each."""
    named: frozenset[str] = field(repr=False, compare=False)
    """The keys that were written, as opposed to left at their default."""

    def __init__(
        self,
        *,
        max_memory_bytes: int | str = 64 * MIB,
        timeout_seconds: float | str = 30,
        max_fuel: int | None = 1_000_000,
        allowed_imports: Iterable[str] = (),
        max_output: int | str = 16 * MIB,
    ) -> None:
        read = Reading()
        vars(self).update(
            max_memory_bytes=read("max_memory_bytes", _reading.size, max_memory_bytes),
            timeout_seconds=read("timeout_seconds", _reading.seconds, timeout_seconds),
            max_fuel=read("max_fuel", optional(_reading.count), max_fuel),
            allowed_imports=read("allowed_imports", _reading.texts, allowed_imports),
            max_output=read("max_output", _reading.size, max_output),
        )
        read.done()

    @classmethod
    def default(cls) -> WasmSandboxConfig:
        """The config in which nothing is named."""
        return cls()

    @classmethod
    def from_file(cls, path: Path) -> WasmSandboxConfig:
        """Reads the `wasm:` section of a YAML file such as `config/neuroflow.yaml`.

        Raises:
            ConfigError: The file cannot be read, or holds an unknown key or a
                malformed value; line and column are told.
        """
        return cls(**_native.load_wasm_config(os.fspath(path)))
