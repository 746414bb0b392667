"""Words of others, in catalogues, bills and errors, reach neither a terminal nor a log raw."""

from __future__ import annotations

from typing import Any

import pytest

from hfrouter import HFRouterError, NoTargetAvailable, Policy, Router
from hfrouter.simulator import Fault, Simulator
from tests.faults.server import KEY, MODEL, FaultServer, Script, http
from tests.redaction.sinks import logged

ESCAPES = "\x1b[2J\x1b]0;owned\x07\x9b31m\r\nFAKE hfrouter: all is well\x00\u202egnorw\u2028"
MARKUP = "<script>alert(1)</script>{0.__class__}%s%(x)s{}"


def raw(text: str) -> list[str]:
    """What moves a cursor or turns a line in a text, apart from its own ends of lines."""
    return [ascii(c) for c in text if not c.isprintable() and c != "\n"]


@pytest.mark.parametrize("status", [400, 401, 402, 403, 422, 429, 500])
@pytest.mark.parametrize("key", ["error", "detail"])
def test_the_words_of_a_provider_move_no_cursor(status: int, key: str, faults: FaultServer) -> None:
    body = {key: {"message": f"{ESCAPES} {MARKUP}"} if key == "error" else f"{ESCAPES} {MARKUP}"}
    run = faults.run(Script((http(body, status),)), ("first", "second"))
    policy = Policy(attempts=2)
    with logged() as log, Router(base_url=run.base_url, token=KEY, ledger="memory", policy=policy, seed=1) as router:
        with pytest.raises(HFRouterError) as caught:
            router.chat(model=MODEL, messages="hello there", max_tokens=5)
        shown = [str(caught.value), caught.value.explain(), *map(str, caught.value.attempts), *log.lines]
        shown += [text for row in router.entries() for text in (row.outcome, row.decision, row.cost.reason)]
    assert not raw("".join(shown))
    assert "\nFAKE" not in "".join(shown)


def test_names_of_a_catalogue_that_could_not_be_printed_are_not_taken(faults: FaultServer) -> None:
    names = ["first", "\x1b[2J", "a b", "évil", "x" * 300, "a:b", "q\r\nX-Evil: 1", "\ud800", MARKUP]
    run = faults.run(Script(), (), names)
    with logged() as log, Router(base_url=run.base_url, token=KEY, ledger="memory") as router:
        taken = {target.provider for target in router.targets(MODEL)}
        assert taken == {"first", MARKUP}  # plain text, which nothing here formats, parses or renders
        with pytest.raises(NoTargetAvailable) as caught:
            router.chat(model=MODEL, messages="hello", policy=Policy(only="nobody"))
        answer = router.chat(model=f"{MODEL}:first", messages="hello")
    shown = [str(caught.value), answer.explain(), *log.lines]
    assert not raw("".join(shown))


@pytest.mark.parametrize(
    "header",
    [
        "x-inference-provider: a\x9b31mb",
        f"x-inference-provider: {MARKUP}",
        "x-request-id: \x9b31m",
        "x-request-id: a" + "b" * 5000,
    ],
    ids=ascii,
)
def test_headers_of_an_answer_move_no_cursor(header: str, faults: FaultServer) -> None:
    from tests.faults.server import whole

    run = faults.run(Script((http(whole(), 200, "application/json", header),)))
    with logged() as log, Router(base_url=run.base_url, token=KEY, ledger="memory") as router:
        answer = router.chat(model=f"{MODEL}:first", messages="hello", max_tokens=5)
        (row,) = router.entries()
    ours = [line for line in log.lines if line.startswith("hfrouter ")]
    assert not raw("".join([answer.explain(), str(answer.answer), *ours, row.provider, row.request_id or ""]))
    assert len(row.provider) < 100
    assert len(row.request_id or "") <= 200


def test_a_bill_moves_no_cursor(sim: Simulator) -> None:
    sessions = [{"id": f"{ESCAPES}{MARKUP}", "requestCount": 1, "costCents": 1}]
    bill: dict[str, Any] = {"currency": "USD", "periods": [{"sessions": sessions}]}
    sim.fail(Simulator.HUB, Fault.status(200, body=bill), times=None)
    with Router(base_url=sim.base_url, token=sim.token, ledger="memory") as router:
        report = router.reconcile()
    assert len(report.sessions) == 1
    assert not raw(str(report))


def test_the_hubs_mapping_of_an_embedding_model_moves_no_cursor(sim: Simulator) -> None:
    listed = {"status": "live", "task": f"feature-{ESCAPES}", "providerId": f"m{ESCAPES}"}
    mapping = {"inferenceProviderMapping": {f"together{ESCAPES}": listed, "together": listed}}
    sim.fail(Simulator.HUB, Fault.status(200, body=mapping), times=None)
    with (
        logged() as log,
        Router(base_url=sim.base_url, token=sim.token, ledger="memory") as router,
        pytest.raises(HFRouterError) as caught,
    ):
        router.embed(["hello"], model="intfloat/multilingual-e5-large")
    assert not raw("".join([str(caught.value), *log.lines]))
