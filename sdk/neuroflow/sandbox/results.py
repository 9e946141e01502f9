"""What a run came to: how it ended, what it used, and the receipt of what held."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from neuroflow.sandbox import _native


class EndingKind(str, Enum):
    """How a guest can end. Compares equal to its text: `kind == "timed_out"`."""

    EXITED = "exited"
    """By itself; `code` tells the exit code."""
    SIGNALLED = "signalled"
    """By a signal of its own making, or killed by the caller; `signal` tells which."""
    TIMED_OUT = "timed_out"
    """The wall clock ran out."""
    CPU_TIME = "cpu_time"
    """The CPU-time limit was reached."""
    OUT_OF_MEMORY = "out_of_memory"
    """The memory limit was reached."""
    PROCESSES = "processes"
    """The process limit was reached and the guest was ended for it."""
    FILE_SIZE = "file_size"
    """A file grew to the limit."""
    OUTPUT = "output"
    """It wrote far past the output cap."""
    OUT_OF_FUEL = "out_of_fuel"
    """A WASM guest used up its fuel."""
    TRAP = "trap"
    """A WASM guest trapped."""
    IMPORT_REFUSED = "import_refused"
    """A WASM module asks for imports that are not on the list. Nothing ran."""
    REFUSED = "refused"
    """The policy does not allow this command. Nothing ran."""


@dataclass(frozen=True)
class Ending:
    """How a guest ended."""

    kind: EndingKind
    code: int | None = None
    """The exit code, where it ended by itself."""
    signal: int | None = None
    """The signal, where one ended it."""
    detail: str | None = None
    """The limit that was reached, the trap's message, the imports that are
    missing, or the reason of the refusal."""


@dataclass(frozen=True)
class Stall:
    """For how long something waited for one resource."""

    some_ms: float
    """While at least one task waited, in milliseconds."""
    full_ms: float
    """While all that could have run waited, in milliseconds."""


@dataclass(frozen=True)
class Pressure:
    """For how long of the run something in it stood still for want of a resource."""

    cpu: Stall
    """Waiting for a processor, its quota used up or the others busy."""
    memory: Stall
    """Waiting for memory to be freed."""
    io: Stall
    """Waiting for reads and writes."""


@dataclass(frozen=True)
class Usage:
    """What the guest and all its descendants used."""

    wall_ms: float
    """Wall-clock time from start to end, in milliseconds."""
    cpu_user_ms: float
    """CPU time in user mode, in milliseconds."""
    cpu_system_ms: float
    """CPU time in the kernel, in milliseconds."""
    max_memory_bytes: int
    """Peak memory: of the cgroup, of the whole WASM store, or of the largest
    process where the host has no memory controller."""
    stdout_bytes: int
    """Bytes written to stdout, kept or not."""
    stderr_bytes: int
    """Bytes written to stderr, kept or not."""
    fuel_consumed: int | None = None
    """Fuel a metered WASM guest consumed."""
    max_processes: int | None = None
    """Most processes and threads alive at once, where they were counted or watched."""
    pressure: Pressure | None = None
    """How long the guest had to wait for what, where a cgroup measures it."""


class State(str, Enum):
    """Whether a protection held, and how strongly."""

    ENFORCED = "enforced"
    """Held for the guest as a whole."""
    DEGRADED = "degraded"
    """Held by a weaker mechanism than the best one; `why` says which gap stays."""
    OFF = "off"
    """Not asked for."""
    MISSING = "missing"
    """This back end or host does not have it; `why` says what stays open."""


@dataclass(frozen=True)
class Held:
    """One line of the receipt."""

    state: State
    by: str
    """The mechanism, e.g. `RLIMIT_AS (per process)`; empty when off or missing."""
    why: str
    """The reason for anything but `enforced`; empty otherwise."""


@dataclass(frozen=True)
class Violation:
    """Something the guest tried and was refused, or a limit it ran into."""

    kind: str
    """`memory`, `cpu_time`, `command`, `import`, …."""
    what: str
    """What was tried or reached."""
    rule: str
    """The config key that forbids it."""
    fix: str
    """The smallest config change that would allow it."""


@dataclass(frozen=True)
class SandboxResult:
    """What the run of a program came to."""

    exit_code: int
    """The program's own; `-n` for signal *n*, `-9` for every limit that ends a
    guest, `-1` if nothing ran."""
    stdout: bytes
    """Kept up to `max_output`, whatever the ending."""
    stderr: bytes
    """Kept up to `max_output`, whatever the ending."""
    execution_time_ms: float
    """Wall-clock time from start to end."""
    max_memory_bytes: int
    """Peak memory; the same as `usage.max_memory_bytes`."""
    timed_out: bool
    """Whether the wall clock ended it."""
    error: str | None
    """What went wrong in one sentence; `None` where the program ended by itself."""
    success: bool
    """Whether the program ended by itself with code 0."""
    ending: Ending
    """How it ended, typed."""
    usage: Usage
    """What it used."""
    enforcement: Mapping[str, Held]
    """The receipt: each protection by name, with the mechanism that held it.
    Empty if nothing ran."""
    violations: tuple[Violation, ...]
    """What was refused, and the limits it ran into."""
    output_truncated: bool
    """Whether output past the cap was thrown away."""

    @classmethod
    def _of(cls, outcome: _native.Outcome) -> SandboxResult:
        usage = _usage(outcome.usage)
        return cls(
            exit_code=outcome.exit_code,
            stdout=outcome.stdout,
            stderr=outcome.stderr,
            execution_time_ms=usage.wall_ms,
            max_memory_bytes=usage.max_memory_bytes,
            timed_out=outcome.kind == EndingKind.TIMED_OUT,
            error=outcome.error,
            success=outcome.success,
            ending=_ending(outcome),
            usage=usage,
            enforcement=_enforcement(outcome),
            violations=_violations(outcome),
            output_truncated=outcome.output_truncated,
        )


@dataclass(frozen=True)
class WasmExecutionResult:
    """What the run of a WASM module came to."""

    success: bool
    """Whether the module's entry point returned, or exited with code 0."""
    output: bytes
    """What it wrote to stdout, kept up to `max_output`, whatever the ending."""
    error: str | None
    """What went wrong in one sentence; `None` where the module ended by itself."""
    execution_time_ms: float
    """Wall-clock time: compiling, starting and running."""
    fuel_consumed: int | None
    """Units of fuel consumed, not remaining; the same on every machine and every
    run. `None` where `max_fuel=None` left it unmetered."""
    memory_used_bytes: int
    """Peak linear memory, all memories together."""
    stderr: bytes
    """What it wrote to stderr, kept up to `max_output`."""
    ending: Ending
    """How it ended, typed."""
    usage: Usage
    """What it used."""
    enforcement: Mapping[str, Held]
    """The receipt: each protection by name, with the mechanism that held it."""
    violations: tuple[Violation, ...]
    """What was refused, and the limits it ran into."""
    output_truncated: bool
    """Whether output past the cap was thrown away."""

    @classmethod
    def _of(cls, outcome: _native.Outcome) -> WasmExecutionResult:
        usage = _usage(outcome.usage)
        return cls(
            success=outcome.success,
            output=outcome.stdout,
            error=outcome.error,
            execution_time_ms=usage.wall_ms,
            fuel_consumed=usage.fuel_consumed,
            memory_used_bytes=usage.max_memory_bytes,
            stderr=outcome.stderr,
            ending=_ending(outcome),
            usage=usage,
            enforcement=_enforcement(outcome),
            violations=_violations(outcome),
            output_truncated=outcome.output_truncated,
        )


def _ending(outcome: _native.Outcome) -> Ending:
    return Ending(EndingKind(outcome.kind), outcome.code, outcome.signal, outcome.detail)


def _usage(usage: _native.Usage) -> Usage:
    return Usage(
        wall_ms=usage.wall_ms,
        cpu_user_ms=usage.cpu_user_ms,
        cpu_system_ms=usage.cpu_system_ms,
        max_memory_bytes=usage.max_memory_bytes,
        stdout_bytes=usage.stdout_bytes,
        stderr_bytes=usage.stderr_bytes,
        fuel_consumed=usage.fuel_consumed,
        max_processes=usage.max_processes,
        pressure=None
        if usage.pressure is None
        else Pressure(*(Stall(*stall) for stall in usage.pressure)),
    )


def _enforcement(outcome: _native.Outcome) -> dict[str, Held]:
    return {name: Held(State(state), by, why) for name, state, by, why in outcome.enforcement}


def _violations(outcome: _native.Outcome) -> tuple[Violation, ...]:
    return tuple(Violation(*violation) for violation in outcome.violations)
