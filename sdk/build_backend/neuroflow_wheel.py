"""Builds the wheel: what maturin makes, and the two programs beside it.

maturin leaves out the programs of other packages, and `pip install` should bring
the command line along. So this backend (PEP 517) has cargo build them, by the
same profile and hence from the same wasmtime as the native module, and adds them
to maturin's wheel as scripts.

The profile is `wheel`: a release whose panics unwind, since one in the native
module must not take the application with it. `NEUROFLOW_WHEEL_PROFILE` names
another one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import maturin

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAMS = {"neuroflow-cli": "neuroflow", "neuroflow-wasm": "neuroflow-wasm"}
"""The packages, and the program each makes."""

SDK = Path(__file__).parent.parent
EXECUTABLE = 0o100755 << 16
"""Mode of a file that may be executed, where a zip file keeps it."""

get_requires_for_build_wheel = maturin.get_requires_for_build_wheel
get_requires_for_build_editable = maturin.get_requires_for_build_editable
prepare_metadata_for_build_wheel = maturin.prepare_metadata_for_build_wheel
build_editable = maturin.build_editable


def build_wheel(
    wheel_directory: str,
    config_settings: Mapping[str, Any] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Builds the wheel and returns its name."""
    profile = os.environ.get("NEUROFLOW_WHEEL_PROFILE", "wheel")
    settings = {**(config_settings or {}), "build-args": f"--profile {profile}"}
    name: str = maturin.build_wheel(wheel_directory, settings, metadata_directory)
    _add_scripts(Path(wheel_directory, name), _programs(profile))
    return name


def build_sdist(
    sdist_directory: str,
    config_settings: Mapping[str, Any] | None = None,
) -> str:
    """Refuses: the sources are the whole repository, and not this folder."""
    raise SystemExit("there is no source distribution; install from the repository or a wheel")


def _programs(profile: str) -> list[Path]:
    """Has cargo build the programs, and tells where they are."""
    packages = [word for package in PROGRAMS for word in ("--package", package)]
    command = ["cargo", "build", "--profile", profile, "--message-format", "json", *packages]
    built = subprocess.run(command, cwd=SDK, check=True, stdout=subprocess.PIPE)
    messages = [json.loads(line) for line in built.stdout.splitlines() if line.startswith(b"{")]
    found = [Path(message["executable"]) for message in messages if message.get("executable")]
    missing = set(PROGRAMS.values()) - {path.stem for path in found}
    if missing:
        raise SystemExit(f"cargo built no {', '.join(sorted(missing))}")
    return [path for path in found if path.stem in PROGRAMS.values()]


def _add_scripts(wheel: Path, programs: list[Path]) -> None:
    """Adds programs as scripts: pip installs them beside the interpreter."""
    with zipfile.ZipFile(wheel) as old:
        entries = [(info, old.read(info)) for info in old.infolist()]
    (record,) = (info for info, _ in entries if info.filename.endswith(".dist-info/RECORD"))
    stem = record.filename.removesuffix(".dist-info/RECORD")
    lines = next(data for info, data in entries if info is record).decode().splitlines()

    partial = wheel.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as new:
        for info, data in entries:
            if info is not record:
                new.writestr(info, data)
        for program in programs:
            script = zipfile.ZipInfo(f"{stem}.data/scripts/{program.name}")
            script.external_attr = EXECUTABLE
            script.compress_type = zipfile.ZIP_DEFLATED
            data = program.read_bytes()
            new.writestr(script, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            lines.insert(-1, f"{script.filename},sha256={digest},{len(data)}")
        new.writestr(record, "\n".join(lines) + "\n")
    partial.replace(wheel)
