"""Scripts: what an interpreter is given, and that nothing of it is misread."""

import shutil

import pytest

from neuroflow.sandbox import ConfigError


async def test_python_script_runs_by_default(isolate):
    result = await isolate().execute_script(
        "import sys\nprint(sys.stdin.read(), end='')", input=b"in"
    )

    assert (result.exit_code, result.stdout) == (0, b"in")


@pytest.mark.parametrize(
    ("interpreter", "script", "said"),
    [
        ("sh", "echo $0 $#", b"0\n"),
        ("sh", "-x; echo dashed", b"dashed\n"),
        ("bash", "x=(a b); echo ${x[1]}", b"b\n"),
        ("/bin/sh", "cat", b"input"),
        ("python3", "-1\nprint('minus')", b"minus\n"),
        ("python3", "", b""),
        ("perl", "print 6*7", b"42"),
        ("node", "-1; console.log('node')", b"node\n"),
    ],
)
async def test_every_interpreter_reads_the_script_as_it_is(isolate, interpreter, script, said):
    if shutil.which(interpreter, path="/usr/local/bin:/usr/bin:/bin") is None:
        pytest.skip(f"{interpreter} is not installed here")

    # Node reserves more address space than a limit per process would let it have.
    result = await isolate(memory_limit=None).execute_script(script, interpreter, input=b"input")

    assert result.exit_code == 0, result.stderr
    assert said in result.stdout


async def test_long_python_script_leaves_its_input_and_its_names_alone(isolate):
    script = (
        "import sys\n"
        f"filler = '{'x' * 300_000}'\n"
        "print(len(filler), __name__, sorted(n for n in globals() if n[:2] != '__'))\n"
        "print(sys.stdin.buffer.read())\n"
    )

    result = await isolate().execute_script(script, input=b"mine")

    assert result.exit_code == 0, result.stderr
    assert result.stdout == b"300000 __main__ ['filler', 'sys']\nb'mine'\n"


async def test_long_shell_script_is_refused_with_what_to_do(isolate):
    with pytest.raises(ConfigError, match=r"more than `sh` can be given .* use `execute`"):
        await isolate().execute_script("#" * 200_000, "sh")


async def test_unknown_interpreter_is_refused_with_what_to_do(isolate):
    with pytest.raises(ConfigError, match=r"how `cat` is given a script is not known"):
        await isolate().execute_script("text", "cat")


async def test_script_that_fails_is_a_result(isolate):
    result = await isolate().execute_script("raise SystemExit(3)", timeout=20)

    assert (result.exit_code, result.success) == (3, False)


async def test_script_has_a_timeout_like_a_command(isolate):
    result = await isolate().execute_script("while True: pass", timeout="500ms")

    assert result.timed_out
    assert result.error == "Command timed out after 0.5s"
