"""Endpoints of the user's own: the last resort of a call, on their own account, under their own name."""

from __future__ import annotations

import doctest
import importlib
import json
import pickle
import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from hfrouter import (
    Completion,
    ConfigurationError,
    Endpoint,
    HFRouterError,
    NoTargetAvailable,
    OutOfCredits,
    Policy,
    RequestRejected,
    Router,
)
from hfrouter.simulator import Fault, Simulator

MODEL, OTHER, UNLISTED = "openai/gpt-oss-120b", "meta-llama/Llama-3.3-70B-Instruct", "me/my-finetune"
ASK: dict[str, Any] = {"model": MODEL, "messages": "What is 17 * 23?"}
KEY = "sk-own-key-of-mine"
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
USAGE = {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010}


@dataclass
class Server:
    """A server of OpenAI's chat completions that says 391, and writes down what it is sent.

    Attributes:
        url: Its base URL.
        status: Of its answers.
        error: Their body when the status is an error.
        usage: What it reports, or None for nothing.
        asked: (path, headers, body) of each request.
    """

    url: str = ""
    status: int = 200
    error: Any = None
    usage: dict[str, int] | None = field(default_factory=lambda: dict(USAGE))
    asked: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)

    def answer(self, body: dict[str, Any]) -> tuple[str, bytes]:
        if self.status != 200:
            return "application/json", json.dumps(self.error).encode()
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
        usage = {"usage": self.usage} if self.usage else {}
        if not body.get("stream"):
            message = {"role": "assistant", "content": "It is 391."}
            return "application/json", json.dumps({"choices": [choice | {"message": message}]} | usage).encode()
        events: list[Any] = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in ("It is ", "391.")]
        events += [{"choices": [choice | {"delta": {}}]}, {"choices": []} | usage]
        sent = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
        return "text/event-stream", sent.encode()


