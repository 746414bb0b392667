"""The credential: where the token comes from, and where it may be sent."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from hfrouter.errors import ConfigurationError
from hfrouter.places import hub_token_file

HF_ROUTER = "https://router.huggingface.co/v1"
_VARIABLES = ("HF_TOKEN", "HUGGINGFACEHUB_API_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_GET_ONE = (
    "create one with the permission 'Make calls to Inference Providers' at https://huggingface.co/settings/tokens"
)


class Credential:
    """A token that belongs to an origin. It shows itself nowhere: not in `repr`, not in a pickle.

    Args:
        token: Given by the user for `base_url`; None to look it up when it is first needed: `HF_TOKEN`, then the
            file that `hf auth login` writes.
        base_url: Where requests go. A token that was looked up is sent to Hugging Face only.

    Raises:
        ConfigurationError: when `token` is given and malformed.
    """

    def __init__(self, token: str | None, base_url: str) -> None:
        self._given = None if token is None else _checked(token, "token", hugging_face=is_hugging_face(base_url))
        self._origin = origin(base_url)
        # A pickle drops the token but not the user's word that one may go to this origin.
        self._bound = token is not None or is_hugging_face(base_url)

    def header(self, url: str) -> str:
        """The `Authorization` header for a request to `url`.

        Raises:
            ConfigurationError: no token was found, it is malformed, or it does not belong to that origin.
        """
        if origin(url) != self._origin and not (is_hugging_face(url) and is_hugging_face(self._origin)):
            raise ConfigurationError(f"the token belongs to {self._origin} and is not sent to {origin(url)}.")
        if self._given is not None:
            return f"Bearer {self._given}"
        found = find_token()
        if found is None:
            raise ConfigurationError(f"no Hugging Face token was found; set HF_TOKEN ({_GET_ONE}), or pass token=.")
        if not self._bound:
            raise ConfigurationError(
                f"your Hugging Face token is not sent to {self._origin}; pass token= with the one meant for it."
            )
        return f"Bearer {found}"

    def __repr__(self) -> str:
        return f"Credential(for {self._origin})"

    def __getstate__(self) -> dict[str, object]:
        return {"_given": None, "_origin": self._origin, "_bound": self._bound}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)


def find_token() -> str | None:
    """The user's Hugging Face token: from the environment, then the Hub's cached file; None when there is none.

    Raises:
        ConfigurationError: when what was found is malformed.
    """
    for variable in _VARIABLES:
        if value := os.environ.get(variable, "").strip():
            return _checked(value, f"the token in {variable}", hugging_face=False)
    try:
        value = hub_token_file().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return _checked(value, "the token file of `hf auth login`", hugging_face=False) if value else None


def _checked(token: object, name: str, *, hugging_face: bool) -> str:
    """The token without surrounding blanks, or an error that does not repeat it."""
    text = token.strip() if isinstance(token, str) else ""
    if not text:
        raise ConfigurationError(f"{name} is empty or no text; {_GET_ONE}.")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigurationError(f"{name} has blanks, line breaks or other characters no token has; copy it again.")
    if hugging_face and not text.startswith("hf_"):
        raise ConfigurationError(f"{name} does not begin with 'hf_', so it is no Hugging Face token; {_GET_ONE}.")
    return text


def origin(url: str) -> str:
    """Scheme, host and port of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"


def is_hugging_face(url: str) -> bool:
    """Whether a URL is the router or the Hub, `HF_ENDPOINT` respected."""
    homes = {"https://router.huggingface.co", "https://huggingface.co"}
    if endpoint := os.environ.get("HF_ENDPOINT"):
        homes.add(origin(endpoint))
    return origin(url) in homes


def hub_of(base_url: str) -> str:
    """Where the Hub answers for a router: Hugging Face's own, `HF_ENDPOINT` respected, or the router's own origin."""
    if not is_hugging_face(base_url):
        return origin(base_url)
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def checked_base_url(url: str) -> str:
    """A base URL without its last slash.

    Raises:
        ConfigurationError: when it is not `http(s)://host...`, or carries a user name.
    """
    if not isinstance(url, str) or not _usable(url):
        raise ConfigurationError(
            f"base_url must look like {HF_ROUTER!r}: http or https, a host and a path, no user name."
        )
    return url.rstrip("/")


def _usable(url: str) -> bool:
    """Whether a URL is plain: http or https, a host, a possible port, a path, and nothing else."""
    if not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        possible = parts.port != 0
    except ValueError:
        return False
    strange = "@" in parts.netloc or parts.query or parts.fragment
    return possible and parts.scheme in {"http", "https"} and bool(parts.hostname) and not strange
