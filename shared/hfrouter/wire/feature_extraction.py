"""Embeddings on the wire: each provider's path and words, and one attempt of one batch.

The router has no `/v1/embeddings`. hf-inference speaks its own feature-extraction; scaleway, together and deepinfra
speak OpenAI's form with their own names for models (as the Hub's own client 2.4.0 does).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from hfrouter.cost.budget import Refused
from hfrouter.cost.estimate import input_bound
from hfrouter.cost.price import Cost
from hfrouter.cost.usage import Usage
from hfrouter.errors import ConfigurationError
from hfrouter.routing.commands import Done, Launch
from hfrouter.routing.target import Target
from hfrouter.routing.verdict import ANSWERED, Judgement, Scope, Verdict, judge
from hfrouter.wire.attempt import failed, refused
from hfrouter.wire.call import Account, Call
from hfrouter.wire.http import Reply, WireFailure, enter
from hfrouter.wire.mapping import Served
from hfrouter.wire.problem import PAYER, problem_of, texts_of
from hfrouter.wire.reader import MAX_BODY_BYTES, Failed, read_error
from hfrouter.wire.vectors import NotVectors, Vector, read_vectors

# Where each provider's OpenAI-style endpoint is, after `/{provider}`.
_OPENAI_PATHS = {
    "scaleway": "/v1/embeddings",
    "together": "/v1/embeddings",
    "deepinfra": "/v1/openai/embeddings",
}
HF_INFERENCE = "hf-inference"
# Batches that may be on the way at once stay below the requests in flight of a loop; no model has longer vectors.
MOST_BATCHES, MOST_DIMENSIONS = 128, 100_000
# The outcome of a batch that a provider finds too large.
TOO_MUCH = "batch_too_large"
PROVIDERS = frozenset({HF_INFERENCE, *_OPENAI_PATHS})
# Hugging Face's pricing page bills hf-inference by the second and gives $0.00012 for a GPU machine as its example; the
# machine of an answer is named, its price is not, so this is a bound for the CPUs of today and no exact price.
_NANO_USD_PER_SECOND = 120_000


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts that go out as one request. Its `repr` shows none of them.

    Attributes:
        texts: To embed.
        normalize: Scale vectors to length 1; None leaves it to the model.
        truncate: Cut texts that are too long; None leaves it to the back-end.
        prompt_name: The model's own prompt, such as `query`.
        dimensions: Length of the vectors, for models that can be cut.
    """

    texts: tuple[str, ...] = field(repr=False)
    normalize: bool | None = None
    truncate: bool | None = None
    prompt_name: str | None = None
    dimensions: int | None = None

    def part(self, texts: Sequence[str]) -> Batch:
        """The same wishes for other texts."""
        return Batch(tuple(texts), self.normalize, self.truncate, self.prompt_name, self.dimensions)

    def bound_for(self, _target: Target, image_tokens: int | None = None) -> tuple[int, int]:
        """(input, output) tokens an attempt cannot exceed."""
        return input_bound(sum(len(text.encode("utf-8", "replace")) for text in self.texts)), 0

    def content_for(self, served: Served) -> bytes:
        """The body for a provider, in its own words."""
        if served.provider == HF_INFERENCE:
            body: dict[str, Any] = {"inputs": list(self.texts)}
            wishes: dict[str, Any] = {
                "normalize": self.normalize,
                "truncate": self.truncate,
                "prompt_name": self.prompt_name,
            }
        else:
            wishes = {"dimensions": self.dimensions}
            body = {"model": served.name, "input": list(self.texts), "encoding_format": "float"}
        body |= {name: wish for name, wish in wishes.items() if wish is not None}
        return json.dumps(body, separators=(",", ":")).encode()


def url_for(root: str, served: Served, model: str) -> str:
    """Where a provider embeds.

    Args:
        root: The router without `/v1`.
        served: Provider and its name of the model.
        model: Hub repo id.
    """
    if served.provider == HF_INFERENCE:
        return f"{root}/{HF_INFERENCE}/models/{quote(model)}/pipeline/feature-extraction"
    return f"{root}/{served.provider}{_OPENAI_PATHS[served.provider]}"


