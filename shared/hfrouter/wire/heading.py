"""The headers of a router's requests: who asks, who pays, and what of it goes to whom."""

from __future__ import annotations

from hfrouter.errors import ConfigurationError
from hfrouter.version import __version__
from hfrouter.wire.endpoint import Endpoints
from hfrouter.wire.token import Credential

_MOST = 256


class Headers(dict[str, str]):
    """Headers of a request. Its `repr` has their names only: a traceback that shows locals shows these."""

    def __repr__(self) -> str:
        return f"<Headers {', '.join(self)}>"


class Heading:
    """Makes the headers of requests.

    Args:
        credential: The token of the router and the Hub.
        bill_to: Organisation to bill, or None.
        endpoints: The user's own, which get nothing of the account's.
    """

    def __init__(self, credential: Credential, bill_to: str | None, endpoints: Endpoints) -> None:
        self.credential = credential
        self._bill_to, self._endpoints = bill_to, endpoints

    def common(self) -> dict[str, str]:
        """What every request has, and the catalogue's has alone."""
        return {
            "accept": "text/event-stream, application/json",
            "accept-encoding": "identity",
            "user-agent": f"hfrouter/{__version__}",
        }

    def hub(self, url: str) -> dict[str, str]:
        """For the Hub's own endpoints; who is billed is none of their business."""
        own = {"accept": "application/json", "authorization": self.credential.header(url)}
        return Headers(self.common() | own)

    def of(self, url: str, session: str | None) -> dict[str, str]:
        """For a request that is billed.

        Args:
            url: Where to.
            session: The session id, or None.

        Raises:
            ConfigurationError: no token was found, or it does not belong to that origin.
        """
        headers = Headers(self.common() | {"content-type": "application/json"})
        if (own := self._endpoints.authorization(url)) is not None:  # nothing of the account's goes to another server
            return Headers(headers | own)
        headers["authorization"] = self.credential.header(url)
        if self._bill_to:
            headers["x-hf-bill-to"] = self._bill_to
        if session:
            headers["x-hf-session-id"] = session
        return headers


def header_value(name: str, value: str | None) -> str | None:
    """A value fit for a header, or None.

    Raises:
        ConfigurationError: for anything else.
    """
    if value is None:
        return None
    plain = isinstance(value, str) and value.isascii() and value.isprintable() and value == value.strip()
    if not plain or not 0 < len(value) <= _MOST:
        raise ConfigurationError(f"{name} must be 1 to {_MOST} printable ASCII characters, without blanks around them.")
    return value
