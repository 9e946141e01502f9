"""The sandboxes that run programs: a process with limits, and Linux namespaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neuroflow.sandbox import _native, _reading, _scripts
from neuroflow.sandbox._reading import Path, Reading, optional
from neuroflow.sandbox._waiting import outcome_of
from neuroflow.sandbox.config import SandboxConfig
from neuroflow.sandbox.results import SandboxResult
from neuroflow.sandbox.security import SecurityReport, probe

if TYPE_CHECKING:
    from collections.abc import Iterable


class _ProgramSandbox:
    """What the two sandboxes have in common: everything but their strength."""

    def __init__(self, config: SandboxConfig | None = None) -> None:
        self._config = SandboxConfig() if config is None else config
        self._executor = self._make(self._config)
        # Set by a manager, which then counts the runs and can end them.
        self._manager: _native.Manager | None = None
        self._name: str | None = None

    @staticmethod
    def _make(config: SandboxConfig) -> _native.Executor:
        raise NotImplementedError

    @property
    def config(self) -> SandboxConfig:
        """The config every run has."""
        return self._config

    async def execute(
        self,
        command: Path,
        args: Iterable[Path] | None = None,
        timeout: float | str | None = None,
        *,
        input: bytes | None = None,
    ) -> SandboxResult:
        """Runs a program to its end and tells how it ended.

        A program that fails, is killed or runs into a limit is a result, not an
        exception, and what it wrote until then is kept. So is a command that is
        not on `allowed_commands`: `exit_code` is -1 and nothing was started.
        Cancelling the call kills the program and all it started before
        `CancelledError` gets out. Calls may overlap as one likes.

        Args:
            command: A name, looked up on the sandbox's PATH and not the host's, or
                a path.
            args: Passed as they are; no shell reads them.
            timeout: Wall-clock seconds, or text such as `"1m"`; the config's if
                left out.
            input: What the program reads from its stdin. Without it stdin is at
                its end; the caller's own is never passed on.

        Raises:
            ConfigError: The config contradicts itself, or an argument cannot be
                passed on as it is.
            UnsupportedError: This host cannot enforce the config.
            ProgramNotFoundError: There is no such program (a `FileNotFoundError`).
            ProgramNotExecutableError: It cannot be executed (a `PermissionError`).
            SetupError: A step failed before the program began.
        """
        read = Reading()
        program = read("command", _reading.path, command)
        arguments = read("args", _reading.paths, () if args is None else args)
        seconds = read("timeout", optional(_reading.seconds), timeout)
        stdin = read("input", optional(_reading.data), input)
        read.done()
        return await self._run(program, arguments, seconds, stdin)

    async def execute_script(
        self,
        script: str,
        interpreter: Path = "python3",
        timeout: float | str | None = None,
        *,
        input: bytes | None = None,
    ) -> SandboxResult:
        """Runs the text of a script to its end; like `execute` in all else.

        The script itself is handed to the interpreter; no file is written. `input`
        stays the script's to read.

        Args:
            script: The text of the program.
            interpreter: `python3`, `sh`, `bash`, `node`, `perl`, `ruby`, `lua`,
                `php`, one of their versions (`python3.12`), or a path of one.
            timeout: As for `execute`.
            input: As for `execute`.

        Raises:
            ConfigError: As for `execute`; the interpreter is none of those, or the
                script is too long for it (128 KiB; Python has no limit).
            SandboxError: As for `execute`.
        """
        read = Reading()
        program = read("interpreter", _reading.path, interpreter)
        text = read("script", _reading.text, script)
        seconds = read("timeout", optional(_reading.seconds), timeout)
        stdin = read("input", optional(_reading.data), input)
        read.done()
        call = _scripts.invocation(text, program, stdin)
        return await self._run(program, call.args, seconds, call.input)

    async def validate_security(self) -> SecurityReport:
        """Runs a small probe in this sandbox and tells what protected it.

        This is the receipt of a run that took place, checked against what the
        probe saw from inside; not what the config wishes for.

        Raises:
            SandboxError: As for `execute`.
        """
        return await probe(self._config, self._make)

    async def _run(
        self, program: str, args: list[str], timeout: float | None, stdin: bytes | None
    ) -> SandboxResult:
        run = self._executor.command(
            program,
            args,
            input=stdin,
            timeout=timeout,
            manager=self._manager,
            sandbox=self._name,
        )
        return SandboxResult._of(await outcome_of(run))


class SandboxIsolator(_ProgramSandbox):
    r"""The process sandbox: a plain process with limits, for code one trusts.

    It sees the host's own files. How much it is kept from is the config's
    `security_level`. One isolator serves any number of runs, one after the other
    or at once.

    Args:
        config: The config every run has; `SandboxConfig()` if left out.

    Example:
        >>> import asyncio
        >>> from neuroflow.sandbox import SandboxIsolator
        >>> result = asyncio.run(SandboxIsolator().execute("echo", ["hello"]))
        >>> result.exit_code, result.stdout
        (0, b'hello\n')
    """

    @staticmethod
    def _make(config: SandboxConfig) -> _native.Executor:
        return _native.Executor.process(config)


class NamespaceIsolator(_ProgramSandbox):
    """The Linux-namespace sandbox, for third-party code; the recommended one.

    The guest sees only its own processes, only the work dir, the allowed paths
    and the system's read-only files, and no network. One isolator serves any
    number of runs, one after the other or at once.

    Args:
        config: The config every run has; `SandboxConfig()` if left out.
    """

    @staticmethod
    def _make(config: SandboxConfig) -> _native.Executor:
        return _native.Executor.namespace(config)
