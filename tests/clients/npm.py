"""The packages of tests/clients/package-lock.json, or a skip that says how to install them."""

import shutil
from pathlib import Path

import pytest

CLIENTS = Path(__file__).parent
INSTALL = "Node is missing; on Debian and Ubuntu: apt-get install nodejs npm"


def package(path: str) -> Path:
    """A file of an npm package, such as `axios/dist/axios.min.js`."""
    if shutil.which("node") is None:
        pytest.skip(INSTALL)
    found = CLIENTS / "node_modules" / path
    if not found.exists():
        pytest.skip("npm packages are missing; run `make test`, or npm ci --prefix tests/clients")
    return found
