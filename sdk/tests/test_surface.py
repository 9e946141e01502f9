"""The names, parameters and fields users were promised, by introspection."""

from __future__ import annotations

import inspect
import pickle
from dataclasses import fields

import pytest

import neuroflow.sandbox as package
from neuroflow.sandbox import (
    ConfigError,
    InternalError,
    NamespaceIsolator,
    ProgramNotExecutableError,
    ProgramNotFoundError,
    SandboxConfig,
    SandboxError,
    SandboxExecutor,
    SandboxIsolator,
    SandboxManager,
    SandboxResult,
    SetupError,
    State,
    UnsupportedError,
    WasmExecutionResult,
    WasmSandbox,
    WasmSandboxManager,
    execute_wasm,
)


@pytest.mark.parametrize(
    ("callable_", "parameters"),
    [
        (SandboxIsolator.execute, "self, command, args=None, timeout=None, *, input=None"),
        (NamespaceIsolator.execute, "self, command, args=None, timeout=None, *, input=None"),
        (
            SandboxIsolator.execute_script,
            "self, script, interpreter='python3', timeout=None, *, input=None",
        ),
        (SandboxIsolator.validate_security, "self"),
        (SandboxExecutor.execute_wasm, "self, wasm_bytes, input_data=b''"),
        (SandboxManager, "default_config=None, *, backend=SandboxIsolator"),
        (SandboxManager.create_sandbox, "self, id, config=None"),
        (SandboxManager.destroy_sandbox, "self, id"),
        (SandboxManager.cleanup, "self, timeout=None, *, idle_timeout=None"),
        (WasmSandbox.execute, "self, wasm_bytes, input_data=b''"),
        (WasmSandbox.execute_file, "self, path, input_data=b''"),
        (WasmSandboxManager, "default_config=None"),
        (execute_wasm, "wasm_bytes, config=None, input_data=b''"),
    ],
)
def test_parameters_are_those_promised(callable_, parameters):
    shown = []
    star = False
    for parameter in inspect.signature(callable_).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            shown.append("*")
            star = True
        default = parameter.default
        name = getattr(default, "__name__", repr(default))
        shown.append(parameter.name if default is parameter.empty else f"{parameter.name}={name}")

    assert ", ".join(shown) == parameters


def test_results_have_the_fields_promised():
    assert {field.name for field in fields(SandboxResult)} == {
        "exit_code", "stdout", "stderr", "execution_time_ms", "max_memory_bytes", "timed_out",
        "error", "success", "ending", "usage", "enforcement", "violations", "output_truncated",
    }  # fmt: skip
    assert {
        "success", "output", "error", "execution_time_ms", "fuel_consumed", "memory_used_bytes",
    } <= {field.name for field in fields(WasmExecutionResult)}  # fmt: skip


def test_every_public_name_is_there_and_documented():
    for name in package.__all__:
        public = getattr(package, name)
        assert public.__doc__, name
        for attribute, value in vars(public).items() if inspect.isclass(public) else ():
            if inspect.isfunction(value) and not attribute.startswith("_"):
                assert value.__doc__, f"{name}.{attribute}"


async def test_results_and_endings_compare_print_and_pickle(isolate):
    result = await isolate().execute("true")

    copy = pickle.loads(pickle.dumps(result))

    assert copy == result
    assert repr(copy) == repr(result)


@pytest.mark.parametrize(
    ("error", "code", "bases", "said"),
    [
        (ConfigError(["a is b", "c is d"]), "config", ValueError, "a is b; c is d"),
        (
            UnsupportedError("memory", "no cgroup", "use systemd-run"),
            "unsupported",
            SandboxError,
            "memory is not supported here: no cgroup\nhint: use systemd-run",
        ),
        (SetupError("could not mount", 1), "setup", SandboxError, "could not mount"),
        (ProgramNotFoundError("`x` is nowhere", "x"), "not_found", FileNotFoundError, "`x` is"),
        (ProgramNotExecutableError("no", "x", 8), "not_executable", PermissionError, "no"),
        (InternalError("oops"), "internal", SandboxError, "oops"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, SandboxError) else "",
)
def test_errors_say_what_to_match_on_and_survive_pickling(error, code, bases, said):
    copy = pickle.loads(pickle.dumps(error))

    for one in (error, copy):
        assert isinstance(one, SandboxError)
        assert isinstance(one, bases)
        assert one.code == code
        assert str(one).startswith(said)
    assert copy.fix == error.fix
    assert vars(copy) == vars(error)
    assert getattr(copy, "errno", None) == getattr(error, "errno", None)


async def test_limit_that_was_named_is_enforced_or_refused(work_dir):
    """By the same rule in every language, and by what this host has."""
    default = await NamespaceIsolator(SandboxConfig(work_dir)).execute("true")
    named = NamespaceIsolator(SandboxConfig(work_dir, memory_limit="256MB"))

    if default.enforcement["memory"].state is State.ENFORCED:
        assert (await named.execute("true")).enforcement["memory"].state is State.ENFORCED
        return
    with pytest.raises(UnsupportedError) as refused:
        await named.execute("true")
    assert refused.value.feature == "memory_limit"
    assert "allow_degraded" in refused.value.fix
    config = SandboxConfig(work_dir, memory_limit="256MB", allow_degraded=["memory"])
    held = (await NamespaceIsolator(config).execute("true")).enforcement["memory"]
    assert held.state is State.DEGRADED
    assert held.why
