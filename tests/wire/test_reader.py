"""One answer read over a real socket: whole or not, in time or not, and never more of it than is good for us."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from hfrouter import (
    AttemptFailed,
    Delta,
    HFRouterError,
    Policy,
    RequestRejected,
    RouteExhausted,
    Router,
    StreamInterrupted,
)
from hfrouter.wire import reader
from tests.wire.replay import DONE, JSON, SSE, Answer, Place, Server, chunk, cut_up, event, usage, whole

ASK: dict[str, Any] = {"model": "org/m", "messages": "What is the capital of France, please?"}
HELLO = (chunk("Hel"), chunk("lo"))
END = chunk(finish="stop")
Place1 = Callable[..., tuple[Place, Router]]


@pytest.fixture
def at(server: Server) -> Place1:
    def make(*answers: Answer, two: bool = False, **limits: Any) -> tuple[Place, Router]:
        rows = [("org/m:one", {"throughput": 2.0}), ("org/m:two", {"throughput": 1.0})]
        place = server.place(*answers, models=rows[: 1 + two])
        policy = Policy(**{"attempts": 1 + two, "upstream": "stream", "deadline": 20.0} | limits)
        return place, Router(base_url=place.base_url, token="hf_test", ledger="memory", policy=policy, seed=0)

    return make


def failed(router: Router, *, stream: bool = False, **more: Any) -> HFRouterError:
    with pytest.raises(HFRouterError) as caught:
        (router.stream if stream else router.chat)(**ASK | more)
    return caught.value


def kind_of(error: HFRouterError) -> str:
    assert isinstance(error.__cause__, AttemptFailed)
    return error.__cause__.kind


def interrupted(router: Router) -> tuple[list[Delta], StreamInterrupted]:
    deltas: list[Delta] = []
    with router.stream(**ASK) as stream, pytest.raises(StreamInterrupted) as caught:
        deltas.extend(stream)
    return deltas, caught.value


class TestWhole:
    def test_a_stream_is_whole_with_finish_and_done(self, at: Place1) -> None:
        place, router = at(Answer.stream(*HELLO, END, event({"choices": [], "usage": usage(3, 2)}), DONE))
        answer = router.chat(**ASK)
        assert (answer.text, answer.finish_reason, answer.usage.total_tokens) == ("Hello", "stop", 5)
        assert [delta.text for delta in router.stream(**ASK) if delta.text] == ["Hel", "lo"]
        assert place.asked[0].json["stream_options"] == {"include_usage": True}

    async def test_a_stream_that_is_closed_twice_at_once_is_closed_once(self, at: Place1) -> None:
        _, router = at(Answer.stream(*HELLO, END, DONE, then="hold"))
        async with await router.astream(**ASK) as stream:
            while (delta := await anext(stream)) and not delta.finish_reason:
                pass
            end = asyncio.ensure_future(anext(stream, None))  # reads it, and closes
            await asyncio.sleep(0.01)
            assert await asyncio.gather(stream.aclose(), stream.aclose(), end) == [None, None, None]

    def test_a_finish_reason_without_done_is_enough(self, at: Place1) -> None:
        _, router = at(Answer.stream(*HELLO, END))
        assert router.chat(**ASK).text == "Hello"

    def test_a_connection_cut_after_the_finish_reason_costs_nothing(self, at: Place1) -> None:
        _, router = at(Answer.stream(*HELLO, END, then="cut"))
        assert router.chat(**ASK).text == "Hello"

    @pytest.mark.parametrize("done", [DONE, b"data:[DONE]\n\n", b"data: [DONE] \n\n", b"data: [DONE]"], ids=repr)
    def test_done_without_a_finish_reason_is_enough(self, at: Place1, done: bytes) -> None:
        _, router = at(Answer.stream(*HELLO, done))
        answer = router.chat(**ASK)
        assert (answer.text, answer.finish_reason) == ("Hello", None)

    def test_a_server_that_holds_the_line_open_after_the_finish_reason_is_left_after_2_s(self, at: Place1) -> None:
        place, router = at(Answer.stream(*HELLO, END, event({"choices": [], "usage": usage(3, 2)}), then="hold"))
        began = time.monotonic()
        answer = router.chat(**ASK)
        assert (answer.text, answer.usage.total_tokens) == ("Hello", 5)
        assert 1.5 < time.monotonic() - began < 3.0
        assert place.left.wait(2)

    def test_what_drips_on_after_the_finish_reason_does_not_prolong_the_2_s(self, at: Place1) -> None:
        drip = itertools.chain([*HELLO, END], itertools.cycle([0.4, chunk(" ")]))
        _, router = at(Answer(drip))
        began = time.monotonic()
        assert router.chat(**ASK).text.startswith("Hello")
        assert time.monotonic() - began < 3.5

    def test_nothing_after_done_is_read(self, at: Place1) -> None:
        _, router = at(Answer.stream(*HELLO, DONE, chunk(" again"), event({"error": "late"})))
        assert router.chat(**ASK).text == "Hello"

    def test_a_bare_json_answer_to_a_stream_is_an_answer_whatever_it_is_called(self, at: Place1) -> None:
        for kind in ("application/json", "text/event-stream", "text/plain"):
            router = at(Answer((b"\n ", *Answer.json(whole()).pieces), 200, {"content-type": kind}))[1]
            assert router.chat(**ASK).text == "Hello", kind
            assert "".join(delta.text for delta in router.stream(**ASK)) == "Hello", kind

    @pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/octet-stream", ""])
    def test_a_stream_is_a_stream_whatever_it_is_called(self, at: Place1, kind: str) -> None:
        answer = Answer.stream(b"\n", b": hi\n\n", *HELLO, END, DONE, headers={"content-type": kind} if kind else {})
        assert at(answer)[1].chat(**ASK).text == "Hello"

    @pytest.mark.parametrize("end", [(END, DONE), (END,), (DONE,)], ids=["finish and done", "finish", "done"])
    def test_a_stream_that_comes_instead_of_a_unary_answer_is_read(self, at: Place1, end: tuple[bytes, ...]) -> None:
        for headers in (SSE, JSON):
            _, router = at(Answer.stream(b": hi\n\n", *HELLO, *end, headers=headers), upstream="unary")
            assert router.chat(**ASK).text == "Hello"
        assert kind_of(failed(at(Answer.stream(*HELLO), upstream="unary")[1])) == "cut"
        assert kind_of(failed(at(Answer.stream(ERRORS[0]), upstream="unary")[1])) == "server_error"

    def test_a_unary_answer_of_any_chunking_is_read(self, at: Place1) -> None:
        body = next(iter(Answer.json(whole()).pieces))
        assert isinstance(body, bytes)
        _, router = at(Answer(cut_up(body, "bytes"), headers=JSON), upstream="unary")
        assert router.chat(**ASK).text == "Hello"

    def test_a_byte_order_mark_before_json_is_skipped(self, at: Place1) -> None:
        body = b"\xef\xbb\xbf" + b"".join(p for p in Answer.json(whole()).pieces if isinstance(p, bytes))
        for upstream in ("unary", "stream"):
            _, router = at(Answer((body[:2], body[2:]), headers=JSON), upstream=upstream)
            assert router.chat(**ASK).text == "Hello"

    def test_the_second_of_two_choices_is_waited_for(self, at: Place1) -> None:
        other = [event({"choices": [{"index": 1, "delta": {"content": t}, "finish_reason": None}]}) for t in "ab"]
        last = event({"choices": [{"index": 1, "delta": {}, "finish_reason": "stop"}]})
        answer = Answer.stream(*HELLO, other[0], END, 2.3, other[1], last, DONE)
        body = at(answer)[1].chat(**ASK, n=2).body
        assert [choice.message.content for choice in body.choices] == ["Hello", "ab"]
        assert kind_of(failed(at(Answer.stream(*HELLO, other[0], END))[1], n=2)) == "cut"


class TestNotWhole:
    @pytest.mark.parametrize("then", ["end", "cut", "reset"])
    @pytest.mark.parametrize("pieces", [(), (b": hi\n\n",)], ids=["nothing", "a comment"])
    def test_an_end_before_any_event_is_a_failed_attempt(self, at: Place1, pieces: tuple[bytes], then: Any) -> None:
        place, router = at(Answer.stream(*pieces, then=then), Answer.stream(*HELLO, END), two=True)
        answer = router.chat(**ASK)
        assert (answer.text, answer.provider) == ("Hello", "two")
        assert answer.attempts[0].outcome in {"not_an_answer", "cut", "connection_lost"}
        assert len(place.asked) == 2

    @pytest.mark.parametrize("then", ["end", "cut", "reset"])
    def test_a_cut_after_content_fails_chat_and_interrupts_a_stream(self, at: Place1, then: Any) -> None:
        answer = Answer.stream(chunk("Hel"), 0.05, chunk("lo"), 0.05, then=then)
        assert kind_of(failed(at(answer)[1])) == "cut"
        deltas, error = interrupted(at(answer)[1])
        assert "".join(delta.text for delta in deltas) == error.partial == "Hello"

    def test_chat_tries_the_next_target_after_a_cut(self, at: Place1) -> None:
        _, router = at(Answer.stream(*HELLO, then="cut"), Answer.stream(chunk("Hi"), END), two=True)
        answer = router.chat(**ASK)
        assert (answer.text, [attempt.outcome for attempt in answer.attempts]) == ("Hi", ["cut", "ok"])

    def test_only_done_is_an_empty_answer(self, at: Place1) -> None:
        assert kind_of(failed(at(Answer.stream(DONE))[1])) == "empty_answer"

    @pytest.mark.parametrize("said", ["", " \n", None], ids=repr)
    @pytest.mark.parametrize("upstream", ["unary", "stream"])
    def test_an_answer_that_says_nothing_is_a_failed_attempt(self, at: Place1, said: str | None, upstream: str) -> None:
        answer = Answer.json(whole(said)) if upstream == "unary" else Answer.stream(chunk(said), END, DONE)
        assert kind_of(failed(at(answer, upstream=upstream)[1])) == "empty_answer"

    @pytest.mark.parametrize(
        "body",
        [b"", b"   ", b"[]", b"null", b'"x"', b"{}", b"nope", b'{"choices": []}', b'{"choices": null}', b"[" * 100_000],
        ids=lambda body: repr(body[:20]),
    )
    @pytest.mark.parametrize("upstream", ["unary", "stream"])
    def test_a_200_that_holds_no_answer_is_a_failed_attempt(self, at: Place1, body: bytes, upstream: str) -> None:
        answer = Answer((body,) if body else (), headers=JSON, framing="length")
        assert kind_of(failed(at(answer, upstream=upstream)[1])) == "not_an_answer"

    @pytest.mark.parametrize("upstream", ["unary", "stream"])
    def test_half_a_json_object_is_a_cut(self, at: Place1, upstream: str) -> None:
        body = b"".join(p for p in Answer.json(whole()).pieces if isinstance(p, bytes))[:-20]
        assert kind_of(failed(at(Answer((body,), headers=JSON), upstream=upstream)[1])) == "cut"
        short = Answer((body,), headers=JSON | {"content-length": str(len(body) + 20)}, framing="length", then="cut")
        assert kind_of(failed(at(short, upstream=upstream)[1])) == "cut"

    @pytest.mark.parametrize("upstream", ["unary", "stream"])
    @pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/json", "text/event-stream", ""])
    def test_a_web_page_is_no_answer(self, at: Place1, upstream: str, kind: str) -> None:
        answer = Answer((b"\n<!doctype html><p>hi",), headers={"content-type": kind} if kind else {}, then="hold")
        page = Answer((b"\n<!doctype html><p>hi",), headers=dict(answer.headers))
        began = time.monotonic()
        assert kind_of(failed(at(page if upstream == "unary" else answer, upstream=upstream)[1])) == "not_an_answer"
        assert time.monotonic() - began < 1.0  # without waiting for its end

    @pytest.mark.parametrize("status", [200, 204, 205, 299])
    def test_a_success_without_a_body_is_no_answer(self, at: Place1, status: int) -> None:
        answer = Answer(status=status, headers={}, framing="close", then="cut")
        assert kind_of(failed(at(answer)[1])) == "not_an_answer"

    def test_a_tool_call_without_a_name_is_malformed(self, at: Place1) -> None:
        calls = {"tool_calls": [{"index": 0, "id": "c", "function": {"arguments": "{}"}}]}
        assert kind_of(failed(at(Answer.stream(chunk(delta=calls), END))[1])) == "malformed_tool_call"


ERRORS = [
    event({"error": {"message": "overloaded", "code": 503}}),
    event({"error": "overloaded", "code": 503}),
    event({"object": "error", "message": "overloaded", "code": 503}),
    event({"type": "error", "message": "overloaded", "status": 503}),
    event({"message": "overloaded", "status": 503}),
    event({"choices": None, "error": {"message": "overloaded", "code": "503"}}),
    event({"status": 503, "title": "overloaded"}, name="error"),
    event("overloaded", name="error"),
]


class TestErrorsInside:
    @pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.decode().strip())
    def test_an_error_event_at_the_start_is_a_failed_attempt(self, at: Place1, error: bytes) -> None:
        _, router = at(Answer.stream(error, DONE), Answer.stream(*HELLO, END), two=True)
        answer = router.chat(**ASK)
        assert (answer.text, answer.attempts[0].outcome) == ("Hello", "server_error")

    @pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.decode().strip())
    def test_an_error_event_after_content_interrupts_a_stream(self, at: Place1, error: bytes) -> None:
        deltas, caught = interrupted(at(Answer.stream(chunk("Hel"), 0.1, error, DONE))[1])
        assert [delta.text for delta in deltas] == ["Hel"]
        assert caught.partial == "Hel"

    def test_what_came_with_an_error_is_delivered_before_it(self, at: Place1) -> None:
        both = chunk("lo") + event({"error": "overloaded"})
        deltas, caught = interrupted(at(Answer.stream(chunk("Hel"), 0.1, both))[1])
        assert "".join(delta.text for delta in deltas) == caught.partial == "Hello"

    def test_an_error_that_comes_with_the_first_content_is_still_a_failed_attempt(self, at: Place1) -> None:
        both = chunk("Hel") + event({"error": "overloaded"})
        _, router = at(Answer.stream(both), Answer.stream(chunk("Hi"), END), two=True)
        with router.stream(**ASK) as stream:
            assert [delta.text for delta in stream if delta.text] == ["Hi"]

    @pytest.mark.parametrize("upstream", ["unary", "stream"])
    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            ({"error": {"message": "slow down", "code": 429}}, "rate_limited"),
            ({"error": "slow down", "type": "rate_limit_exceeded"}, "rate_limited"),
            ({"error": "maximum context length is 10", "error_type": "validation"}, "context_overflow"),
            ({"choices": None, "error": {"message": "x"}}, "server_error"),
            ({"detail": "x"}, "server_error"),
            ({"detail": [{"loc": 5, "msg": "x"}]}, "server_error"),
            ({"message": "x", "code": 400}, "bad_request"),
        ],
        ids=str,
    )
    def test_a_json_error_in_a_200_is_judged_by_its_own_code(
        self, at: Place1, body: dict[str, Any], kind: str, upstream: str
    ) -> None:
        assert kind_of(failed(at(Answer.json(body), upstream=upstream)[1])) == kind

    def test_a_malformed_event_before_the_commit_is_a_failed_attempt(self, at: Place1) -> None:
        for broken in (event("nope"), event('{"choices": [') + b"\n", event('{"a":1}{"b":2}'), event("[1]")):
            assert kind_of(failed(at(Answer.stream(chunk("Hel"), broken, END, DONE))[1])) == "malformed_event"

    def test_one_event_of_noise_after_the_commit_is_skipped_and_two_are_not(self, at: Place1) -> None:
        broken = event("still here")
        once = Answer.stream(chunk("Hel"), 0.1, broken, chunk("lo"), END, DONE)
        with at(once)[1].stream(**ASK) as stream:
            assert "".join(delta.text for delta in stream) == "Hello"
        deltas, caught = interrupted(at(Answer.stream(chunk("Hel"), 0.1, broken, chunk("lo") + broken))[1])
        assert "".join(delta.text for delta in deltas) == caught.partial == "Hello"

    def test_half_an_object_after_the_commit_is_lost_content_and_interrupts(self, at: Place1) -> None:
        answer = Answer.stream(chunk("Hel"), 0.1, event('{"choices": [{"del'), chunk("lo"), END, DONE)
        deltas, caught = interrupted(at(answer)[1])
        assert "".join(delta.text for delta in deltas) == caught.partial == "Hel"

    def test_deep_nesting_is_a_malformed_event_and_no_crash(self, at: Place1) -> None:
        for depth in (400, 900, 5000, 200_000):
            deep = '{"a":' * depth + "1" + "}" * depth
            arguments = (
                f'{{"choices":[{{"delta":{{"tool_calls":[{{"function":{{"name":"f","arguments":{deep}}}}}]}}}}]}}'
            )
            content = f'{{"choices":[{{"delta":{{"content":{"[" * depth}{"]" * depth}}}}}]}}'
            for data in (deep, arguments, content):
                _, router = at(Answer.stream(event(data), chunk("a"), END, DONE))
                with contextlib.suppress(RouteExhausted):  # an event that is skipped or refused, and nothing else
                    assert router.chat(**ASK).text == "a"


class TestTimers:
    def test_comments_do_not_count_as_content_before_it(self, at: Place1) -> None:
        forever = Answer(itertools.cycle([b": keep-alive\n\n", 0.02]))
        place, router = at(forever, Answer.stream(*HELLO, END), two=True, first_content=0.3)
        began = time.monotonic()
        answer = router.chat(**ASK)
        assert [attempt.outcome for attempt in answer.attempts] == ["first_content_timeout", "ok"]
        assert 0.25 < time.monotonic() - began < 1.3
        assert place.left.wait(2)

    @pytest.mark.parametrize(
        "filler", [b": keep-alive\n\n", event({"choices": []}), chunk(delta={"role": "assistant"}), chunk("")], ids=repr
    )
    def test_nothing_but_content_resets_the_idle_timer(self, at: Place1, filler: bytes) -> None:
        forever = itertools.chain(HELLO, itertools.cycle([filler, 0.02]))
        place, router = at(Answer(forever), idle=0.3)
        began = time.monotonic()
        deltas, caught = interrupted(router)
        assert "idle_timeout" in str(caught)
        assert "".join(delta.text for delta in deltas) == "Hello"
        assert 0.25 < time.monotonic() - began < 1.5
        assert place.left.wait(2)

    def test_content_resets_the_idle_timer(self, at: Place1) -> None:
        slow = [piece for text in "abcde" for piece in (chunk(text), 0.15)]
        _, router = at(Answer.stream(*slow, END), idle=0.4)
        assert router.chat(**ASK).text == "abcde"

    def test_reasoning_and_tool_calls_are_content(self, at: Place1) -> None:
        call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
        pieces = [chunk(delta={"reasoning": "Hm"}), 0.25, chunk(delta={"tool_calls": [call]}), 0.25, chunk("a"), END]
        assert at(Answer.stream(*pieces), idle=0.4)[1].chat(**ASK).text == "a"

    def test_a_refusal_is_content_and_reaches_who_reads_a_stream(self, at: Place1) -> None:
        said = [chunk(delta={"refusal": "I can"}), 0.25, chunk(delta={"refusal": "not."}), 0.25, END]
        _, router = at(Answer.stream(*said), two=True, first_content=0.4, idle=0.4)
        answer = router.chat(**ASK)
        assert (answer.message["refusal"], answer.text, len(answer.attempts)) == ("I cannot.", "", 1)
        with router.stream(**ASK) as stream:
            bodies = [delta.body.choices[0].delta for delta in stream]
        assert "".join(delta.get("refusal", "") for delta in bodies) == "I cannot."

    @pytest.mark.parametrize("upstream", ["unary", "stream"])
    def test_a_server_that_never_answers_meets_the_deadline(self, at: Place1, upstream: str) -> None:
        _, router = at(Answer.stream(30.0), deadline=0.4, upstream=upstream)
        began = time.monotonic()
        failed(router)
        assert 0.35 < time.monotonic() - began < 1.0

    def test_a_trickled_unary_answer_meets_the_deadline(self, at: Place1) -> None:
        trickle = Answer(itertools.cycle([b" ", 0.02]), headers=JSON)
        _, router = at(trickle, deadline=0.4, upstream="unary")
        began = time.monotonic()
        failed(router)
        assert 0.35 < time.monotonic() - began < 1.0


class TestBounds:
    @pytest.mark.parametrize("upstream", ["unary", "stream"])
    @pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "GZIP"])
    def test_a_compressed_answer_is_refused_unread(self, at: Place1, upstream: str, encoding: str) -> None:
        bomb = Answer((b"\x1f\x8b" + b"\0" * 1000,), headers=JSON | {"content-encoding": encoding})
        assert kind_of(failed(at(bomb, upstream=upstream)[1])) == "compressed_answer"

    def test_a_transfer_coding_under_the_wrong_name_is_plain(self, at: Place1) -> None:
        """As recorded from cerebras in 2025-03."""
        answer = Answer((json.dumps(whole()).encode(),), headers=JSON | {"content-encoding": "chunked"})
        assert at(answer, upstream="unary")[1].chat(**ASK).text

    def test_a_stream_of_two_choices_that_brings_one_is_cut(self, at: Place1) -> None:
        half = Answer.stream(chunk("a"), chunk(finish="stop"), then="cut")
        assert kind_of(failed(at(half, upstream="stream")[1], n=2)) == "cut"

    @pytest.mark.parametrize("upstream", ["unary", "stream"])
    def test_an_answer_beyond_the_cap_is_refused(
        self, at: Place1, upstream: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reader, "MAX_BODY_BYTES", 100_000)
        endless = Answer(
            itertools.cycle([chunk("x" * 1000)]) if upstream == "stream" else itertools.cycle([b" " * 999])
        )
        place, router = at(endless, upstream=upstream)
        assert kind_of(failed(router)) == "answer_too_large"
        assert place.left.wait(2)

    def test_an_endless_line_is_refused(self, at: Place1) -> None:
        place, router = at(Answer(itertools.chain([b"data: "], itertools.repeat(b"x" * 65_536))))
        assert kind_of(failed(router)) == "answer_too_large"
        assert place.left.wait(2)

    @pytest.mark.parametrize("status", [400, 429, 500])
    def test_an_endless_error_is_read_to_64_kB_and_left(self, at: Place1, status: int) -> None:
        place, router = at(Answer(itertools.repeat(b"no " * 300), status, {"content-type": "text/plain"}))
        began = time.monotonic()
        assert failed(router).status_code == status
        assert time.monotonic() - began < 2.0
        assert place.left.wait(2)

    def test_a_trickled_error_is_left_in_time(self, at: Place1, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reader, "_ERROR_BODY_SECONDS", 0.3)
        place, router = at(Answer(itertools.cycle([b"n", 0.02]), 500, {"content-type": "text/plain"}))
        assert failed(router).status_code == 500
        assert place.left.wait(2)

    def test_a_compressed_error_is_judged_by_its_status(self, at: Place1) -> None:
        headers = JSON | {"content-encoding": "gzip"}
        assert failed(at(Answer((b"\x1f\x8b\0",), 402, headers))[1]).status_code == 402

    def test_bytes_of_any_kind_are_text_or_a_failed_attempt(self, at: Place1) -> None:
        body = b'data: {"choices":[{"delta":{"content":"a\xff\\ud800"},"finish_reason":"stop"}]}\n\n'
        assert at(Answer((body,)))[1].chat(**ASK).text == "a\ufffd\ufffd"
        unary = Answer((b'{"choices":[{"message":{"content":"a\xff"}}]}',), headers=JSON)
        assert kind_of(failed(at(unary, upstream="unary")[1])) == "cut"

    def test_a_refused_request_is_not_an_attempt_more(self, at: Place1) -> None:
        place, router = at(Answer.json({"error": {"message": "bad"}}, 400), two=True)
        assert isinstance(failed(router), RequestRejected)
        assert len(place.asked) == 1
