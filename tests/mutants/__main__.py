"""How many small wrong changes to routing/ do its tests notice? `make mutants` prints the share and the survivors.

Ours, because the kept libraries do not fit here: mutmut (3.8) changes only the bodies of plain functions, and here most
rules are constants, properties and frozen rows; cosmic-ray (8.7) starts an interpreter for each mutant, one at a time.
Each mutant here is a fork of a process that has imported everything but our modules; nothing is written to the sources.

    python -m tests.mutants [module ...] [--fresh]

Outcomes are kept in build/mutants/: what was noticed once is not run again while its module stays as it is.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.abc
import importlib.util
import json
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from tests.mutants.mutations import Mutant, mutants, mutated

ROOT = Path(__file__).parents[2]
BUILD = (ROOT / "build" / "mutants") if ROOT.name != "tree" else ROOT.parent  # the second when it is the copy
PACKAGE = Path("shared/hfrouter/routing")
# The tables that are about a module, those that are likely to notice first. The laws are left out: they take most of
# the time, and notice hardly anything that the tables do not.
ENGINE = ("across_calls", "hedging", "flow", "health", "choice", "vectors")
TESTS: dict[str, tuple[str, ...]] = {
    "breaker": ("breaker", "vectors", "health", "across_calls"),
    "buckets": ("buckets", "vectors", "across_calls", "hedging"),
    "choice": ("choice", *ENGINE),
    "commands": ENGINE,
    "eligible": ("eligible", "choice", "across_calls"),
    "estimates": ("estimates", "health", "choice"),
    "flow": ("flow", *ENGINE),
    "health": ("health", *ENGINE),
    "journal": ("journal",),
    "policy": ("policy", "flow", "across_calls"),
    "rows": ("rows",),
    "steps": ("flow", *ENGINE),
    "strategy": ("choice", *ENGINE),
    "target": ("model_id", "rows", "eligible", "choice"),
    "vitals": ("health", *ENGINE),
    "verdict": ("verdict", "judgement", "flow", "health", "across_calls"),
}
PROCESSES = 2
SECONDS = 60  # for one mutant; without a change all tests take a fraction of it
MEMORY = 4 << 30


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module as its mutant."""

    def __init__(self, name: str, path: Path, mutant: Mutant) -> None:
        self.name, self.path, self.mutant = name, path, mutant

    def find_spec(self, fullname: str, path: object, target: ModuleType | None = None) -> ModuleSpec | None:
        return importlib.util.spec_from_loader(fullname, self) if fullname == self.name else None

    def exec_module(self, module: ModuleType) -> None:
        tree = mutated(self.path.read_text(), self.mutant)
        exec(compile(tree, str(self.path), "exec"), module.__dict__)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Mutation score of routing/.")
    parser.add_argument("modules", nargs="*", help="such as `flow`; all when none is named")
    parser.add_argument("--fresh", action="store_true", help="forget earlier outcomes")
    arguments = parser.parse_args()
    if Path.cwd() != BUILD / "tree":
        copy_and_go_there(sys.argv[1:])
    if arguments.fresh:
        shutil.rmtree(BUILD / "outcomes", ignore_errors=True)
    (BUILD / "outcomes").mkdir(exist_ok=True)
    names = arguments.modules or sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")
    started = time.monotonic()
    import_all_but_ours()
    if failing := [name for name in names if notices((name, PACKAGE / f"{name}.py", None))]:
        sys.exit(f"the tests of {', '.join(failing)} fail without any change; run pytest tests/routing first")
    reports = [run(name) for name in names]
    for name, _, survivors in reports:
        for mutant in survivors:
            print(f"{PACKAGE / name}.py:{mutant.line}: {mutant.what}")
    print()
    for name, found, survivors in reports:
        print(f"{name:12} {found - len(survivors):5} of {found:5}  {share(found, len(survivors))}")
    found, survived = sum(f for _, f, _ in reports), sum(len(s) for *_, s in reports)
    minutes = (time.monotonic() - started) / 60
    print(f"{'routing/':12} {found - survived:5} of {found:5}  {share(found, survived)}, in {minutes:.1f} min")


