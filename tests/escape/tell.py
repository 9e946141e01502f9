# What every script of these tests begins with: ways to try an act and to tell
# how it went, one line each.
import ctypes, errno, os, sys

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def say(what, value):
    print(what, value, sep="\t", flush=True)


def tell(what, act, *args, **named):
    try:
        got = act(*args, **named)
    except OSError as e:
        say(what, errno.errorcode.get(e.errno, e.errno) if e.errno else type(e).__name__)
    else:
        say(what, "ok")
        return got


def call(number, *args):
    def raw(arg):
        return arg if isinstance(arg, (bytes, ctypes._SimpleCData)) or not isinstance(arg, int) \
            else ctypes.c_long(arg)
    ctypes.set_errno(0)
    got = libc.syscall(ctypes.c_long(number), *map(raw, args))
    if got == -1:
        raise OSError(ctypes.get_errno(), "")
    return got
