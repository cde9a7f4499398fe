"""What the code may depend on, and what the world may reach."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.api.base import ApiHandler
from handlers.base import BaseHandler
from server.app import ROUTES

ROOT = Path(__file__).parent.parent

# Imports go one way, from the first to the last. A module may import from its own layer and from later ones.
LAYERS = [
    {"run"},
    {"server.main"},
    {"server.commands", "server.embedding", "server.limits"},
    {"server.app"},
    {"handlers"},
    {"server.services"},
    {"server.ports", "server.processes", "server.metrics"},
    {
        "server.accounts",
        "server.live",
        "server.mongod",
        "server.csrf",
        "server.logs",
        "server.inflight",
        "server.secret",
    },
    {"server.audit", "server.proxies"},
    {"server.sessions", "server.database"},
    {"settings"},
    {"server.values", "server.errors", "server.openapi"},
]
# Pages and calls that anybody may reach. Everything else asks for a signed-in person.
PUBLIC = {
    "/", "/signup", "/login", "/logout", "/account/deleted", "/api/session", "/api/users",
    r"/api/openapi\.json", "/api(?:/.*)?",
    "/healthz", "/readyz", "/metrics",
}  # fmt: skip
NEVER_IN_HANDLERS = {"motor", "pymongo", "bson", "argon2", "settings"}


def modules() -> Iterator[tuple[str, Path]]:
    for path in [
        *ROOT.glob("server/**/*.py"),
        *ROOT.glob("handlers/**/*.py"),
        ROOT / "settings.py",
        ROOT / "run.py",
    ]:
        yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layer(module: str) -> int | None:
    for number, names in enumerate(LAYERS):
        if any(module == name or module.startswith(name + ".") for name in names):
            return number
    return None


@pytest.mark.parametrize(
    ("module", "path"), list(modules()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_imports_go_one_way(module: str, path: Path) -> None:
    own = layer(module)
    if module in {"server", "handlers"}:
        return
    assert own is not None, f"{module} has no layer: add it to LAYERS"
    wrong = {name for name in imports(path) if (other := layer(name)) is not None and other < own}
    assert not wrong


def test_the_engine_imports_nothing_else_of_the_project() -> None:
    for module, path in modules():
        if module.startswith("server.sessions"):
            ours = {
                name
                for name in imports(path)
                if name.split(".")[0] in {"server", "handlers", "settings", "run"}
            }
            assert all(name.startswith("server.sessions") for name in ours), module


def test_only_one_module_imports_motor() -> None:
    users = {module for module, path in modules() if any(name.startswith("motor") for name in imports(path))}

    assert users == {"server.database"}


def test_handlers_know_neither_database_nor_hashing_nor_settings() -> None:
    for module, path in modules():
        if module.startswith("handlers"):
            assert not {name.split(".")[0] for name in imports(path)} & NEVER_IN_HANDLERS, module


def test_exactly_these_addresses_are_public() -> None:
    members_only = {pattern for pattern, handler in ROUTES if asks_for_a_member(handler)}

    assert {pattern for pattern, _ in ROUTES} - members_only == PUBLIC


def asks_for_a_member(handler: type) -> bool:
    """Whether every method of the handler is decorated with `@authenticated`."""
    methods = [
        vars(handler)[name] for name in ("get", "post", "put", "patch", "delete") if name in vars(handler)
    ]
    return bool(methods) and all(hasattr(method, "__wrapped__") for method in methods)


def test_every_handler_is_a_base_handler() -> None:
    for pattern, handler in ROUTES:
        assert issubclass(handler, BaseHandler), pattern
        assert issubclass(handler, ApiHandler) == pattern.startswith("/api"), pattern


def test_no_get_handler_writes() -> None:
    """GET changes nothing: no handler's `get` calls a verb that does."""
    writing = re.compile(
        r"sign_in|sign_out|access\.(confirm\(|revoke|change|delete)|\.create\(|destroy|regenerate"
    )
    for path in ROOT.glob("handlers/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == "get":
                assert not writing.search(ast.unparse(node)), path
