"""Configs: names, defaults, what is read, what is refused, and what counts as named."""

import dataclasses
import pickle
from pathlib import Path

import pytest

from neuroflow.sandbox import (
    ConfigError,
    Isolation,
    SandboxConfig,
    SandboxSecurityLevel,
    WasmSandboxConfig,
    _native,
)

MIB = 1024 * 1024


def test_defaults_are_those_users_were_promised():
    config = SandboxConfig.default()

    assert config.work_dir == "/tmp/neuroflow-sandbox"
    assert config.cpu_time_limit == 30
    assert config.cpu_quota is None
    assert config.memory_limit == 256 * MIB
    assert config.file_size_limit == 10 * MIB
    assert config.enable_network is False
    assert config.enable_seccomp is True
    assert config.security_level is SandboxSecurityLevel.STANDARD
    assert config.allowed_hosts == []
    assert config.allowed_paths == []
    assert config.environment == {}
    assert config.allowed_commands == []
    assert config.allow_degraded == []
    assert config.seccomp_profile is None


def test_wasm_defaults_are_those_users_were_promised():
    config = WasmSandboxConfig.default()

    assert config.max_memory_bytes == 64 * MIB
    assert config.timeout_seconds == 30
    assert config.max_fuel == 1_000_000
    assert config.allowed_imports == []


def test_levels_have_their_names_and_values():
    assert {level.name: level.value for level in SandboxSecurityLevel} == {
        "MINIMAL": "minimal",
        "STANDARD": "standard",
        "STRICT": "strict",
        "PARANOID": "paranoid",
    }


@pytest.mark.parametrize(
    ("config", "kernel"),
    [
        (SandboxConfig(), _native.default_config()),
        (WasmSandboxConfig(), _native.default_wasm_config()),
    ],
)
def test_every_key_and_default_is_the_kernels(config, kernel):
    kernel.pop("named", None)
    ours = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    del ours["named"]

    assert list(ours) == list(kernel)
    assert type(config)(**kernel) == config
    assert {key: value for key, value in kernel.items() if key != "work_dir"} == {
        key: value for key, value in ours.items() if key != "work_dir"
    }


@pytest.mark.parametrize("size", [1 << 28, "256MB", "256MiB", "268435456"])
def test_sizes_are_bytes_or_text_and_are_kept_as_bytes(size):
    assert SandboxConfig(memory_limit=size).memory_limit == 1 << 28
    assert WasmSandboxConfig(max_memory_bytes=size).max_memory_bytes == 1 << 28


@pytest.mark.parametrize(("time", "seconds"), [(0.5, 0.5), (5, 5), ("30s", 30), ("1m", 60)])
def test_times_are_seconds_or_text_and_are_kept_as_seconds(time, seconds):
    assert SandboxConfig(timeout=time).timeout == seconds
    assert WasmSandboxConfig(timeout_seconds=time).timeout_seconds == seconds


def test_no_limit_is_none():
    config = SandboxConfig(
        cpu_time_limit=None,
        memory_limit=None,
        file_size_limit=None,
        timeout=None,
        max_processes=None,
    )

    assert config.memory_limit is None
    assert config.timeout is None


def test_enums_and_paths_are_read_from_what_people_write():
    config = SandboxConfig(
        Path("/tmp/x"), security_level="strict", isolation="contained", allowed_paths=[Path("/d")]
    )

    assert config.work_dir == "/tmp/x"
    assert config.security_level is SandboxSecurityLevel.STRICT
    assert config.isolation is Isolation.CONTAINED
    assert config.allowed_paths == ["/d"]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("memory_limit", -1, "`-1` is not a size"),
        ("memory_limit", 1 << 63, "is not a size"),
        ("memory_limit", 1.5, "`1.5` is not a whole number"),
        ("memory_limit", True, "`True` is not a number"),
        ("memory_limit", "lots", "`lots` is not a size; write bytes or a unit, as in `256MB`"),
        ("max_output", None, "`None` is not a whole number"),
        ("cpu_time_limit", -1, "`-1` is out of range"),
        ("cpu_time_limit", "30", "`'30'` is not a whole number"),
        ("max_processes", 1 << 63, "is out of range"),
        ("timeout", -1, "`-1` is not a time"),
        ("timeout", float("nan"), "`nan` is not a time"),
        ("timeout", float("inf"), "for no limit write None"),
        ("timeout", False, "`False` is not a time"),
        ("timeout", "soon", "`soon` is not a time"),
        ("enable_network", 1, "`1` is not True or False"),
        ("allowed_hosts", "example.org", "is not a list; write ['example.org']"),
        ("allowed_commands", [b"true"], "is not text"),
        ("allowed_paths", Path("/data"), "is not a list"),
        ("allowed_paths", [3], "expected str, bytes or os.PathLike"),
        ("environment", ["A=1"], "is not a mapping"),
        ("environment", {"A": 1}, "`1` is not text"),
        ("environment", {"A": "\ud800"}, "surrogates not allowed"),
        ("security_level", "strct", "is none of minimal, standard, strict, paranoid"),
        ("isolation", "none", "is none of strict, contained"),
        ("work_dir", b"/tmp", "is not a path"),
        ("seccomp_profile", 7, "expected str, bytes or os.PathLike"),
    ],
)
def test_malformed_value_is_refused_with_its_key(key, value, said):
    with pytest.raises(ConfigError) as raised:
        SandboxConfig(**{key: value})

    (problem,) = raised.value.problems
    assert problem.startswith(f"{key}: ")
    assert said in problem
    assert isinstance(raised.value, ValueError)
    assert raised.value.code == "config"


def test_every_malformed_value_is_told_at_once():
    with pytest.raises(ConfigError) as raised:
        SandboxConfig(memory_limit=-1, timeout="soon", enable_seccomp="yes")

    assert [problem.split(":")[0] for problem in raised.value.problems] == [
        "memory_limit",
        "timeout",
        "enable_seccomp",
    ]


def test_unknown_key_is_refused():
    with pytest.raises(TypeError, match="memory_limt"):
        SandboxConfig(memory_limt=1)


def test_keys_that_were_written_are_named_even_at_their_default():
    assert SandboxConfig().named == frozenset()
    assert SandboxConfig("/tmp/x", memory_limit=256 * MIB).named == {"work_dir", "memory_limit"}
    assert WasmSandboxConfig(max_fuel=5).named == {"max_fuel"}


def test_replacing_a_key_names_that_key_and_no_other():
    config = SandboxConfig(timeout=5)

    changed = dataclasses.replace(config, max_processes=3)

    assert changed.named == {"timeout", "max_processes"}
    assert changed.timeout == 5
    assert changed.max_processes == 3


def test_configs_compare_print_and_pickle():
    config = SandboxConfig(memory_limit="1GB", environment={"A": "1"})

    assert config == SandboxConfig(memory_limit=1 << 30, environment={"A": "1"})
    assert config != SandboxConfig()
    assert "memory_limit=1073741824" in repr(config)
    copy = pickle.loads(pickle.dumps(config))
    assert copy == config
    assert copy.named == config.named


def test_config_cannot_be_changed_and_does_not_follow_what_it_was_made_of():
    hosts = ["a"]
    config = SandboxConfig(allowed_hosts=hosts)
    hosts.append("b")

    assert config.allowed_hosts == ["a"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.timeout = 1
