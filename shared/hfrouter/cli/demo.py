"""The demo: a LangChain chain, streamed and not, and a LangChain tool loop, while the providers fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable
from langchain_core.tools import tool
from rich.console import Console

from hfrouter import Policy, Router
from hfrouter.cli.report import Call, print_report
from hfrouter.simulator import Fault, Simulator
from langchain_hfrouter import ChatHFRouter

DOCUMENT = """\
The lighthouse of Brennholm was lit for the first time in 1871. Its lamp stands 43 metres above the sea.
The keeper climbs 212 steps every evening. From May to September the museum in the engine house opens at ten o'clock.
The last ferry back to the mainland leaves at 18:40. Dogs are welcome on the island but not in the tower."""

# Questions about the document, and what a right answer must say.
QUESTIONS = (
    ("When was the lighthouse lit for the first time?", "1871"),
    ("How many steps does the keeper climb?", "212"),
    ("When does the last ferry leave?", "18:40"),
    ("When does the museum open?", "ten o'clock"),
)
# In the simulation every provider's first content comes within milliseconds, so a second without any is a hang.
_FIRST_CONTENT = 1.0


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Something a provider does wrong, as long as it is asked."""

    name: str
    fault: Fault | None


_TROUBLES = (
    _Trouble("429, no Retry-After", Fault.rate_limited()),
    _Trouble("503", Fault.status(503)),
    _Trouble("hangs", Fault.hang()),
    _Trouble("cut before content", Fault.cut_before_content()),
)
_PEACE = _Trouble("", None)


@tool
def add(a: int, b: int) -> int:
    """Add two whole numbers a and b."""
    return a + b


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two whole numbers a and b."""
    return a * b


def run(model: str, *, live: bool) -> int:
    """Run the demo and print what happened.

    Args:
        model: The model to ask.
        live: Ask the real router instead of the simulator.

    Returns:
        The exit code: 0 when every answer was right.
    """
    console = Console()
    troubles = (_PEACE,) if live else _TROUBLES
    with _world(live) as (router, sim):
        console.print(_opening(live, model), highlight=False)
        calls = [*_chain(router, sim, model, troubles), *_tool_loop(router, sim, model)]
        if sim is not None:
            calls += _unpriced(router, sim)
        print_report(console, calls, live=live)
    return 0 if all(call.right for call in calls) else 1


@contextmanager
def _world(live: bool) -> Iterator[tuple[Router, Simulator | None]]:
    """A router before the real providers, or before simulated ones on a socket of this machine."""
    if live:
        with Router() as router:
            yield router, None
    else:
        policy = Policy(order=["groq", "novita", "cerebras", "together"], first_content=_FIRST_CONTENT)
        with (
            Simulator(seed=0) as sim,
            Router(base_url=sim.base_url, token=sim.token, ledger="memory", policy=policy) as router,
        ):
            yield router, sim


def _opening(live: bool, model: str) -> str:
    if live:
        return f"\nAsking {model} through the real router. Nothing is made to fail here.\n"
    return (
        f"\nAsking {model} through a simulated Hugging Face router on a real socket.\n"
        "The first provider asked fails each time: watch who answers instead.\n"
    )


def _chain(router: Router, sim: Simulator | None, model: str, troubles: tuple[_Trouble, ...]) -> Iterator[Call]:
    """A retrieval-style chain, invoked and streamed under each trouble."""
    prompt = ChatPromptTemplate.from_messages(
        [("system", "Answer from the context only.\n\nContext:\n{context}"), ("human", "{question}")]
    )
    answering = ChatHFRouter(model=model, router=router, temperature=0)
    chain: Runnable[dict[str, str], str] = prompt | answering | StrOutputParser()
    for (question, expected), trouble in zip(QUESTIONS, troubles, strict=False):
        asked = {"context": DOCUMENT, "question": question}
        yield _one(router, sim, trouble, "chain", expected, partial(chain.invoke, asked))
        yield _one(router, sim, trouble, "chain, streamed", expected, partial(_streamed, chain, asked))


def _streamed(chain: Runnable[dict[str, str], str], asked: dict[str, str]) -> str:
    return "".join(chain.stream(asked))


def _tool_loop(router: Router, sim: Simulator | None, model: str) -> Iterator[Call]:
    """An agent's loop: the model asks for tools, we run them, it answers; each turn meets another trouble."""
    tools = {t.name: t for t in (add, multiply)}
    bound = ChatHFRouter(model=model, router=router, temperature=0).bind_tools(list(tools.values()))
    messages: list[Any] = [HumanMessage("Use the tools to multiply 17 by 23, and tell me the result.")]
    troubles = [_PEACE] * 4 if sim is None else [_TROUBLES[0], _TROUBLES[3], _TROUBLES[1], _TROUBLES[2]]
    for turn, trouble in enumerate(troubles, 1):
        answers: list[Any] = []

        def ask(answers: list[Any] = answers) -> str:
            answers.append(bound.invoke(messages))
            return f"{answers[0].text} {[call['args'] for call in answers[0].tool_calls]}"

        expected = "17" if turn == 1 else "391"
        yield _one(router, sim, trouble, f"tool loop, turn {turn}", expected, ask)
        if not answers or not answers[0].tool_calls:
            return
        messages.append(answers[0])
        messages.extend(
            ToolMessage(str(tools[call["name"]].invoke(call["args"])), tool_call_id=call["id"])
            for call in answers[0].tool_calls
        )


def _unpriced(router: Router, sim: Simulator) -> Iterator[Call]:
    """A provider whose price the catalogue does not list: its cost is unknown, and is not shown as nothing."""
    model = ChatHFRouter(model="openai/gpt-oss-20b:together", router=router)
    yield _one(router, sim, _PEACE, "no price listed", "391", lambda: model.invoke("What is 17 * 23?").text)


def _one(
    router: Router, sim: Simulator | None, trouble: _Trouble, name: str, expected: str, ask: Callable[[], str]
) -> Call:
    """Ask once under a trouble and keep the rows the ledger got."""
    before = {entry.id for entry in router.entries()}
    if sim is not None and trouble.fault is not None:
        sim.fail("groq", trouble.fault, times=None)
    try:
        answer = ask()
    finally:
        if sim is not None:
            sim.heal()
    rows = tuple(entry for entry in router.entries() if entry.id not in before)
    return Call(name, trouble.name, rows, right=expected in answer)