@pytest.fixture
def server() -> Iterator[Server]:
    own = Server()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            path, headers = self.rfile.readline().split()[1].decode(), {}
            while line := self.rfile.readline().strip():
                name, _, value = line.decode().partition(":")
                headers[name.lower()] = value.strip()
            body = json.loads(self.rfile.read(int(headers.get("content-length", 0))))
            own.asked.append((path, headers, body))
            kind, answer = own.answer(body)
            # The header is the HF router's; from anybody else it is a claim.
            head = f"HTTP/1.1 {own.status} X\r\ncontent-type: {kind}\r\nx-inference-provider: cerebras\r\n"
            self.wfile.write(f"{head}content-length: {len(answer)}\r\nconnection: close\r\n\r\n".encode() + answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        own.url = f"http://127.0.0.1:{listening.server_address[1]}/v1"
        yield own
        listening.shutdown()


Make = Callable[..., Router]


@pytest.fixture
def make(sim: Simulator, server: Server) -> Iterator[Make]:
    """Makes a router before the simulator with the server as its endpoint `own`."""
    made: list[Router] = []

    def router(endpoint: dict[str, Any] | None = None, **changes: Any) -> Router:
        given = {"base_url": sim.base_url, "token": sim.token, "ledger": "memory", "seed": 0}
        endpoints = [Endpoint(**{"url": server.url, "name": "own"} | (endpoint or {}))]
        made.append(Router(**given | {"endpoints": endpoints, "policy": Policy(only=["groq", "own"])} | changes))
        return made[-1]

    yield router
    for each in made:
        each.close()


def by_chat(router: Router, **changes: Any) -> Completion:
    return router.chat(**ASK | changes)


def by_stream(router: Router, **changes: Any) -> Completion:
    with router.stream(**ASK | changes) as stream:
        assert "".join(delta.text for delta in stream) == "It is 391."
        return stream.completion()


async def by_achat(router: Router, **changes: Any) -> Completion:
    return await router.achat(**ASK | changes)


# -- the last resort ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [by_chat, by_stream], ids=["chat", "stream"])
def test_an_endpoint_serves_when_all_providers_have_failed(
    call: Callable[..., Completion], sim: Simulator, server: Server, make: Make
) -> None:
    sim.fail("groq", Fault.gone(), times=None)
    router = make()
    answer = call(router)
    assert answer.text == "It is 391."
    assert (answer.provider, answer.model, answer.target.id) == ("own", MODEL, f"{MODEL}:own")
    assert [(attempt.provider, attempt.outcome) for attempt in answer.attempts] == [("groq", "gone"), ("own", "ok")]
    assert [(row.provider, row.outcome) for row in router.entries()] == [("groq", "gone"), ("own", "ok")]
    path, _, body = server.asked[0]
    assert path == "/v1/chat/completions"
    assert body["model"] == MODEL  # without the provider, which only the router knows


async def test_it_serves_asynchronous_calls(sim: Simulator, make: Make) -> None:
    sim.fail("groq", Fault.gone(), times=None)
    assert (await by_achat(make())).provider == "own"


def test_it_is_not_asked_while_a_provider_answers(server: Server, make: Make) -> None:
    assert make(policy=Policy()).chat(**ASK).provider != "own"
    assert server.asked == []


def test_it_comes_after_the_providers_of_all_models(sim: Simulator, make: Make) -> None:
    sim.fail("groq", Fault.gone(), times=None)
    answer = make().chat(**ASK, models=[OTHER])
    assert [(a.model, a.provider) for a in answer.attempts] == [(MODEL, "groq"), (OTHER, "groq"), (MODEL, "own")]


@pytest.mark.parametrize("endpoint", [{}, {"model": "llama3.2:3b"}], ids=["any model", "one model"])
def test_it_comes_where_order_says(endpoint: dict[str, Any], sim: Simulator, make: Make) -> None:
    router = make(endpoint, policy=Policy(order=["own", "groq"], models=[OTHER]))
    answer = router.chat(**ASK)
    assert (answer.provider, len(answer.attempts)) == ("own", 1)
    sim.fail("groq", Fault.gone(), times=None)
    answer = router.chat(**ASK, provider={"order": ["groq", "own"]})
    assert [attempt.provider for attempt in answer.attempts] == ["groq", "own"]


@pytest.mark.parametrize("endpoint", [{}, {"model": "llama3.2:3b"}], ids=["any model", "one model"])
def test_a_pin_asks_it_alone(endpoint: dict[str, Any], server: Server, make: Make) -> None:
    server.status, server.error = 400, {"error": "no"}
    with pytest.raises(RequestRejected) as error:
        make(endpoint).chat(model=f"{MODEL}:own", messages="hi")
    assert [attempt.provider for attempt in error.value.attempts] == ["own"]


def test_a_pin_to_a_provider_leaves_it_out(sim: Simulator, server: Server, make: Make) -> None:
    sim.fail("groq", Fault.gone(), times=None)
    with pytest.raises(HFRouterError) as error:
        make(policy=Policy()).chat(model=f"{MODEL}:groq", messages="hi")
    assert server.asked == []
    assert f"{MODEL}:own: the call is pinned to groq" in error.value.explain()


def test_it_is_reached_however_many_providers_there_are(sim: Simulator, make: Make) -> None:
    sim.fail(sim.ANY, Fault.rate_limited(), times=None)
    router = make(policy=Policy())
    assert len(router.targets(MODEL)) >= 4
    answer = router.chat(**ASK)
    assert answer.provider == "own"
    assert len({attempt.provider for attempt in answer.attempts}) == len(answer.attempts) <= 4
    assert router.chat(**ASK, policy=Policy(attempts=2)).provider == "own"


def test_an_endpoint_with_a_model_of_its_own_is_named_honestly(sim: Simulator, server: Server, make: Make) -> None:
    sim.fail("groq", Fault.gone(), times=None)
    router = make({"model": "llama3.2"})
    answer = router.chat(**ASK, models=[OTHER])
    assert (answer.model, answer.target.model, answer.provider) == ("llama3.2", "llama3.2", "own")
    assert [row.model for row in router.entries()] == [MODEL, OTHER, "llama3.2"]
    assert [body["model"] for _, _, body in server.asked] == ["llama3.2"]


def test_the_header_of_the_router_is_not_believed_from_an_endpoint(sim: Simulator, make: Make) -> None:
    answer = make({"is_free": True}).chat(model=f"{MODEL}:own", messages="hi")
    assert answer.provider == answer.target.provider == "own"
    assert str(answer.cost) == "$0.00"


# -- when the account, the token or the router fails -------------------------------------------------------------------


@pytest.mark.parametrize("call", [by_chat, by_stream], ids=["chat", "stream"])
@pytest.mark.parametrize(
    "fault", [Fault.payment_required(), Fault.spending_limit(), Fault.status(401)], ids=["402", "403", "401"]
)
def test_it_serves_when_the_account_cannot_pay_or_the_token_is_refused(
    fault: Fault, call: Callable[..., Completion], sim: Simulator, make: Make
) -> None:
    sim.fail(sim.ANY, fault, times=None)
    router = make(policy=Policy())
    answer = call(router)
    assert [attempt.provider for attempt in answer.attempts[1:]] == ["own"]  # no other provider of the account
    assert [attempt.provider for attempt in call(router).attempts] == ["own"]  # which is left alone for a while


def test_a_model_one_side_does_not_know_may_be_known_to_the_other(sim: Simulator, server: Server, make: Make) -> None:
    unknown = {"error": {"message": "no such model", "code": "model_not_found"}}
    sim.fail(sim.ANY, Fault.status(400, body=unknown), times=None)
    assert make(policy=Policy()).chat(**ASK).provider == "own"
    sim.reset()
    server.status, server.error = 404, unknown
    answer = make(policy=Policy(order=["own", "groq"])).chat(**ASK)
    assert [attempt.provider for attempt in answer.attempts] == ["own", "groq"]


def test_the_account_is_still_named_when_the_endpoint_fails_too(sim: Simulator, server: Server, make: Make) -> None:
    sim.fail(sim.ANY, Fault.payment_required(), times=None)
    server.status, server.error = 500, {"error": "no"}
    with pytest.raises(OutOfCredits) as error:
        make(policy=Policy()).chat(**ASK)
    assert {attempt.provider for attempt in error.value.attempts[1:]} == {"own"}


def test_it_serves_when_the_router_is_out_of_reach(make: Make) -> None:
    answer = make(base_url="http://127.0.0.1:9/v1", policy=Policy()).chat(**ASK)
    assert answer.provider == "own"
    assert {attempt.outcome for attempt in answer.attempts[:-1]} == {"connect_failed"}


def test_without_a_catalogue_it_comes_after_whoever_the_router_chooses(sim: Simulator, make: Make) -> None:
    sim.fail(sim.CATALOGUE, Fault.status(500), times=None)
    router = make(policy=Policy())
    assert router.chat(**ASK).provider not in ("own", "")
    sim.fail(sim.ANY, Fault.gone(), times=None)
    assert router.chat(**ASK).provider == "own"
    only = router.chat(**ASK, provider={"only": ["groq", "own"]})
    assert [attempt.provider for attempt in only.attempts] == ["groq", "own"]


# -- what the catalogue does not list ----------------------------------------------------------------------------------


def test_a_model_that_is_not_listed_is_an_error_that_names_the_way(server: Server, make: Make) -> None:
    with pytest.raises(ConfigurationError, match=f"pin it: '{UNLISTED}:own'"):
        make(policy=Policy()).chat(model=UNLISTED, messages="hi")
    assert server.asked == []


@pytest.mark.parametrize(
    ("model", "policy"),
    [(f"{UNLISTED}:own", Policy()), (UNLISTED, Policy(only="own"))],
    ids=["pinned", "nobody else allowed"],
)
def test_calls_to_an_endpoint_alone_need_neither_catalogue_nor_token(
    model: str, policy: Policy, sim: Simulator, server: Server, make: Make
) -> None:
    router = make(token=None, policy=policy)
    assert router.chat(model=model, messages="hi").model == UNLISTED
    assert sim.exchanges == []
    assert server.asked[0][2]["model"] == UNLISTED


def test_an_endpoint_that_is_pinned_is_a_target(sim: Simulator, make: Make) -> None:
    router = make({"context_length": 8192})
    [target] = router.targets(f"{UNLISTED}:own")
    assert (target.id, target.context_length) == (f"{UNLISTED}:own", 8192)
    assert "own" not in {target.provider for target in router.targets(MODEL)}


# -- who may not serve -------------------------------------------------------------------------------------------------

REASONS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], str]] = {
    "ignored": ({}, {"ignore": ["own"]}, {}, "its provider is ignored"),
    "only others": ({}, {"only": ["novita"]}, {}, "not among the providers allowed"),
    "price unknown": ({}, {"max_price": 1}, {}, "its input price is not known, so it does not pass the cap"),
    "too dear": (
        {"input_price": "0.1", "output_price": 2},
        {"max_price": 1},
        {},
        "its output price of $2 per million tokens is over the cap of $1",
    ),
    "no tools": ({"supports_tools": False}, {}, {"tools": [TOOL]}, "it does not support tools"),
    "too long": (
        {"context_length": 10},
        {},
        {"messages": "x" * 1000},
        "the request is too long for its context of 10 tokens",
    ),
}