def copy_and_go_there(arguments: Sequence[str]) -> None:
    """Work on a copy, so that the sources may be edited meanwhile."""
    tree = BUILD / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    for part in ("shared", "tests/mutants", "tests/routing", "tests/wire"):
        shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tree)
    (tree / "tests" / "conftest.py").write_text("")
    paths = os.pathsep.join([str(tree), str(tree / "shared")])
    os.chdir(tree)
    os.environ |= {"PYTHONPATH": paths, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    os.execv(sys.executable, [sys.executable, "-m", "tests.mutants", *arguments])


def import_all_but_ours() -> None:
    """What each fork would import again, and the settings that the suite's conftest makes."""
    import hypothesis.internal.charmap
    import hypothesis.strategies
    import openai.types.chat
    import pydantic
    import pytest_asyncio

    slow = [hypothesis.HealthCheck.too_slow]
    hypothesis.settings.register_profile(
        "mutants", deadline=None, derandomize=True, database=None, suppress_health_check=slow
    )
    hypothesis.settings.load_profile("mutants")
    hypothesis.internal.charmap.charmap()  # a second for each fork otherwise
    assert all((openai, pydantic, pytest_asyncio))
    ours = [name for name in sys.modules if name.startswith("hfrouter")]
    assert not ours, ours


def run(name: str) -> tuple[str, int, list[Mutant]]:
    """All mutants of a module: its name, how many there are, and the survivors."""
    path = PACKAGE / f"{name}.py"
    source = path.read_text()
    changes = Path("tests/mutants/mutations.py").read_text()
    outcomes = BUILD / "outcomes" / f"{name}-{hashlib.sha256((source + changes).encode()).hexdigest()[:12]}.json"
    noticed = set(json.loads(outcomes.read_text())) if outcomes.exists() else set[str]()
    everyone = list(mutants(source))
    waiting = [m for m in everyone if f"{m.place}.{m.turn}" not in noticed]
    with multiprocessing.get_context("fork").Pool(PROCESSES) as pool:
        for mutant, seen in zip(waiting, pool.imap(notices, [(name, path, m) for m in waiting]), strict=True):
            if seen:
                noticed.add(f"{mutant.place}.{mutant.turn}")
                outcomes.write_text(json.dumps(sorted(noticed)))
    survivors = [m for m in everyone if f"{m.place}.{m.turn}" not in noticed]
    print(f"{name}: {share(len(everyone), len(survivors))} of {len(everyone)}", flush=True)
    return name, len(everyone), survivors


def notices(job: tuple[str, Path, Mutant | None]) -> bool:
    """Whether a test fails, hangs or cannot even be imported with this mutant, or without one."""
    name, path, mutant = job
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        if mutant is not None:
            sys.meta_path.insert(0, Finder(f"hfrouter.routing.{name}", path, mutant))
        os._exit(tests_fail(name))
    return os.waitpid(child, 0)[1] != 0


def tests_fail(name: str) -> int:
    import pytest

    files = [f"tests/routing/test_{test}.py" for test in dict.fromkeys(TESTS[name])]
    files = [file if Path(file).exists() else file.replace("routing", "wire") for file in files]
    options = ["-x", "-q", "--tb=no", "-p", "no:cacheprovider", "-p", "pytest_asyncio.plugin"]
    options += ["-W", "ignore:Module already imported"]
    try:
        return int(pytest.main([*options, files[0]]) or (files[1:] and pytest.main([*options, *files[1:]])) or 0)
    except BaseException:
        return 1


def share(found: int, survived: int) -> str:
    return f"{(found - survived) / found:6.1%}" if found else "     -"


if __name__ == "__main__":
    main()
