"""What the sandbox raises: one class per who can act.

A guest that fails, is killed or runs into a limit is a *result*. An exception
means that the sandbox could not do what it was asked, and that nothing of the
guest goes on.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class SandboxError(Exception):
    """The base of everything the sandbox raises.

    Attributes:
        code: A stable name to match on, the same as in the command line's reports.
        message: What was being done, to what, and what the system said.
        fix: What to change, where something can be changed; else `None`.
    """

    code: ClassVar[str] = "sandbox"

    def __init__(self, message: str, fix: str | None = None) -> None:
        super().__init__(message, fix)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.fix}" if self.fix else self.message


class ConfigError(SandboxError, ValueError):
    """The caller asked for something malformed or contradictory.

    Attributes:
        problems: One sentence for each contradiction that was found.
    """

    code = "config"

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.args = (problems,)
        self.problems = tuple(problems)


class UnsupportedError(SandboxError):
    """This host, or this version, cannot enforce what was asked. Nothing ran.

    Attributes:
        feature: The protection or feature, as the config spells it.
        reason: What is lacking, as it was found by trying.
    """

    code = "unsupported"

    def __init__(self, feature: str, reason: str, fix: str) -> None:
        super().__init__(f"{feature} is not supported here: {reason}", fix or None)
        self.args = (feature, reason, fix)
        self.feature = feature
        self.reason = reason


class SetupError(SandboxError):
    """A step failed on this host just now, before the guest's first instruction.

    Attributes:
        errno: What the system said, as a number of the `errno` module, if it said any.
    """

    code = "setup"
    errno: int | None

    def __init__(self, message: str, error_number: int | None = None) -> None:
        super().__init__(message)
        self.args = (message, error_number)
        self.errno = error_number


class _ProgramError(SetupError, OSError):
    """A program that cannot be started; an `OSError`, as with `subprocess`."""

    def __init__(self, message: str, error_number: int, program: str) -> None:
        OSError.__init__(self, error_number, os.strerror(error_number), program)
        self.message = message
        self.fix = None
        self.program = program

    def __str__(self) -> str:
        return self.message


class ProgramNotFoundError(_ProgramError, FileNotFoundError):
    """The program is not on the sandbox's PATH; a `FileNotFoundError` too.

    Attributes:
        program: The program as it was asked for; also `filename`.
    """

    code = "not_found"

    def __init__(self, message: str, program: str) -> None:
        super().__init__(message, errno.ENOENT, program)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.program)


class ProgramNotExecutableError(_ProgramError, PermissionError):
    """The program exists but cannot be executed; a `PermissionError` too.

    Attributes:
        program: The program as it was asked for; also `filename`.
        errno: What the system said: `EACCES`, `ENOEXEC`, ….
    """

    code = "not_executable"

    def __init__(self, message: str, program: str, error_number: int | None = None) -> None:
        super().__init__(message, error_number or errno.EACCES, program)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.program, self.errno)


class InternalError(SandboxError):
    """A defect of the sandbox itself. Please report it."""

    code = "internal"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.args = (message,)
