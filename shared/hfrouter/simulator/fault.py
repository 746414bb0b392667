"""The ways to misbehave, as values with named constructors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, Self

MAX_HANG = 120.0
"""Seconds after which a hanging connection is dropped when nothing else is said."""


def _check(fits: bool, sentence: str) -> None:
    if not fits:
        raise ValueError(sentence)


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to misbehave. Make it with the named constructors; `options` are what they were given.

    "Tokens" are tokens of the visible answer (text or tool calls), not of the reasoning before it.
    Faults of a stream do the nearest sensible thing to a unary answer.

    Example:
        >>> Fault.cut_after(40)
        Fault.cut_after(tokens=40)
        >>> Fault.from_json({"name": "status", "code": 502, "html": True}) == Fault.status(502, html=True)
        True
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))

    def __repr__(self) -> str:
        return f"Fault.{self.name}({', '.join(f'{key}={value!r}' for key, value in self.options.items())})"

    def __hash__(self) -> int:
        return hash(repr(self))

    def to_json(self) -> dict[str, Any]:
        """Return the fault as a JSON object: its name and its options."""
        return {"name": self.name, **self.options}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Make a fault from `to_json()`'s form.

        Raises:
            ValueError: There is no such fault, or an option does not fit.
        """
        options = dict(value)
        name = options.pop("name", None)
        if name not in NAMES:
            raise ValueError(f"There is no fault {name!r}; known are {', '.join(NAMES)}.")
        try:
            fault = getattr(cls, name)(**options)
        except TypeError as error:
            raise ValueError(f"The options of fault {name!r} do not fit: {error}.") from None
        assert isinstance(fault, cls)  # noqa: S101 - every name in NAMES is a constructor
        return fault

    # --- refused with an HTTP status -------------------------------------------------------------------------------

    @classmethod
    def rate_limited(cls, retry_after: float | str | None = None) -> Self:
        """429 of the provider. `retry_after`: seconds or the header's text; most recorded ones carry none."""
        return cls("rate_limited", {} if retry_after is None else {"retry_after": retry_after})

    @classmethod
    def payment_required(cls) -> Self:
        """402 of the router: the monthly credits are gone."""
        return cls("payment_required")

    @classmethod
    def spending_limit(cls) -> Self:
        """403 of the router: the organisation's spending limit is reached."""
        return cls("spending_limit")

    @classmethod
    def forbidden(cls) -> Self:
        """403 of the router: the token may not call Inference Providers."""
        return cls("forbidden")

    @classmethod
    def gone(cls) -> Self:
        """410 of the router: the provider dropped the model."""
        return cls("gone")

    @classmethod
    def model_not_supported(cls) -> Self:
        """400 of the router: no enabled provider serves the model."""
        return cls("model_not_supported")

    @classmethod
    def context_length(cls) -> Self:
        """400 of the provider: the prompt is too long, with the number of tokens of its catalogue row."""
        return cls("context_length")

    @classmethod
    def content_policy(cls) -> Self:
        """400 of the provider, code `content_policy_violation`."""
        return cls("content_policy")

    @classmethod
    def no_prefill(cls) -> Self:
        """400 of the provider for requests that end with an assistant message; others are served."""
        return cls("no_prefill")

    @classmethod
    def loading(cls, estimated_time: float = 20.0) -> Self:
        """503: the model is being loaded. `estimated_time`: seconds, told in the body."""
        return cls("loading", {"estimated_time": estimated_time})

    @classmethod
    def status(
        cls,
        code: int,
        *,
        html: bool = False,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Self:
        """Any status.

        Args:
            code: HTTP status, 200 to 599.
            html: Answer with an HTML page, as gateways do.
            body: The body instead of the provider's own error object: text as it is, anything else as JSON.
            headers: Additional response headers.
        """
        _check(200 <= code <= 599, f"A status is 200 to 599, not {code}.")
        options = {"code": code, "html": html or None, "body": body, "headers": dict(headers) if headers else None}
        return cls("status", {key: value for key, value in options.items() if value is not None})

    @classmethod
    def error_body_200(cls, message: str = "Internal server error") -> Self:
        """200 whose JSON body is `{"error": {...}}`."""
        return cls("error_body_200", {"message": message})

    @classmethod
    def html_200(cls) -> Self:
        """200 with an HTML page."""
        return cls("html_200")

    # --- silence and lost connections ------------------------------------------------------------------------------

    @classmethod
    def reset(cls) -> Self:
        """The connection is reset (TCP RST) before any byte."""
        return cls("reset")

    @classmethod
    def hang(cls, seconds: float = MAX_HANG) -> Self:
        """Accepts and never answers; after `seconds` the connection is dropped."""
        return cls("hang", {"seconds": seconds})

    @classmethod
    def slow_headers(cls, seconds: float) -> Self:
        """Healthy, but nothing at all is sent for `seconds`."""
        return cls("slow_headers", {"seconds": seconds})

    @classmethod
    def slow_first_token(cls, seconds: float) -> Self:
        """Healthy, but the first token comes `seconds` after the headers (a unary answer: all of it late)."""
        return cls("slow_first_token", {"seconds": seconds})

    @classmethod
    def keep_alive_comments(cls, seconds: float, every: float = 0.2) -> Self:
        """Headers, then only comment lines (unary: spaces) for `seconds`, then the connection is dropped."""
        _check(every > 0, "every must be above 0 seconds.")
        return cls("keep_alive_comments", {"seconds": seconds, "every": every})

    @classmethod
    def cut_before_content(cls) -> Self:
        """Headers and the role, then the connection is dropped."""
        return cls("cut_before_content")

    @classmethod
    def cut_after(cls, tokens: int) -> Self:
        """The connection is dropped after that many tokens, without the end of the body."""
        _check(tokens >= 0, "tokens cannot be negative.")
        return cls("cut_after", {"tokens": tokens})

    @classmethod
    def stall_after(cls, tokens: int, seconds: float, resume: bool = False) -> Self:
        """Silence of `seconds` after that many tokens; then dropped, or with `resume` the rest."""
        _check(tokens >= 0, "tokens cannot be negative.")
        return cls("stall_after", {"tokens": tokens, "seconds": seconds, "resume": resume})

    # --- answers that are wrong inside -----------------------------------------------------------------------------

    @classmethod
    def error_event(
        cls,
        after: int = 0,
        message: str = "Internal server error",
        family: Literal["object", "string"] = "object",
    ) -> Self:
        """An event `{"error": ...}` inside a 200 stream, which then ends.

        Args:
            after: Tokens before it; 0 means before any content.
            message: The text of the error.
            family: `{"error": {"message": ...}}` or `{"error": "...", "error_type": ...}`.
        """
        _check(family in ("object", "string"), "family is 'object' or 'string'.")
        return cls("error_event", {"after": after, "message": message, "family": family})

    @classmethod
    def no_done(cls) -> Self:
        """A complete stream without `data: [DONE]`."""
        return cls("no_done")

    @classmethod
    def no_finish(cls) -> Self:
        """A clean end of the body with neither `finish_reason` nor usage nor `[DONE]`."""
        return cls("no_finish")

    @classmethod
    def malformed_event(cls, at: int) -> Self:
        """The `at`-th event (from 1) is broken JSON; everything else is there. Unary: a broken body."""
        _check(at >= 1, "Events are counted from 1.")
        return cls("malformed_event", {"at": at})

    @classmethod
    def empty_answer(cls) -> Self:
        """200, `content` empty, `finish_reason: stop`."""
        return cls("empty_answer")

    @classmethod
    def no_usage(cls) -> Self:
        """Complete, but no usage is told (it is billed all the same)."""
        return cls("no_usage")

    @classmethod
    def running_usage(cls) -> Self:
        """Every chunk carries the usage so far, as novita's did in 2025."""
        return cls("running_usage")

    # --- embeddings only; a chat answer is healthy with them -------------------------------------------------------

    @classmethod
    def wrong_dimension(cls, dimensions: int | None = None) -> Self:
        """Vectors of another length: `dimensions`, or half of what the model has."""
        _check(dimensions is None or dimensions >= 1, "dimensions is at least 1.")
        return cls("wrong_dimension", {} if dimensions is None else {"dimensions": dimensions})

    @classmethod
    def not_finite(cls, written: Literal["NaN", "null"] = "NaN") -> Self:
        """The first vector has a number that is none: `NaN`, as Python writes it, or `null`, as Rust does."""
        _check(written in ("NaN", "null"), "written is 'NaN' or 'null'.")
        return cls("not_finite", {"written": written})

    @classmethod
    def missing_vector(cls) -> Self:
        """One vector fewer than there were texts."""
        return cls("missing_vector")


NAMES: tuple[str, ...] = tuple(
    name for name, value in vars(Fault).items() if isinstance(value, classmethod) and name != "from_json"
)