@dataclass(slots=True)
class Home:
    """Where a model was embedded so far: vectors of one index must come from one model, in one dimension.

    Attributes:
        provider: Who answered last, or None.
        dimension: Length of the vectors seen, or None.
        most: Texts a provider takes at once, as learned.
    """

    provider: str | None = None
    dimension: int | None = None
    most: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vectors of a batch, and the account of the attempt that gave them."""

    vectors: list[Vector] = field(repr=False)
    account: Account


class Extraction:
    """Carries out attempts of one call: the driver's `start`.

    Args:
        batch: What to embed.
        root: The router without `/v1`.
        served: Providers by slug.
        home: What is known of the model; updated when an answer fits.
    """

    def __init__(self, batch: Batch, root: str, served: Mapping[str, Served], home: Home) -> None:
        self._batch, self._root, self._served, self._home = batch, root, served, home

    async def attempt(self, call: Call, launch: Launch) -> Done:
        """Embed the batch at one target."""
        served = self._served[launch.target.provider]
        url = url_for(self._root, served, launch.target.model)
        headers = call.headers(url)
        token = headers["authorization"].partition(" ")[2]
        sent: dict[str, object] = {"messages": self._batch.texts, "authorization": token, PAYER: headers.get(PAYER)}
        lane = await enter()
        account = Account(call, launch, streamed=False)
        reply: Reply | None = None
        try:
            await call.writer.begin(account.entry, call.policy.deadline)
            account.sent = True
            async with asyncio.timeout(launch.first_content):
                reply = await lane.send("POST", url, headers, self._batch.content_for(served), call.policy.connect)
                account.answered_by(reply.status, reply.headers)
                if reply.status >= 300:
                    raise Failed(self._judged(await read_error(reply, call.clock.wall(), sent)))
                vectors = await self._vectors(reply, account, sent)
            account.content()
            self._settle_in(call, launch, len(vectors[0]))
            await account.settle(ANSWERED)
        except TimeoutError:
            return await failed(account, reply or lane, Failed.of("first_content_timeout"))
        except (Failed, WireFailure) as failure:
            return await failed(account, reply or lane, failure)
        except Refused as refusal:
            return await refused(account, lane, refusal)
        except BaseException:
            account.settle_later(account.leaving)
            await (reply or lane).aclose()
            raise
        await reply.aclose()
        return account.done(ANSWERED, Embedded(vectors, account))

    def _judged(self, judgement: Judgement) -> Judgement:
        """Too much at once is for the caller to halve, before anybody else is asked the same."""
        if judgement.status in {413, 422} and len(self._batch.texts) > 1:
            return replace(judgement, verdict=Verdict.FATAL, scope=Scope.REQUEST, kind=TOO_MUCH)
        return judgement

    async def _vectors(self, reply: Reply, account: Account, sent: Mapping[str, Any]) -> list[Vector]:
        body = bytearray()
        async for piece in reply.pieces():
            body += piece
            if len(body) > MAX_BODY_BYTES:
                raise Failed.of("answer_too_large")
        try:
            answer = json.loads(bytes(body))
            if isinstance(answer, Mapping) and answer.get("error"):
                raise Failed(judge(problem_of(answer, None, texts_of(sent))))
            vectors = read_vectors(answer, len(self._batch.texts), normalize=bool(self._batch.normalize))
        except (ValueError, RecursionError) as error:
            words = str(error) if isinstance(error, NotVectors) else ""
            raise Failed.of("not_an_answer", words) from error
        self._account_for(answer, reply, account)
        self._check(len(vectors[0]), account.target)
        return vectors

    @staticmethod
    def _account_for(answer: object, reply: Reply, account: Account) -> None:
        usage = answer.get("usage") if isinstance(answer, Mapping) else None
        if isinstance(usage, Mapping):
            account.usage = Usage.read({"completion_tokens": 0, **usage})
        nano = _compute_cost(reply.headers.get("x-compute-time", ""))
        if account.target.provider == HF_INFERENCE and nano is not None:
            account.compute = Cost(0, nano, "billed by compute time; the machine's price is not listed")

    def _check(self, dimension: int, target: Target) -> None:
        """Refuse vectors of another length than the index already holds: searching in them would be noise."""
        expected = self._batch.dimensions or self._home.dimension
        if expected is not None and dimension != expected:
            words = f"{target.provider} gave {dimension} dimensions where {expected} were expected"
            raise Failed.of("dimension_differs", words)

    def _settle_in(self, call: Call, launch: Launch, dimension: int) -> None:
        provider = launch.target.provider
        if self._home.provider not in (None, provider):
            call.note("note", f"embedded by {provider} instead of {self._home.provider}, same dimension", launch.number)
        self._home.provider, self._home.dimension = provider, dimension


def _compute_cost(seconds: str) -> int | None:
    """Nano-USD of so many seconds written in decimal, rounded up; None for anything else."""
    whole, _, fraction = seconds.strip().partition(".")
    if not (whole + fraction).isascii() or not (whole + fraction).isdigit() or len(whole + fraction) > 18:
        return None
    scale = int("1" + "0" * len(fraction))
    return -(-int(whole + fraction) * _NANO_USD_PER_SECOND // scale)


def checked_texts(texts: object) -> tuple[str, ...]:
    """The texts to embed.

    Raises:
        ConfigurationError: for anything but a list of texts that hold something.
    """
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise ConfigurationError(f"texts is a {type(texts).__name__}; give a list of texts, like ['Hello'].")
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise ConfigurationError(f"texts[{position}] is a {type(text).__name__}; embed texts only.")
        if not text.strip():
            raise ConfigurationError(f"texts[{position}] is empty; leave it out, since it has no meaning to embed.")
    return tuple(texts)
