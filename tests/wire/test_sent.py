"""What leaves this machine: our headers and nobody else's, the model's name first, no cookie, no redirect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hfrouter import AttemptFailed, Policy, RouteExhausted, Router
from tests.wire.replay import Answer, Asked, Server, chunk, whole

ASK: dict[str, Any] = {"model": "org/m", "messages": "Hello"}
STREAMED = Answer.stream(chunk("Hi"), chunk(finish="stop"))
# What the HTTP client must add to any request, and what we write.
_FRAMING = {"host", "connection", "content-length"}
_OURS = {"accept", "accept-encoding", "user-agent", "authorization", "content-type"}
# What the SDK would read, and send along.
_ENVIRONMENT = {
    "OPENAI_API_KEY": "sk-leak",
    "OPENAI_ORG_ID": "org-leak",
    "OPENAI_PROJECT_ID": "proj-leak",
    "OPENAI_CUSTOM_HEADERS": "X-Leak: leak\nAuthorization: Bearer leak",
    "OPENAI_BASE_URL": "http://127.0.0.1:9/leak",
    "OPENAI_WEBHOOK_SECRET": "leak",
}


def made(base_url: str, **more: Any) -> Router:
    return Router(base_url=base_url, token="hf_test", ledger="memory", **more)


@pytest.mark.parametrize("upstream", ["unary", "stream"])
def test_the_headers_are_exactly_those_we_write(server: Server, upstream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in _ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    place = server.place(Answer.json(whole()) if upstream == "unary" else STREAMED)
    made(place.base_url, policy=Policy(upstream=upstream)).chat(**ASK)
    [asked] = place.asked
    assert set(asked.headers) == _FRAMING | _OURS
    assert len(asked.header_lines) == len(asked.headers)  # none twice
    assert asked.headers["authorization"] == "Bearer hf_test"
    assert asked.headers["accept-encoding"] == "identity"
    assert asked.headers["user-agent"].startswith("hfrouter/")
    assert "leak" not in repr(asked).lower()


def test_billing_and_session_are_named_when_they_are_given(server: Server) -> None:
    place = server.place(STREAMED)
    made(place.base_url, bill_to="acme", session="s1").chat(**ASK)
    made(place.base_url, session="s1").chat(**ASK, session="s2")
    assert [a.headers.get("x-hf-bill-to") for a in place.asked] == ["acme", None]
    assert [a.headers.get("x-hf-session-id") for a in place.asked] == ["s1", "s2"]


@pytest.mark.parametrize("upstream", ["unary", "stream"])
def test_the_model_is_the_first_key_and_named_with_its_provider(server: Server, upstream: Any) -> None:
    place = server.place(Answer.json(whole()) if upstream == "unary" else STREAMED)
    made(place.base_url, policy=Policy(upstream=upstream)).chat(**ASK, temperature=0, stop=["x"])
    body = place.asked[0].body
    assert body.startswith(b'{"model":"org/m:one",')
    assert next(iter(json.loads(body))) == "model"
    assert json.loads(body)["messages"] == [{"role": "user", "content": "Hello"}]


def test_what_is_sent_is_compact_utf8(server: Server) -> None:
    place = server.place(STREAMED)
    made(place.base_url).chat(model="org/m", messages="Où est la gare ? 👋")
    assert "Où est la gare ? 👋".encode() in place.asked[0].body
    assert b'": ' not in place.asked[0].body


def test_cookies_are_not_kept(server: Server) -> None:
    cookies = {"content-type": "text/event-stream", "set-cookie": "__cf_bm=abc; path=/; HttpOnly"}
    place = server.place(Answer(STREAMED.pieces, headers=cookies))
    router = made(place.base_url)
    for _ in range(3):
        router.chat(**ASK)
    assert all("cookie" not in asked.headers for asked in place.asked)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("call", ["chat", "stream"])
def test_a_redirect_is_not_followed(server: Server, status: int, call: str) -> None:
    other = server.place(STREAMED)
    place = server.place(Answer((), status, {"location": f"{other.base_url}/chat/completions"}, "length"))
    router = made(place.base_url, policy=Policy(attempts=1), bill_to="acme")
    with pytest.raises(RouteExhausted) as caught:
        getattr(router, call)(**ASK)
    assert isinstance(caught.value.__cause__, AttemptFailed)
    assert caught.value.__cause__.kind == "redirected"
    assert caught.value.status_code == status
    assert other.asked == []


def test_a_redirected_catalogue_is_not_followed_either(server: Server) -> None:
    other = server.place(STREAMED)
    place = server.place(STREAMED)
    seen: list[Asked] = []

    def redirect(asked: Asked) -> Answer:
        seen.append(asked)
        return (
            Answer((), 302, {"location": f"{other.base_url}/chat/completions"}, "length")
            if asked.path.endswith("/models")
            else STREAMED
        )

    place.next = redirect  # type: ignore[method-assign]
    assert made(place.base_url).chat(**ASK).text == "Hi"  # without a catalogue
    assert [asked.path.rpartition("/")[2] for asked in seen] == ["models", "completions"]
    assert other.asked == []


def test_the_token_is_not_shown_to_the_catalogue(server: Server) -> None:
    place = server.place(STREAMED)
    listing, seen = Answer.json(place.listing), []

    def answer(asked: Asked) -> Answer:
        seen.append(asked)
        return listing

    place.next = answer  # type: ignore[method-assign]
    made(place.base_url).targets()
    assert "authorization" not in seen[0].headers
    assert set(seen[0].headers) <= _FRAMING | _OURS


def test_one_connection_serves_call_after_call(server: Server) -> None:
    place = server.place(Answer.json(whole()))
    router = made(place.base_url, policy=Policy(upstream="unary"))
    assert [router.chat(**ASK).text for _ in range(5)] == ["Hello"] * 5
    assert len(place.asked) == 5
