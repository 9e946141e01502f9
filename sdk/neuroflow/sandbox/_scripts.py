"""How an interpreter is given the text of a script."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from neuroflow.sandbox.errors import ConfigError

LONGEST_ARGUMENT = 128 * 1024 - 1
"""Bytes that one argument can have, beside its NUL: `MAX_ARG_STRLEN`, execve(2)."""

_FROM_STDIN = """\
def script():
    import os
    del globals()["script"]
    text = b""
    while len(text) < {length}:
        part = os.read(0, {length} - len(text))
        if not part:
            raise EOFError("the script was cut short")
        text += part
    return compile(text, "<string>", "exec")
exec(script())
"""
"""Runs the first bytes of stdin; what comes after them is the script's own input.
Read by descriptor: a buffered read would take some of that input along."""

_FAMILIES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    # `--` ends the shell's options: a script may begin with a dash.
    (r"(ba|da|z|k|mk|a)?sh", ("-c", "--"), ""),
    (r"(python|pypy)[0-9.]*", ("-c",), ""),
    (r"(perl|ruby|lua|luajit)[0-9.]*", ("-e",), ""),
    (r"node(js)?", (), "--eval="),
    (r"php[0-9.]*", ("-r",), ""),
)
"""Names of an interpreter, the arguments before the script, and what is put in
front of the script itself."""


@dataclass(frozen=True)
class Invocation:
    """The arguments and the input with which an interpreter runs a script."""

    args: list[str]
    input: bytes | None


def invocation(script: str, interpreter: str, stdin: bytes | None) -> Invocation:
    """Tells how `interpreter` is made to run `script` with `stdin` as its input.

    The script is passed as an argument, and not as a file in the work dir: an
    earlier guest may have left traps there.

    Raises:
        ConfigError: The interpreter is not known, or the script is too long for it.
    """
    name = os.path.basename(interpreter)
    families = (family for family in _FAMILIES if re.fullmatch(family[0], name))
    family = next(families, None)
    if family is None:
        raise ConfigError(
            [
                f"interpreter: how `{name}` is given a script is not known; "
                "write the script to a file in the work dir and use `execute`"
            ]
        )

    _, args, prefix = family
    length = len(script.encode())
    if len(prefix) + length <= LONGEST_ARGUMENT:
        return Invocation([*args, prefix + script], stdin)
    if name.startswith(("python", "pypy")):
        bootstrap = _FROM_STDIN.format(length=length)
        return Invocation(["-c", bootstrap], script.encode() + (stdin or b""))
    raise ConfigError(
        [
            f"script: {length} bytes are more than `{name}` can be given as an argument "
            f"({LONGEST_ARGUMENT}); write it to a file in the work dir and use `execute`"
        ]
    )
