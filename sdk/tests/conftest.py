"""What the tests share: a work dir of their own, and a look for what is left over."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import processes_with
from wasmtime import wat2wasm

from neuroflow.sandbox import NamespaceIsolator, SandboxConfig, SandboxIsolator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Isolator = SandboxIsolator | NamespaceIsolator


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    """A work dir that a guest of another user can enter."""
    for parent in (tmp_path, *tmp_path.parents):
        if parent == Path("/tmp"):
            break
        parent.chmod(0o755)
    path = tmp_path / "work"
    path.mkdir()
    return path


@pytest.fixture(params=[SandboxIsolator, NamespaceIsolator], ids=["process", "namespace"])
def isolate(request: pytest.FixtureRequest, work_dir: Path) -> Callable[..., Isolator]:
    """Makes a sandbox of either kind that runs programs, with keys of a config."""

    def make(**keys: object) -> Isolator:
        return request.param(SandboxConfig(work_dir, **keys))

    return make


@pytest.fixture
def marker() -> Iterator[str]:
    """A word to put into a guest's arguments; nothing that has it may be left."""
    word = f"neuroflow-test-{uuid.uuid4().hex}"
    yield word
    assert processes_with(word) == []


@pytest.fixture(scope="session")
def wat() -> Callable[[str], bytes]:
    """Assembles a module from its text format."""
    return lambda text: bytes(wat2wasm(text))
