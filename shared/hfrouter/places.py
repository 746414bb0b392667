"""Where things lie on this machine: the user's state and cache, by the conventions of each system. Nothing is made."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def home() -> Path:
    """The user's home; for a user without one a path below which nothing can be made or found."""
    try:
        return Path.home()
    except RuntimeError:
        return Path(os.devnull)


def expanded(path: str | os.PathLike[str]) -> Path:
    """A path with `~` replaced; where that user is not known, as it is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def state_directory() -> Path:
    """Where the ledger lies unless it is told otherwise."""
    if sys.platform == "win32":
        return _local_app_data() / "hfrouter"
    if sys.platform == "darwin":
        return home() / "Library" / "Application Support" / "hfrouter"
    return Path(os.environ.get("XDG_STATE_HOME") or home() / ".local" / "state") / "hfrouter"


def cache_directory() -> Path:
    """Where the catalogue is kept between processes."""
    if sys.platform == "win32":
        return _local_app_data() / "hfrouter" / "cache"
    if sys.platform == "darwin":
        return home() / "Library" / "Caches" / "hfrouter"
    return _cache_home() / "hfrouter"


def hub_token_file() -> Path:
    """Where the Hub's own client keeps the token: `HF_TOKEN_PATH`, else `token` in `HF_HOME` or the cache."""
    if path := os.environ.get("HF_TOKEN_PATH"):
        return expanded(path)
    return expanded(os.environ.get("HF_HOME") or _cache_home() / "huggingface") / "token"


def _cache_home() -> Path:
    return expanded(os.environ.get("XDG_CACHE_HOME") or home() / ".cache")


def _local_app_data() -> Path:
    return Path(os.environ.get("LOCALAPPDATA") or home() / "AppData" / "Local")
