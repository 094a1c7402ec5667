"""Fixtures every test may use: the shared test data, and a cache and network that no test can reach by accident."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import dongfeng

pytest_plugins = ["tests.small_files"]

CHECKOUT = Path(__file__).resolve().parent.parent


def require_shared() -> Path | None:
    """The folder of shared test data, or None where it is absent; for parametrising tests at collection time.

    A test parametrised from it still takes the fixture `shared`, which skips (or fails) where the folder is absent.
    """
    folder = Path(os.environ.get("DONGFENG_SHARED") or CHECKOUT.parent / "shared")
    return folder.resolve() if folder.is_dir() else None


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared test data: `DONGFENG_SHARED`, else `shared` beside the checkout."""
    folder = require_shared()
    if folder is not None:
        return folder
    reason = "needs the shared test data: set DONGFENG_SHARED to its folder, or put it in ../shared"
    if os.environ.get("DONGFENG_REQUIRE_SHARED") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def subprocess_env() -> dict[str, str]:
    """Environment in which a child process imports the dongfeng that is being tested, wherever it works."""
    return {**os.environ, "PYTHONPATH": str(Path(dongfeng.__file__).parent.parent)}


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache folder for the whole session, so that a model converted by one test is warm for the next."""
    return tmp_path_factory.mktemp("dongfeng_home")


@pytest.fixture(autouse=True)
def _isolated(session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every test off the network and out of the user's cache; a test of downloads sets its own."""
    monkeypatch.setenv("DONGFENG_HOME", str(session_cache))
    monkeypatch.setenv("DONGFENG_OFFLINE", "1")
    monkeypatch.delenv("DONGFENG_MIRROR", raising=False)
