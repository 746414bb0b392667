"""LangChain on the stage: a chain, streamed and not, a retrieval chain over real documents, and a tool loop."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnablePassthrough
from langchain_core.tools import tool
from langchain_core.vectorstores import InMemoryVectorStore

from hfrouter.cli.report import Call
from hfrouter.cli.stage import CUT, HANGS, RATE_LIMITED, UNAVAILABLE, Stage
from langchain_hfrouter import ChatHFRouter, HFRouterEmbeddings

DOCUMENT = """\
The lighthouse of Brennholm was lit for the first time in 1871. Its lamp stands 43 metres above the sea.
The keeper climbs 212 steps every evening. From May to September the museum in the engine house opens at ten o'clock.
The last ferry back to the mainland leaves at 18:40. Dogs are welcome on the island but not in the tower."""

# Questions about the document, and what a right answer must say.
QUESTIONS = (
    ("When was the lighthouse lit for the first time?", "1871"),
    ("How many steps does the keeper climb?", "212"),
    ("When does the last ferry leave?", "18:40"),
    ("When does the museum open?", "ten o'clock|10"),
)
_PROMPT = ChatPromptTemplate.from_messages(
    [("system", "Answer from the context only.\n\nContext:\n{context}"), ("human", "{question}")]
)


@tool
def add(a: int, b: int) -> int:
    """Add two whole numbers a and b."""
    return a + b


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two whole numbers a and b."""
    return a * b


def chain(stage: Stage) -> Iterator[Call]:
    """A chain about a document, invoked and streamed, under another trouble each time."""
    answering = ChatHFRouter(model=stage.model, router=stage.router, temperature=0)
    asking: Runnable[dict[str, str], str] = _PROMPT | answering | StrOutputParser()
    for (question, expected), trouble in zip(QUESTIONS, (RATE_LIMITED, UNAVAILABLE, HANGS, CUT), strict=True):
        asked = {"context": DOCUMENT, "question": question}
        yield stage.ask("chain", expected, partial(asking.invoke, asked), trouble)
        yield stage.ask("chain, streamed", expected, partial(_streamed, asking, asked), trouble)
        if trouble is RATE_LIMITED:
            yield stage.ask("chain, at once", expected, partial(asking.invoke, asked), trouble, at_once=True)


def retrieval(stage: Stage, passages: list[str]) -> Iterator[Call]:
    """A retrieval chain over this project's own documentation, embedded through the router."""
    embeddings = HFRouterEmbeddings(model=stage.embedding_model, router=stage.router)
    store = InMemoryVectorStore(embeddings)

    def index() -> str:
        return f"{len(store.add_texts(passages))} passages"

    yield stage.ask("embed the README", f"{len(passages)} passages", index, UNAVAILABLE, "together")
    model = ChatHFRouter(model=stage.model, router=stage.router, temperature=0)
    retriever = store.as_retriever(search_kwargs={"k": 3})
    asking: Runnable[str, str] = (
        {"context": retriever | _joined, "question": RunnablePassthrough()} | _PROMPT | model | StrOutputParser()
    )
    question = "Where is the ledger's file by default?"
    yield stage.ask("retrieval chain", "state directory", partial(asking.invoke, question), RATE_LIMITED)


def tool_loop(stage: Stage) -> Iterator[Call]:
    """An agent's loop: the model asks for tools, we run them, it answers; each turn meets another trouble."""
    tools = {t.name: t for t in (add, multiply)}
    bound = ChatHFRouter(model=stage.model, router=stage.router, temperature=0).bind_tools(list(tools.values()))
    messages: list[Any] = [HumanMessage("Use the tools to multiply 17 by 23, and tell me the result.")]
    for turn, trouble in enumerate((RATE_LIMITED, CUT, UNAVAILABLE, HANGS), 1):
        answers: list[Any] = []

        def ask(answers: list[Any] = answers) -> str:
            answers.append(bound.invoke(messages))
            return f"{answers[0].text} {[call['args'] for call in answers[0].tool_calls]}"

        yield stage.ask(f"tool loop, turn {turn}", "17" if turn == 1 else "391", ask, trouble)
        if not answers or not answers[0].tool_calls:
            return
        messages.append(answers[0])
        messages.extend(
            ToolMessage(str(tools[call["name"]].invoke(call["args"])), tool_call_id=call["id"])
            for call in answers[0].tool_calls
        )


def unpriced(stage: Stage) -> Iterator[Call]:
    """A provider whose price the catalogue does not list: its cost is unknown, and is not shown as nothing."""
    model = ChatHFRouter(model="openai/gpt-oss-20b:together", router=stage.router)
    yield stage.ask("no price listed", "391", lambda: model.invoke("What is 17 * 23?").text)


def _streamed(asking: Runnable[dict[str, str], str], asked: dict[str, str]) -> str:
    return "".join(asking.stream(asked))


def _joined(documents: list[Document]) -> str:
    return "\n\n".join(document.page_content for document in documents)