@pytest.mark.parametrize("name", REASONS)
def test_an_endpoint_is_left_out_as_any_other_target(name: str, server: Server, make: Make) -> None:
    endpoint, limits, request, reason = REASONS[name]
    with pytest.raises(NoTargetAvailable) as error:
        make(endpoint, policy=Policy(**limits)).chat(**{"model": f"{MODEL}:own", "messages": "hi"} | request)
    assert error.value.reasons[f"{MODEL}:own"] == reason
    assert server.asked == []


def test_a_price_of_yours_passes_a_cap_and_zero_is_free(make: Make) -> None:
    for prices in ({"input_price": "0.1", "output_price": 1}, {"input_price": 0, "output_price": 0}, {"is_free": True}):
        answer = make(prices, policy=Policy(max_price=1)).chat(model=f"{MODEL}:own", messages="hi")
        assert answer.cost.exact


# -- money -------------------------------------------------------------------------------------------------------------


def test_the_users_price_makes_the_cost_exact(make: Make) -> None:
    router = make({"input_price": "0.1", "output_price": 2})
    answer = router.chat(model=f"{MODEL}:own", messages="hi")
    assert answer.cost.usd == Decimal("0.00012")  # 1,000 * 0.1 / 1e6 + 10 * 2 / 1e6
    price = router.entries()[-1].price
    assert price is not None
    assert (price.input, price.output, price.source, price.at) == (Decimal("0.1"), Decimal(2), "user", 0)


