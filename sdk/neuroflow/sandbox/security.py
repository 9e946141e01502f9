"""What a sandbox really protects: the receipt of a probe, checked from inside."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from neuroflow.sandbox._waiting import outcome_of
from neuroflow.sandbox.errors import SetupError
from neuroflow.sandbox.results import Held, SandboxResult, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from neuroflow.sandbox import _native
    from neuroflow.sandbox.config import SandboxConfig

_PROBE = ("cat", "/proc/self/status")
"""Tells what the kernel holds against the process that asks; proc_pid_status(5)."""

_NOTHING = "0000000000000000"

_SEEN_FROM_INSIDE: Mapping[str, Callable[[dict[str, str]], bool]] = {
    "no_new_privs": lambda status: status["NoNewPrivs"] == "1",
    "syscalls": lambda status: status["Seccomp"] == "2",
    "capabilities": lambda status: status["CapPrm"] == status["CapEff"] == _NOTHING,
}
"""Protections that the probe can see for itself, and how they show."""


class SecurityReport(Mapping[str, Held]):
    """What protected a probe: each protection by name, and by what it held.

    Read it like a `dict`: `report["network"].state`. A protection that the
    receipt calls enforced and the probe did not find is in `contradictions`.
    """

    def __init__(
        self,
        held: Mapping[str, Held],
        observed: Mapping[str, bool],
        contradictions: tuple[str, ...],
    ) -> None:
        self._held = dict(held)
        self.observed = dict(observed)
        """What the probe saw of the protections that show from inside."""
        self.contradictions = contradictions
        """Protections that are in the receipt and that the probe did not find."""

    @property
    def ok(self) -> bool:
        """Whether nothing is missing, degraded, or contradicted by the probe."""
        states = {held.state for held in self._held.values()}
        return not self.contradictions and states <= {State.ENFORCED, State.OFF}

    def __getitem__(self, name: str) -> Held:
        return self._held[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def __repr__(self) -> str:
        return f"SecurityReport(ok={self.ok}, {self._held!r})"


async def probe(
    config: SandboxConfig, make: Callable[[SandboxConfig], _native.Executor]
) -> SecurityReport:
    """Runs the probe in a sandbox of `config` and compares.

    Raises:
        SandboxError: The sandbox could not run it.
    """
    commands = [*config.allowed_commands, _PROBE[0]] if config.allowed_commands else []
    executor = make(dataclasses.replace(config, allowed_commands=commands))
    result = SandboxResult._of(await outcome_of(executor.command(_PROBE[0], list(_PROBE[1:]))))
    if not result.success:
        said = result.error or result.stderr.decode(errors="replace").strip()
        raise SetupError(f"could not probe the sandbox: `{' '.join(_PROBE)}` failed: {said}")
    lines = (line.partition(":") for line in result.stdout.decode(errors="replace").splitlines())
    status = {key: value.strip() for key, _, value in lines}
    observed = {name: seen(status) for name, seen in _SEEN_FROM_INSIDE.items()}
    contradictions = tuple(
        name
        for name, seen in observed.items()
        if name in result.enforcement
        and result.enforcement[name].state is State.ENFORCED
        and not seen
    )
    return SecurityReport(result.enforcement, observed, contradictions)
