"""The command line: `hfrouter demo`. Needs the extra `cli`; a demo also needs `langchain` and `sim`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, or say in one sentence what is missing."""
    try:
        from hfrouter.cli.app import app
    except ModuleNotFoundError as error:
        sys.exit(f"the command line needs the package {error.name!r}; run: pip install 'hfrouter[all]'")
    app()
