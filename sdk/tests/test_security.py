"""`validate_security`: the receipt of a probe, compared with what the probe saw."""

from neuroflow.sandbox import Held, SandboxSecurityLevel, SecurityReport, State


async def test_receipt_and_probe_agree(isolate):
    report = await isolate().validate_security()

    assert report["timeout"].state is State.ENFORCED
    assert report["no_new_privs"].state is State.ENFORCED
    assert report["syscalls"].state is State.ENFORCED
    assert report.observed["no_new_privs"] is True
    assert report.observed["syscalls"] is True
    assert report.contradictions == ()
    assert set(report) == {name for name, _ in report.items()}


async def test_what_a_level_leaves_out_is_told(isolate):
    report = await isolate(enable_seccomp=False).validate_security()

    assert report["syscalls"].state is State.OFF


async def test_weakest_level_is_seen_to_be_weak(work_dir):
    from neuroflow.sandbox import SandboxConfig, SandboxIsolator

    config = SandboxConfig(work_dir, security_level=SandboxSecurityLevel.MINIMAL)
    report = await SandboxIsolator(config).validate_security()

    assert report.observed["syscalls"] is False
    assert report["syscalls"].state is not State.ENFORCED
    assert report.ok is False or all(held.state is State.OFF for held in report.values())


async def test_probe_runs_though_only_other_commands_are_allowed(isolate):
    isolator = isolate(allowed_commands=["python3"])

    report = await isolator.validate_security()

    assert report["allowed_commands"].state is State.ENFORCED
    assert (await isolator.execute("cat")).exit_code == -1


def test_a_receipt_that_the_probe_contradicts_is_not_ok():
    held = {"no_new_privs": Held(State.ENFORCED, "prctl", "")}

    assert SecurityReport(held, {"no_new_privs": True}, ()).ok
    assert not SecurityReport(held, {"no_new_privs": False}, ("no_new_privs",)).ok
    assert not SecurityReport({"memory": Held(State.DEGRADED, "x", "y")}, {}, ()).ok
