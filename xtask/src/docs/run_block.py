"""Runs files of example code the way a reader would type them, in one session.

A page shows `result = await isolator.execute(...)` without the `asyncio.run`
around it; that is a `SyntaxError` in a file, so it is compiled as the
interactive `python -m asyncio` would.
"""

import ast
import asyncio
import inspect
import pathlib
import sys


async def main() -> None:
    session = {"__name__": "__main__"}
    for path in map(pathlib.Path, sys.argv[1:]):
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(path.read_text(), path.name, "exec", flags=flags)
        result = eval(code, session)
        if inspect.isawaitable(result):
            await result


asyncio.run(main())
