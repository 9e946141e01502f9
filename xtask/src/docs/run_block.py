"""Runs a file of example code the way a reader would type it.

A page shows `result = await isolator.execute(...)` without the `asyncio.run`
around it; that is a `SyntaxError` in a file, so it is compiled as the
interactive `python -m asyncio` would.
"""

import ast
import asyncio
import inspect
import pathlib
import sys

path = pathlib.Path(sys.argv[1])
code = compile(path.read_text(), path.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


async def main() -> None:
    result = eval(code, {"__name__": "__main__"})
    if inspect.isawaitable(result):
        await result


asyncio.run(main())