def test_without_a_price_the_cost_is_unknown_and_without_usage_bounded(server: Server, make: Make) -> None:
    pinned = {"model": f"{MODEL}:own", "messages": "hi"}
    unknown = make().chat(**pinned).cost
    assert (unknown.exact, unknown.upper) == (False, None)
    server.usage = None
    bounded = make({"input_price": 1, "output_price": 1}).chat(**pinned).cost
    assert not bounded.exact
    assert bounded.upper
    assert str(make({"is_free": True}).chat(**pinned).cost) == "$0.00"


def test_its_costs_are_on_no_bill_of_hugging_face(sim: Simulator, make: Make) -> None:
    router = make({"input_price": 1, "output_price": 1}, bill_to="acme", session="s-1")
    router.chat(model=f"{MODEL}:own", messages="hi")
    assert [row.billed for row in router.entries()] == [None]
    report = router.reconcile()
    assert (report.exact, report.unknown, report.sessions) == (0, 0, ())


# -- what it is sent ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [None, KEY])
def test_nothing_of_the_account_reaches_an_endpoint(
    token: str | None, sim: Simulator, server: Server, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_environment")
    sim.fail("groq", Fault.gone(), times=None)
    router = make({"token": token}, bill_to="acme", session="session-1")
    assert router.chat(**ASK, session="session-2").provider == "own"
    _, headers, body = server.asked[0]
    expected = {"host", "connection", "content-length", "content-type", "accept", "accept-encoding", "user-agent"}
    assert set(headers) == expected | ({"authorization"} if token else set())
    assert headers.get("authorization") == (f"Bearer {token}" if token else None)
    sent = str(headers) + str(body)
    assert not [secret for secret in ("hf_of_the_environment", sim.token, "acme", "session-") if secret in sent]
    assert KEY not in str([exchange.headers for exchange in sim.exchanges])


def test_the_key_of_an_endpoint_shows_nowhere(server: Server, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    server.status, server.error = 400, {"error": f"the key {KEY} is not right"}
    router = make({"token": KEY})
    with pytest.raises(HFRouterError) as error:
        router.chat(model=f"{MODEL}:own", messages="hi")
    seen = [str(error.value), repr(error.value.__cause__), error.value.explain(), repr(router.entries()), caplog.text]
    seen += [repr(router._endpoints._all), str(router._endpoints._all[0].model_dump()), repr(router)]
    assert all(KEY not in text for text in seen)
    assert KEY.encode() not in pickle.dumps(router)


def test_an_endpoint_that_refuses_its_key_is_not_mistaken_for_hugging_face(server: Server, make: Make) -> None:
    server.status, server.error = 401, {"error": "no"}
    with pytest.raises(RequestRejected) as error:
        make({"token": KEY}).chat(model=f"{MODEL}:own", messages="hi")
    assert "HF_TOKEN" not in str(error.value)
    assert "own" in str(error.value.args[0])


def test_an_endpoint_without_credits_says_nothing_about_the_account(server: Server, make: Make) -> None:
    router = make(policy=Policy(order=["own", "groq"]))
    server.status, server.error = 402, {"error": "pay"}
    answer = router.chat(**ASK)
    assert [attempt.provider for attempt in answer.attempts] == ["own", "groq"]


# -- pickles -----------------------------------------------------------------------------------------------------------


def test_unpickled_an_endpoint_serves_unless_it_had_a_token(sim: Simulator, make: Make) -> None:
    pinned = {"model": f"{MODEL}:own", "messages": "hi"}
    assert pickle.loads(pickle.dumps(make(token=None))).chat(**pinned).provider == "own"
    with pytest.raises(NoTargetAvailable) as error:
        pickle.loads(pickle.dumps(make({"token": KEY}))).chat(**pinned)
    assert error.value.reasons == {
        f"{MODEL}:own": "a pickle has left out its token; give the router its endpoints anew"
    }


# -- settings ----------------------------------------------------------------------------------------------------------

URLS = {
    "http://localhost:11434": "http://localhost:11434/v1",
    "http://localhost:11434/": "http://localhost:11434/v1",
    "http://localhost:8000/v1/": "http://localhost:8000/v1",
    "https://x.endpoints.huggingface.cloud/v1/chat/completions": "https://x.endpoints.huggingface.cloud/v1",
    "http://localhost/engines/llama.cpp": "http://localhost/engines/llama.cpp",
}


@pytest.mark.parametrize("given", URLS)
def test_a_url_is_taken_as_servers_show_it(given: str) -> None:
    assert Endpoint(given, name="own").url == URLS[given]


WRONG: dict[str, dict[str, Any]] = {
    "url": {"url": "localhost:11434"},
    "url of another scheme": {"url": "ftp://localhost/v1"},
    "url with a user": {"url": f"http://me:{KEY}@localhost/v1"},
    "url with a query": {"url": f"http://localhost/v1?key={KEY}"},
    "no name": {"name": ""},
    "name with a colon": {"name": "a:b"},
    "name with a slash": {"name": "a/b"},
    "name of an order": {"name": "cheapest"},
    "name that is a number": {"name": 5},
    "model with blanks": {"model": "my model"},
    "token with blanks": {"token": f"{KEY} {KEY}"},
    "empty token": {"token": ""},
    "token of bytes": {"token": KEY.encode()},
    "a Hugging Face token for another host": {"token": "hf_abcdefgh"},
    "a Hugging Face token in the clear": {"url": "http://x.endpoints.huggingface.cloud", "token": "hf_abcdefgh"},
    "a host that only looks like Hugging Face's": {
        "url": "https://endpoints.huggingface.cloud.evil.example",
        "token": "hf_abcdefgh",
    },
    "half a price": {"input_price": 1},
    "negative price": {"input_price": -1, "output_price": 1},
    "free at a price": {"is_free": True, "input_price": 1, "output_price": 1},
    "context": {"context_length": 0},
    "unknown field": {"tokn": KEY},
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_setting_is_one_sentence_without_the_secret(name: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        Endpoint(**{"url": "http://localhost/v1", "name": "own"} | WRONG[name])
    said = str(error.value)
    assert said.startswith(("Endpoint", "token"))
    assert "\n" not in said
    for part in (said, repr(error.value.__context__), repr(error.value.__cause__)):
        assert KEY not in part
        assert "hf_abcdefgh" not in part


@pytest.mark.parametrize("module", ["endpoint", "dialect"])
def test_the_examples_in_the_code_run(module: str) -> None:
    result = doctest.testmod(importlib.import_module(f"hfrouter.wire.{module}"))
    assert result.attempted
    assert not result.failed


def test_a_hugging_face_token_is_taken_for_inference_endpoints() -> None:
    endpoint = Endpoint("https://x.endpoints.huggingface.cloud", name="mine", token="hf_abcdefgh")
    url = f"{endpoint.url}/chat/completions"
    assert endpoint.authorization(url) == {"authorization": "Bearer hf_abcdefgh"}
    with pytest.raises(ConfigurationError, match="belongs to"):
        endpoint.authorization("https://elsewhere.example/v1/chat/completions")


def test_endpoints_of_one_router_can_be_told_apart(sim: Simulator, server: Server, make: Make) -> None:
    one = Endpoint(server.url, name="one", token=KEY)
    for endpoints, said in (
        (one, "give a list"),
        ("http://localhost", "give a list"),
        (["http://localhost"], "holds a str"),
        ([one, Endpoint("http://localhost", name="one")], "same name"),
        ([one, Endpoint(server.url, name="two")], "two tokens"),
        ([Endpoint(sim.base_url, name="one")], "the router itself"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            make(endpoints=endpoints)
    assert make(endpoints=[one, Endpoint(server.url, name="two", token=KEY, model="b")])
    with pytest.raises(ConfigurationError, match="the name of a provider"):
        make({"name": "groq"}, policy=Policy()).chat(**ASK)


def test_endpoints_do_not_embed(server: Server, make: Make) -> None:
    with pytest.raises(NoTargetAvailable):
        make().embed(["hi"], model="BAAI/bge-small-en-v1.5", policy=Policy(only="own"))
    assert server.asked == []


# -- frameworks --------------------------------------------------------------------------------------------------------


def test_langchain_is_answered_by_an_endpoint(sim: Simulator, make: Make) -> None:
    pytest.importorskip("langchain_core")
    from langchain_hfrouter import ChatHFRouter

    sim.fail("groq", Fault.gone(), times=None)
    answer = ChatHFRouter(model=MODEL, router=make({"model": "llama3.2"})).invoke("What is 17 * 23?")
    assert answer.text == "It is 391."
    assert (answer.response_metadata["model_name"], answer.response_metadata["provider"]) == ("llama3.2", "own")
    chunks = list(ChatHFRouter(model=MODEL, router=make({"model": "llama3.2"})).stream("What is 17 * 23?"))
    assert "".join(chunk.text for chunk in chunks) == "It is 391."


def test_llamaindex_is_answered_by_an_endpoint(sim: Simulator, make: Make) -> None:
    pytest.importorskip("llama_index.core")
    from llamaindex_hfrouter import HFRouter

    sim.fail("groq", Fault.gone(), times=None)
    llm = HFRouter(model=MODEL, router=make({"model": "llama3.2"}))
    answer = llm.complete("What is 17 * 23?")
    assert answer.text == "It is 391."
    pinned = HFRouter(model=f"{UNLISTED}:own", router=make({"context_length": 8192}))
    assert pinned.metadata.context_window == 8192
    assert [delta.delta for delta in pinned.stream_complete("What is 17 * 23?")][-1] is not None
