"""Builds the wheel, looks at what is in it, and uses the core in an environment that has no extra.

    make bare

The simulator runs in the developer's environment; the wheel is installed into a fresh one, with the core's dependencies
from the lock and nothing else.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

from hfrouter.simulator import Fault, Simulator

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / ".ci" / "requirements.lock"
PACKAGES = {"hfrouter", "langchain_hfrouter", "llamaindex_hfrouter"}

SCRIPT = """
import asyncio, sys
import hfrouter
from hfrouter import Router, Policy
for absent in ("langchain_core", "llama_index", "starlette", "uvicorn", "typer", "rich"):
    try:
        __import__(absent)
    except ImportError:
        continue
    sys.exit(f"{absent} is installed: this is not a bare environment")
with Router(base_url=sys.argv[1], token=sys.argv[2], ledger=sys.argv[3], policy=Policy(order="groq")) as router:
    answer = router.chat(model="openai/gpt-oss-120b", messages="What is 17 * 23?")
    assert "391" in answer.text and [a.outcome for a in answer.attempts] == ["rate_limited", "ok"], answer
    assert "391" in "".join(d.text for d in router.stream(model="openai/gpt-oss-120b", messages="What is 17 * 23?"))
    assert "391" in asyncio.run(router.achat(model="openai/gpt-oss-120b", messages="What is 17 * 23?")).text
    assert len(router.entries()) == 4
print("the core works with no extra installed, openai", sys.modules["openai"].__version__)
"""
MISSING = """
import hfrouter.cli
hfrouter.cli.main()
"""


def build(directory: Path) -> Path:
    """Build the sdist, and the wheel from it, as an index would."""
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(directory), str(ROOT)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return next(directory.glob("*.whl"))


def check_contents(wheel: Path) -> None:
    """The wheel holds the packages and its own metadata: no strangers at the top, no .pth, no tests."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(name for name in names if name.endswith("/METADATA"))
        required = Parser().parsestr(archive.read(metadata).decode()).get_all("Requires-Dist") or []
    tops = {name.partition("/")[0] for name in names}
    assert tops == PACKAGES | {metadata.partition("/")[0]}, tops
    strangers = [name for name in names if not name.endswith((".py", "/py.typed")) and ".dist-info/" not in name]
    assert not strangers, strangers
    for package in PACKAGES:
        assert f"{package}/py.typed" in names, f"{package} is not marked as typed"
    core = sorted(requirement.partition(";")[0] for requirement in required if "extra ==" not in requirement)
    assert [name.partition(">")[0].partition("<")[0] for name in core] == ["openai", "pydantic"], core
    print(f"{wheel.name}: {len(names)} files, top level {', '.join(sorted(tops))}, core needs {', '.join(core)}")


def bare_environment(directory: Path, wheel: Path) -> Path:
    """A fresh environment with the wheel and, under the lock's versions, the core's dependencies."""
    venv.create(directory, with_pip=True)
    python = directory / ("Scripts" if os.name == "nt" else "bin") / "python"
    bounds = directory / "constraints.txt"
    pins = [line.split("\\")[0] for line in LOCK.read_text().splitlines() if "==" in line]
    bounds.write_text("\n".join(pins))
    subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", str(bounds), str(wheel)],
        check=True,
    )
    return python


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        wheel = build(directory)
        check_contents(wheel)
        python = bare_environment(directory / "bare", wheel)
        environment = {**os.environ, "XDG_CACHE_HOME": name}
        with Simulator(seed=0) as sim:
            sim.fail("groq", Fault.rate_limited())
            arguments = [sim.base_url, sim.token, str(directory / "ledger.sqlite3")]
            script = [str(python), "-W", "error", "-c", SCRIPT, *arguments]
            subprocess.run(script, check=True, env=environment, cwd=name)
        missing = subprocess.run([str(python), "-c", MISSING], capture_output=True, text=True, check=False, cwd=name)
        assert missing.returncode == 1, missing
        assert "pip install 'hfrouter[all]'" in missing.stderr, missing
        print("a command without its extra says:", missing.stderr.strip())


if __name__ == "__main__":
    main()
