"""The faults: how a provider behaves, and what must follow. A row each, named after the catalogue of faults it covers.

C connection, S status, B the body of a 200, T streams. In the names, `early` is before any content and `late` after
some was delivered.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from typing import Any, Literal

from hfrouter import ContextOverflow, HFRouterError, OutOfCredits, RequestRejected, RouteExhausted
from tests.faults.server import (
    COUNTED,
    DONE,
    HALF,
    KEY,
    LAST,
    PROMPT,
    RIGHT,
    STOP,
    USAGE,
    Gate,
    Script,
    Step,
    chunk,
    event,
    framed,
    head,
    http,
    whole,
)

# What follows from a fault at one provider with a healthy one behind it:
#   rescued      the next provider answers, whole; with the fault everywhere, an error of the tree
#   answered     the answer is usable as it is: one attempt
#   stopped      no other provider could help: one attempt, an error of the tree
#   interrupted  a whole answer is rescued, a stream that has shown content raises StreamInterrupted
Follows = Literal["rescued", "answered", "stopped", "interrupted"]


@dataclass(frozen=True)
class Case:
    """A fault.

    Attributes:
        name: Its place in the catalogue of faults, and words.
        script: How the faulty provider behaves.
        follows: See `Follows`.
        outcome: What our account calls the failed attempt, one of these words.
        error: Raised when the fault is everywhere, or at once where it stops the call.
        again: The provider is asked once more before the next one: fast server errors, lost connections, and calls of
            tools that may come whole when they are not streamed.
        text: Of an answer that is usable as it is.
        calls: (name, arguments) of its tool calls.
        usage: (input, output) tokens it reports, where they can be believed.
        slow: The fault is silence, so the timers of the policy decide.
    """

    name: str
    script: Script
    follows: Follows = "rescued"
    outcome: str = "ok"
    error: type[HFRouterError] = RouteExhausted
    again: bool = False
    text: str = RIGHT
    calls: tuple[tuple[str, str], ...] = ()
    usage: tuple[int, int] | None = (7, 5)
    slow: bool = False

    @property
    def number(self) -> str:
        """Its place in the catalogue of faults."""
        return self.name.partition(" ")[0]

    @property
    def streamed(self) -> bool:
        """Whether a whole answer is asked for as a stream."""
        return self.slow or self.name.startswith("T")


def sent(*steps: Step, then: Any = "close", forever: tuple[Step, ...] = ()) -> Script:
    return Script(steps, forever, then)


def streamed(*pieces: Step, end: bool = True, kind: str = "text/event-stream", then: Any = "close") -> Script:
    """A stream in HTTP chunks, ended as HTTP wants it or not."""
    return Script((head(kind), *framed(*pieces), *([LAST] if end else [])), then=then)


# -- connection --------------------------------------------------------------------------------------------------------

CONNECTION = [
    Case("C3 closed without an answer", sent(), outcome="connection_lost", again=True),
    Case("C4 reset before the headers", sent(then="reset"), outcome="connection_lost", again=True),
    Case(
        "C4 reset amid the headers",
        sent(b"HTTP/1.1 200 OK\r\ncontent-ty", 0.03, then="reset"),
        outcome="connection_lost",
        again=True,
    ),
    Case("C4 closed amid the headers", sent(b"HTTP/1.1 200 OK\r\ncontent-ty"), outcome="connection_lost", again=True),
    Case("C5 silent before the first byte", sent(then="hold"), outcome="first_content_timeout", slow=True),
    Case(
        "C6 headers in a trickle",
        sent(b"HTTP/1.1 200 OK\r\n", forever=(b"x-slow: 1\r\n", 0.05)),
        outcome="first_content_timeout",
        slow=True,
    ),
    Case("C7 no status line", sent(b"\x16\x03\x01\x02\x00 nonsense\r\n\r\n"), outcome="connection_lost", again=True),
    Case("C7 a status of letters", sent(b"HTTP/1.1 abc Fine\r\n\r\n"), outcome="connection_lost", again=True),
    Case(
        "C7 a header of 200 kB",
        sent(b"HTTP/1.1 200 OK\r\nx-a: " + b"a" * 200_000 + b"\r\ncontent-length: 2\r\n\r\n{}"),
        outcome="connection_lost",
        again=True,
    ),
    Case(
        "C7 headers without end",
        sent(b"HTTP/1.1 200 OK\r\n", forever=(b"x-a: " + b"a" * 8000 + b"\r\n",)),
        outcome="connection_lost",
        again=True,
    ),
    Case("C8 early hints first", sent(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n", http(whole())), "answered"),
]

# -- status ------------------------------------------------------------------------------------------------------------

# Providers quote the request in their errors, and now and then the key.
ECHO = f"for the prompt {PROMPT!r} of Bearer {KEY}"
PAGE = f"<html><head><title>bad gateway</title></head><body>{ECHO}</body></html>".encode()


def refused(status: int, words: str = "failed", *more: str, code: object = None) -> Script:
    body = {"error": {"message": f"{words} {ECHO}", "type": "t", "code": status if code is None else code}}
    return sent(http(body, status, "application/json", *more))


def page(status: int, kind: str | None = "text/html", body: bytes = PAGE) -> Script:
    return sent(http(body, status, kind))


def redirect(status: int, where: str) -> Script:
    return sent(http(b"", status, None, f"location: {where}"))


OVERFLOW = "This model's maximum context length is 8192 tokens"
STATUS = [
    Case("S1 400", refused(400), "stopped", "bad_request", RequestRejected),
    Case("S1 400 context length", refused(400, OVERFLOW), "stopped", "context_overflow", ContextOverflow),
    Case(
        "S1 400 context length, code as text",
        refused(400, OVERFLOW, code="400"),
        "stopped",
        "context_overflow",
        ContextOverflow,
    ),
    Case("S1 422 context length", refused(422, OVERFLOW), "stopped", "context_overflow", ContextOverflow),
    Case("S1 413 context length", refused(413, OVERFLOW), "stopped", "context_overflow", ContextOverflow),
    Case("S1 500 context length", refused(500, OVERFLOW), "stopped", "context_overflow", ContextOverflow),
    Case(
        "S1 400 unsupported parameter",
        refused(400, "'seed' is not supported"),
        outcome="unsupported_parameter",
        error=RequestRejected,
    ),
    Case("S1 400 model loading", refused(400, "the model is cold"), outcome="cold"),
    Case(
        "S1 400 unknown model",
        refused(400, "gone", code="model_not_found"),
        "stopped",
        "model_not_found",
        RequestRejected,
    ),
    Case("S2 401", refused(401), "stopped", "unauthorized", RequestRejected),
    Case("S3 402", refused(402, "You have depleted your credits"), "stopped", "out_of_credits", OutOfCredits),
    Case(
        "S3 402 of one provider",
        refused(402, "Pay-as-you go is not enabled for provider first yet"),
        outcome="provider_not_enabled",
    ),
    Case("S4 403", refused(403), outcome="forbidden"),
    Case("S4 403 spending limit", refused(403, "monthly spending limit"), "stopped", "spending_limit", OutOfCredits),
    Case("S4 403 firewall", page(403), outcome="blocked"),
    Case("S4 404", refused(404), outcome="not_found"),
    Case("S4 404 empty", page(404, None, b""), outcome="not_found"),
    Case("S4 410", refused(410), outcome="gone"),
    *[Case(f"S5 {status}", refused(status), outcome="try_later") for status in (408, 409)],
    Case("S5 429", refused(429), outcome="rate_limited"),
    Case("S5 429 for an hour", refused(429, "slow", "retry-after: 3600"), outcome="rate_limited"),
    Case("S5 429 for infinity", refused(429, "slow", "retry-after: inf"), outcome="rate_limited"),
    *[
        Case(f"S5 {status}", refused(status), outcome="server_error", again=True)
        for status in (500, 501, 502, 503, 504, 520, 529)
    ],
    Case("S5 500, not to be retried", refused(500, "failed", "x-should-retry: false"), outcome="server_error"),
    Case(
        "S5 400, to be retried",
        refused(400, "failed", "x-should-retry: true"),
        "stopped",
        "bad_request",
        RequestRejected,
    ),
    Case("S5 503 for 30 s", refused(503, "busy", "retry-after: 30"), outcome="server_error"),
    Case(
        "S5 503 loading",
        sent(http({"error": "Model org/m is currently loading", "estimated_time": 20.0}, 503)),
        outcome="cold",
    ),
    Case("S6 413", refused(413), outcome="too_large", error=RequestRejected),
    Case("S6 422", refused(422), "stopped", "bad_request", RequestRejected),
    *[Case(f"S6 {status}", refused(status), outcome="try_later") for status in (424, 425)],
    *[
        Case(f"S7 {status} to itself", redirect(status, "/stray/v1/chat/completions"), outcome="redirected")
        for status in (301, 302, 303, 307, 308)
    ],
    Case(
        "S7 307 elsewhere",
        redirect(307, "http://localhost:@PORT@/stray/v1/chat/completions"),
        outcome="redirected",
    ),
    Case("S7 308 without a place", sent(http(b"", 308, None)), outcome="redirected"),
    *[Case(f"S8 {status} page", page(status), outcome="server_error", again=True) for status in (502, 503, 504)],
    Case("S8 503 empty", page(503, None, b""), outcome="server_error", again=True),
    Case("S8 502 page called JSON", page(502, "application/json"), outcome="server_error", again=True),
    Case(
        "S8 503 with half a body",
        sent(http(b'{"error": "bu', 503, length=500)),
        outcome="server_error",
        again=True,
    ),
    Case(
        "S8 500 without end",
        sent(b"HTTP/1.1 500 X\r\nconnection: close\r\n\r\n", forever=(PAGE,)),
        outcome="server_error",
        again=True,
    ),
    Case("S8 500 with half a character", refused(500, "\ud800"), outcome="server_error", again=True),
    Case("S9 204", sent(b"HTTP/1.1 204 No Content\r\n\r\n"), outcome="not_an_answer"),
    Case("S9 205", sent(http(b"", 205, None)), outcome="not_an_answer"),
    Case("S9 600", sent(http(b"", 600, None)), outcome="unusual_status"),
]

# -- the body of a 200 -------------------------------------------------------------------------------------------------

GOOD = json.dumps(whole()).encode()
ZIPPED = gzip.compress(GOOD)


def body(content: object = GOOD, kind: str | None = "application/json", *more: str, length: int = -1) -> Script:
    return sent(http(content, 200, kind, *more, length=length))


def counted(report: object) -> Script:
    return body(whole() | {"usage": report})


CUT_CALL = ("f", '{"a": ')
TOOL_CALLS = [{"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a": '}}]

BODY = [
    Case(
        "B1 an error object",
        body({"error": {"message": f"Provider returned error {ECHO}", "code": 429}}),
        outcome="rate_limited",
    ),
    Case(
        "B1 an error beside choices of null",
        body({"id": None, "choices": None, "usage": None, "error": {"message": ECHO, "code": 502}}),
        outcome="server_error",
        again=True,
    ),
    Case(
        "B1 an error beside an answer",
        body(whole(HALF) | {"error": {"message": "x"}}),
        outcome="server_error",
        again=True,
    ),
    Case("B2 a page", body(PAGE, "text/html"), outcome="not_an_answer"),
    Case("B3 a page called JSON", body(PAGE), outcome="not_an_answer"),
    Case("B3 empty", body(b""), outcome="not_an_answer"),
    Case("B3 cut JSON", body(GOOD[:-30]), outcome="cut"),
    Case("B3 a length too short", body(GOOD, length=len(GOOD) - 40), outcome="cut"),
    Case("B3 cut gzip", body(ZIPPED[:-12], "application/json", "content-encoding: gzip"), outcome="compressed_answer"),
    Case("B4 a length too long", body(GOOD, length=len(GOOD) + 100), outcome="cut"),
    *[
        Case(f"B5 {content.decode()}", body(content), outcome="not_an_answer")
        for content in (b"[]", b"[1, 2]", b"null", b'"oops"', b"{}", b"true", b"12")
    ],
    Case(
        "B5 a usage of NaN and no choices",
        body(b'{"id": "c", "choices": [], "usage": {"prompt_tokens": NaN}}'),
        outcome="empty_answer",
    ),
    Case("B6 no choices", body(whole() | {"choices": []}), outcome="empty_answer"),
    Case("B6 no message", body(whole() | {"choices": [{"index": 0, "finish_reason": "stop"}]}), outcome="empty_answer"),
    Case("B6 choices of another kind", body(whole() | {"choices": ["x", 5, None]}), outcome="empty_answer"),
    Case("B7 a content of null", body(whole(None)), outcome="empty_answer"),
    Case("B7 an empty content", body(whole("")), outcome="empty_answer"),
    Case("B7 a content of blanks", body(whole(" \n")), outcome="empty_answer"),
    Case("B7 empty for want of tokens", body(whole("", "length")), "answered", text=""),
    Case("B8 no usage", body({k: v for k, v in whole().items() if k != "usage"}), "answered", usage=None),
    Case("B8 a usage of null", counted(None), "answered", usage=None),
    Case("B9 counts as text", counted({"prompt_tokens": "7", "completion_tokens": "5"}), "answered"),
    Case("B9 words for counts", counted({"prompt_tokens": "7", "completion_tokens": "x"}), "answered", usage=None),
    Case("B9 negative counts", counted({"prompt_tokens": -7, "completion_tokens": 5}), "answered", usage=None),
    Case("B9 half a token", counted({"prompt_tokens": 7.5, "completion_tokens": 5}), "answered", usage=None),
    Case("B9 counts beyond belief", counted({"prompt_tokens": 7, "completion_tokens": 10**15}), "answered", usage=None),
    Case("B9 a usage that is a list", counted([7, 5]), "answered", usage=None),
    Case("B10 broken UTF-8", body(GOOD.replace(b"It is", b"It \xff\xfe")), outcome="cut"),
    Case(
        "B10 half a surrogate pair",
        body(GOOD.replace(b"It is", b"It \\ud800 is")),
        "answered",
        text=RIGHT.replace("It is", "It \ufffd is"),
    ),
    Case("B10 nested 5,000 deep", body(b"[" * 5000 + b"]" * 5000), outcome="not_an_answer"),
    Case("B10 nested inside", body(GOOD[:-1] + b', "x": ' + b"[" * 5000 + b"]" * 5000 + b"}"), outcome="cut"),
    Case("B11 no gzip at all", body(GOOD, "application/json", "content-encoding: gzip"), outcome="compressed_answer"),
    Case(
        "B12 a gzip bomb",
        body(gzip.compress(b" " * 20_000_000 + GOOD, 9), "application/json", "content-encoding: gzip"),
        outcome="compressed_answer",
    ),
    Case(
        "B13 a body in a trickle",
        Script((http(b"", length=10_000),), (b" ", 0.05)),
        outcome="first_content_timeout",
        slow=True,
    ),
    Case("B14 another content type", body(GOOD, "text/plain"), "answered"),
    Case("B14 no content type", body(GOOD, None), "answered"),
    Case("B14 a byte order mark", body(b"\xef\xbb\xbf" + GOOD), "answered"),
    Case(
        "B15 tool arguments that are no JSON",
        body(whole(None, "tool_calls", tool_calls=TOOL_CALLS)),
        "answered",
        text="",
        calls=(CUT_CALL,),
    ),
    Case(
        "B15 a tool call without a name",
        body(whole(None, "tool_calls", tool_calls=[{"id": "t1", "function": {"arguments": "{}"}}])),
        outcome="malformed_tool_call",
        again=True,
    ),
    Case("B16 another model answered", body(whole() | {"model": "other/model"}), "answered"),
]

# -- streams -----------------------------------------------------------------------------------------------------------

FIRST = event(chunk(HALF))
REST = event(chunk(RIGHT[len("It is") :]))
ANSWER = event(chunk(RIGHT))
ROLE = event(chunk("") | {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
WIDE = "It is 391 hé日本😀, ANSWERcanary-9a2f."


def early(*pieces: Step, end: bool = True, then: Any = "close") -> Script:
    """A stream that has said nothing yet."""
    return streamed(ROLE, *pieces, end=end, then=then)


def late(*pieces: Step, end: bool = True, then: Any = "close") -> Script:
    """A stream whose first content the caller holds already."""
    return Script((head(), *framed(FIRST), Gate.COMMIT, *framed(*pieces), *([LAST] if end else [])), then=then)


def both(number: str, name: str, *pieces: Step, outcome: str, **more: Any) -> list[Case]:
    """The same fault before any content and after some."""
    again = outcome == "server_error"
    return [
        Case(f"{number} {name}, early", early(*pieces, **more), "rescued", outcome, again=again),
        Case(f"{number} {name}, late", late(*pieces, **more), "interrupted", outcome, again=again),
    ]


def raw(text: str) -> bytes:
    return json.dumps(chunk(text), ensure_ascii=False).encode()


ERROR = {"message": f"upstream died {ECHO}, after {HALF!r}", "code": 502}
CALL = [{"index": 0, "id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a": '}}]
STREAMS = [
    Case("T1 an error object", body({"error": ERROR}), outcome="server_error", again=True),
    Case("T1 a page", body(PAGE, "text/html"), outcome="not_an_answer"),
    Case("T1 a page called a stream", streamed(PAGE), outcome="not_an_answer"),
    Case("T1 a whole answer instead", body(), "answered"),
    Case("T2 no event", streamed(), outcome="not_an_answer"),
    Case("T2 only comments", streamed(b": hi\n\n"), outcome="not_an_answer"),
    Case("T2 only done", streamed(DONE), outcome="empty_answer"),
    Case("T2 only a finish", streamed(STOP, DONE), outcome="empty_answer"),
    *both("T3", "an end that says nothing", outcome="cut"),
    *both("T3", "a cut", end=False, outcome="cut"),
    Case("T4 done without a finish", streamed(ANSWER, COUNTED, DONE), "answered"),
    *both("T5", "a reset", 0.05, end=False, then="reset", outcome="cut"),
    Case("T6 silence, early", early(end=False, then="hold"), outcome="first_content_timeout", slow=True),
    Case("T6 silence, late", late(end=False, then="hold"), "interrupted", "idle_timeout", slow=True),
    Case(
        "T7 comments for ever, early",
        Script((head(),), framed(b": PROCESSING\n\n", 0.02)),
        outcome="first_content_timeout",
        slow=True,
    ),
    Case(
        "T7 comments for ever, late",
        Script((head(), *framed(FIRST), Gate.COMMIT), framed(b": PROCESSING\n\n", 0.02)),
        "interrupted",
        "idle_timeout",
        slow=True,
    ),
    Case(
        "T7 empty deltas for ever, late",
        Script((head(), *framed(FIRST), Gate.COMMIT), framed(event(chunk("")), 0.02)),
        "interrupted",
        "idle_timeout",
        slow=True,
    ),
    *both("T8", "an error object", event({"error": ERROR}), outcome="server_error"),
    *both("T8", "an error of text", event({"error": f"Model too busy {ECHO}"}), outcome="server_error"),
    *both(
        "T8", "an error in a choice", event({"choices": [{"index": 0, "error": ERROR}]}), DONE, outcome="server_error"
    ),
    *both("T8", "a finish that gives up", event(chunk(finish="error")), DONE, outcome="cut"),
    Case(
        "T8 an error that quotes the answer, late",
        late(event({"error": {"message": f"cannot parse {HALF!r}", "code": 500}})),
        "interrupted",
        "server_error",
        again=True,
    ),
    *both("T9", "an event named error", event(ERROR, "error"), outcome="server_error"),
    *both("T9", "an event named error, of text", event(b"it broke", "error"), outcome="server_error"),
    *both("T9", "an object named error", event({"object": "error", **ERROR}), outcome="server_error"),
    *both("T10", "half an event", event(b'{"id": '), STOP, DONE, outcome="malformed_event"),
    *both("T10", "two objects in an event", event(raw("a") + raw("b")), STOP, DONE, outcome="malformed_event"),
    *both("T10", "half an event at the end", b'data: {"choices": [{"del', outcome="malformed_event"),
    Case("T10 plain text, early", early(event(b"Internal Server Error")), outcome="malformed_event"),
    Case("T10 plain text, late", late(event(b"Internal Server Error")), "interrupted", "malformed_event or cut"),
    Case("T11 a retry hint", streamed(b"retry: 3000\n\n", b"id: 7\n\n", ANSWER, STOP, COUNTED, DONE), "answered"),
    Case(
        "T12 a byte at a time",
        streamed(*(b.to_bytes() for b in event(raw(WIDE)) + STOP + COUNTED + DONE)),
        "answered",
        text=WIDE,
    ),
    Case("T12 CR", streamed(*(p.replace(b"\n", b"\r") for p in (ANSWER, STOP, COUNTED, DONE))), "answered"),
    Case("T12 CRLF", streamed(*(p.replace(b"\n", b"\r\n") for p in (ANSWER, STOP, COUNTED, DONE))), "answered"),
    Case(
        "T12 data in lines",
        streamed(
            b"".join(b"data: %b\n" % line for line in json.dumps(chunk(RIGHT), indent=1).encode().split(b"\n")) + b"\n",
            STOP,
            COUNTED,
            DONE,
        ),
        "answered",
    ),
    Case(
        "T12 line separators in the text",
        streamed(event(raw("a\u2028b\x85c" + RIGHT)), STOP, COUNTED, DONE),
        "answered",
        text="a\u2028b\x85c" + RIGHT,
    ),
    Case(
        "T12 an emoji in two halves",
        streamed(
            event(json.dumps(chunk("@A")).replace("@A", "\\ud83d").encode()),
            event(json.dumps(chunk("@B" + RIGHT)).replace("@B", "\\ude00").encode()),
            STOP,
            COUNTED,
            DONE,
        ),
        "answered",
        text="😀" + RIGHT,
    ),
    Case("T13 an event too large", streamed(event(chunk("x" * 1_100_000))), outcome="answer_too_large"),
    Case(
        "T13 a line without end",
        Script((head(), *framed(b"data: ")), framed(b"x" * 65_536)),
        outcome="answer_too_large",
    ),
    Case("T14 no choices in an event", streamed(event(chunk(choices=[])), ANSWER, STOP, COUNTED, DONE), "answered"),
    Case(
        "T14 choices of null",
        streamed(event(chunk(choices=None)), ANSWER, STOP, event(chunk(choices=None, usage=USAGE)), DONE),
        "answered",
    ),
    Case(
        "T14 a delta of null",
        streamed(ANSWER, event(chunk(choices=[{"index": 0, "delta": None, "finish_reason": "stop"}])), COUNTED, DONE),
        "answered",
    ),
    Case("T15 the same usage three times", streamed(ANSWER, STOP, COUNTED, COUNTED, COUNTED, DONE), "answered"),
    Case(
        "T15 usage that grows",
        streamed(
            *(event(chunk("", usage=USAGE | {"completion_tokens": n, "total_tokens": 7 + n})) for n in (1, 2, 3)),
            ANSWER,
            event(chunk(finish="stop", usage=USAGE)),
            DONE,
        ),
        "answered",
    ),
    Case("T16 no usage", streamed(ANSWER, STOP, DONE), "answered", usage=None),
    Case(
        "T17 a finish after half a tool call",
        streamed(
            event(chunk(choices=[{"index": 0, "delta": {"tool_calls": CALL}}])),
            event(chunk(finish="tool_calls")),
            COUNTED,
            DONE,
        ),
        "answered",
        text="",
        calls=(CUT_CALL,),
    ),
    Case("T18 held open after done", streamed(ANSWER, STOP, COUNTED, DONE, end=False, then="hold"), "answered"),
    Case("T18 held open after the finish", streamed(ANSWER, COUNTED, STOP, end=False, then="hold"), "answered"),
    Case("T18 reset after the finish", streamed(ANSWER, COUNTED, STOP, 0.1, end=False, then="reset"), "answered"),
    Case("T19 more after done", streamed(ANSWER, STOP, COUNTED, DONE, event(chunk("GHOST")), FIRST), "answered"),
    Case(
        "T20 a stream without end",
        Script((head(), *framed(FIRST), Gate.COMMIT), framed(event(chunk("x" * 100_000)))),
        "interrupted",
        "answer_too_large",
    ),
]

CASES = (*CONNECTION, *STATUS, *BODY, *STREAMS)
