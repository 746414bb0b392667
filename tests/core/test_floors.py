"""The house keeps its floors: who may import whom, what is public, and what an import may load."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hfrouter

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "shared" / "hfrouter"

# A module, by the longest prefix that names it, to what it may import of ours. The error tree and the version are
# words everybody may use.
EVERYBODY = {"hfrouter.errors", "hfrouter.places", "hfrouter.version"}
FLOORS: dict[str, set[str]] = {
    "hfrouter.errors": set(),
    "hfrouter.places": set(),
    "hfrouter.version": set(),
    "hfrouter.events": set(),
    "hfrouter.result": set(),
    "hfrouter.routing": {"hfrouter.routing"},
    "hfrouter.cost": {"hfrouter.cost", "hfrouter.routing.target"},
    "hfrouter.wire": {"hfrouter.wire", "hfrouter.cost", "hfrouter.routing", "hfrouter.result", "hfrouter.events"},
    "hfrouter.stream": {"hfrouter.wire", "hfrouter.cost", "hfrouter.routing", "hfrouter.result"},
    "hfrouter.books": {"hfrouter.wire", "hfrouter.cost", "hfrouter.routing.policy"},
    "hfrouter.router": {
        "hfrouter.books",
        "hfrouter.wire",
        "hfrouter.cost",
        "hfrouter.routing",
        "hfrouter.result",
        "hfrouter.stream",
    },
    "hfrouter.telemetry": {"hfrouter.events", "hfrouter.cost"},
    "hfrouter.adapting": {
        "hfrouter.adapting",
        "hfrouter.router",
        "hfrouter.cost",
        "hfrouter.routing.policy",
        "hfrouter.result",
    },
    "hfrouter.simulator": {"hfrouter.simulator"},
    "hfrouter.cli": {"hfrouter", "hfrouter.cli", "hfrouter.simulator", "langchain_hfrouter", "llamaindex_hfrouter"},
    "hfrouter": set(),
    "langchain_hfrouter": {"hfrouter", "hfrouter.adapting", "langchain_hfrouter"},
    "llamaindex_hfrouter": {"hfrouter", "hfrouter.adapting", "llamaindex_hfrouter"},
}
BANNED = {
    "hfrouter.routing": {"time", "asyncio", "openai", "random", "threading", "socket"},
    "hfrouter.cost.usage": {"time", "asyncio", "openai", "random"},
    "hfrouter.cost.price": {"time", "asyncio", "openai", "random"},
    "hfrouter.cost": {"asyncio", "openai"},
}
MODULES = sorted(
    path for room in (CORE, ROOT / "langchain_hfrouter", ROOT / "llamaindex_hfrouter") for path in room.rglob("*.py")
)


def name_of(path: Path) -> str:
    base = CORE.parent if path.is_relative_to(CORE) else ROOT
    return ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path) -> Iterator[str]:
    """What a module imports when it runs, function bodies included and `if TYPE_CHECKING:` blocks left out."""
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            pending.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively"
            assert node.module
            yield node.module
        pending.extend(ast.iter_child_nodes(node))


def floor_of(name: str, floors: dict[str, set[str]]) -> set[str] | None:
    prefixes = [floor for floor in floors if name == floor or name.startswith(f"{floor}.")]
    return floors[max(prefixes, key=len)] if prefixes else None


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_only_what_its_floor_allows(path: Path) -> None:
    name = name_of(path)
    allowed = floor_of(name, FLOORS)
    assert allowed is not None, f"{name} stands on no floor"
    for imported in imports_of(path):
        top = imported.partition(".")[0]
        assert top != "shared", f"{name} imports shared.hfrouter"
        if top in {"hfrouter", "langchain_hfrouter", "llamaindex_hfrouter"} and imported not in EVERYBODY:
            fits = any(imported == room or (imported.startswith(f"{room}.") and room != "hfrouter") for room in allowed)
            assert fits, f"{name} imports {imported}"
        banned = floor_of(name, BANNED) or set()
        assert top not in banned, f"{name} imports {imported}"
        assert top not in {"httpx", "httpx2", "httpcore", "litellm"}, f"{name} imports {imported}"
        if top == "openai":
            assert name in {"hfrouter.wire.http", "hfrouter.client"}, f"{name} imports openai"


def test_public_names_are_sorted_exist_and_are_documented() -> None:
    assert hfrouter.__all__ == sorted(hfrouter.__all__)
    for name in hfrouter.__all__:
        public = getattr(hfrouter, name)
        assert isinstance(public, str) or public.__doc__, f"{name} has no docstring"


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import hfrouter", ("openai", "httpx", "httpx2", "pydantic", "asyncio", "langchain_core", "sqlite3")),
        ("from hfrouter import Router, Policy", ("openai", "httpx", "httpx2", "langchain_core", "starlette")),
        ("from hfrouter import Router; Router(token='hf_x')", ("openai", "httpx", "httpx2")),
        ("import hfrouter.adapting", ("openai", "httpx", "httpx2", "langchain_core", "llama_index")),
        ("import hfrouter.simulator", ("openai", "hfrouter.router")),
        ("import llamaindex_hfrouter", ("openai",)),
    ],
)
def test_an_import_loads_nothing_slow_and_starts_nothing(statement: str, absent: tuple[str, ...]) -> None:
    if "llamaindex" in statement:
        pytest.importorskip("llama_index.core")
    script = (
        f"{statement}\nimport sys, threading\n"
        f"print([name for name in {absent!r} if name in sys.modules], threading.active_count())"
    )
    # Coverage measures subprocesses as well, and loads modules of its own into them.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=environment)
    assert done.stdout.split() == ["[]", "1"], done.stdout
