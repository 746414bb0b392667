"""The rows of `/v1/models`, and the choice of a provider from them."""

import copy
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]

POLICIES = ("fastest", "cheapest", "preferred")


def _row(
    provider: str,
    price: tuple[float, float] | None = None,
    context: int | None = None,
    speed: tuple[float, float] | None = None,
    *,
    author: bool = False,
    **more: Any,
) -> Row:
    """Build one provider row with the keys in the recorded order; speed is (first token ms, tokens/s)."""
    row: Row = {"provider": provider, "status": more.pop("status", "live")}
    if context is not None:
        row["context_length"] = context
    if price is not None:
        row["pricing"] = {"input": price[0], "output": price[1]}
    row["is_free"] = more.pop("is_free", False)
    row.update({key: value for key, value in more.items() if value is not None})
    if speed is not None:
        row["first_token_latency_ms"], row["throughput"] = speed
    row["is_model_author"] = author
    return row


def _able(tools: bool = True, structured: bool = True) -> dict[str, bool]:
    return {"supports_tools": tools, "supports_structured_output": structured}


def _model(model: str, created: int, *rows: Row, inputs: tuple[str, ...] = ("text",)) -> Row:
    return {
        "id": model,
        "object": "model",
        "created": created,
        "owned_by": model.split("/")[0],
        "architecture": {"input_modalities": list(inputs), "output_modalities": ["text"]},
        "providers": list(rows),
    }


# Prices in USD per million tokens. Recorded: gpt-oss-20b groq and novita (2026-10-04); gpt-oss-120b groq and cerebras,
# Llama-3.3 groq, GLM-4.7 cerebras (daily catalogue of 2026-08); Qwen3-Coder cerebras, Kimi-K2 groq, GLM-4.6, GLM-4.7
# zai-org, R1 novita (curated list of 2026-07); DeepSeek-V4-Pro, all of it (documentation of 2026-08). The others are
# made up in the same order of size, so that `:cheapest` and `:fastest` differ.
_CATALOGUE: tuple[Row, ...] = (
    _model(
        "openai/gpt-oss-120b",
        1754346800,
        _row("groq", (0.15, 0.75), 131072, (212.4, 488.7150043902041), **_able()),
        _row("cerebras", (0.35, 0.75), 131072, (268.9, 1486.2030190226407), **_able()),
        _row("novita", (0.05, 0.25), 131072, (621.3, 98.40712113090551), **_able()),
        _row("together", (0.15, 0.6000000000000001), 131072, (544.0, 141.66209811250913), **_able()),
    ),
    _model(
        "openai/gpt-oss-20b",
        1754346809,
        _row("groq", (0.1, 0.5), 131072, (316.4, 711.1005022902897), **_able()),
        _row("novita", (0.04, 0.15), 131072, (489, 106.17740991330649), **_able(tools=False)),
        _row("together", None, 131072, (402.7, 133.9210550214837), **_able()),
    ),
    _model(
        "Qwen/Qwen3-Coder-480B-A35B-Instruct",
        1753190400,
        _row("cerebras", (2, 2), 131072, (301.5, 1211.804226510932), **_able()),
        _row("novita", (0.29000000000000004, 1.2), 262144, (938.2, 52.08119300422154), **_able(structured=False)),
        _row("together", (2, 2), 262144, (688, 71.3317620910422), supports_tools=True),
    ),
    _model(
        "meta-llama/Llama-3.3-70B-Instruct",
        1732579200,
        _row("groq", (0.59, 0.79), 131072, (188.1, 341.0920512219873), **_able()),
        _row("cerebras", None, 65536, (240.6, 1802.4410038201), **_able(), status="error"),
        _row("together", (0.88, 0.88), 131072, (455, 112.6001843209981), **_able()),
    ),
    _model(
        "moonshotai/Kimi-K2-Instruct-0905",
        1756857600,
        _row("groq", (1, 3), 262144, (254.8, 262.7714390021845), **_able()),
        _row("novita", (0.6, 2.5), 262144, (1120, 34.91040228310063), supports_tools=True),
        _row("together"),
    ),
    _model(
        "deepseek-ai/DeepSeek-R1",
        1737331200,
        _row("together", (3, 7), 163840, (811.6, 63.05521400973218), **_able()),
        _row("novita", (0.7, 2.5), 64000, None, **_able(tools=False)),
    ),
    _model(
        "zai-org/GLM-4.6",
        1759190400,
        _row("cerebras", None, 131072, (331, 990.5120037213846), **_able(), is_free=True),
    ),
    _model(
        "meta-llama/Llama-4-Scout-17B-16E-Instruct",
        1743811200,
        _row("together", (0.18, 0.59), 1048576, (377, 88.90114321004422), **_able()),
        _row("novita", (0.1, 0.5), None, None, **_able()),
        inputs=("text", "image"),
    ),
    _model(
        "zai-org/GLM-4.7",
        1766361600,
        _row("zai-org", (0.6, 2.2), 204800, (822.5, 71.20411930045218), **_able(), author=True),
        _row("cerebras", (2.25, 2.75), 131072, (294.2, 1020.3380021907425), **_able()),
        _row("fireworks-ai", None, 202752, (610.9, 92.44128830077519), **_able()),
    ),
    _model(
        "deepseek-ai/DeepSeek-V4-Pro",
        1776837885,
        _row("novita", (1.69, 3.38), 1048576, (1490, 24.69124008437934), **_able(structured=False)),
        _row("together", (2.1, 4.4), 512000, (611, 40.13113557470821), **_able()),
        _row("fireworks-ai", None, 1048576, (588.4, 45.42948747753918), **_able()),
        _row("featherless-ai"),
        _row("deepinfra", (1.74, 3.48), 65536, (525.8, 34.615908579189465), **_able()),
    ),
    _model(
        "Qwen/Qwen3-8B",
        1745712000,
        _row("featherless-ai"),
        _row("fireworks-ai", None, 40960, (377.2, 128.90214411003172), supports_tools=True),
    ),
    _model("HuggingFaceTB/SmolLM3-3B", 1751932800, _row("hf-inference", None, 65536, (402.1, 61.93208814450291))),
)


def default_models() -> list[Row]:
    """Return a fresh copy of the built-in catalogue rows."""
    return copy.deepcopy(list(_CATALOGUE))


class Catalogue:
    """The models on offer.

    Args:
        models: Entries as in `/v1/models`; the built-in ones when None.
        preferred: The caller's order of providers, for `:preferred`.

    Raises:
        ValueError: An entry lacks `id` or `providers`, or a row lacks `provider`.
    """

    def __init__(self, models: Sequence[Row] | None = None, preferred: Sequence[str] = ()) -> None:
        entries = default_models() if models is None else copy.deepcopy(list(models))
        for entry in entries:
            if not entry.get("id") or not entry.get("providers"):
                raise ValueError(f"A catalogue entry needs an id and providers: {entry!r}.")
            if any("provider" not in row for row in entry["providers"]):
                raise ValueError(f"Every provider row of {entry['id']} needs a provider.")
        self._entries = {entry["id"]: entry for entry in entries}
        self._preferred = list(preferred)

    @property
    def entries(self) -> list[Row]:
        """All entries, in order."""
        return list(self._entries.values())

    @property
    def providers(self) -> set[str]:
        """Every provider that has a row."""
        return {row["provider"] for entry in self._entries.values() for row in entry["providers"]}

    def get(self, model: str) -> Row | None:
        """Return the entry of one model, or None."""
        return self._entries.get(model)

    def row(self, model: str, provider: str) -> Row | None:
        """Return the live row of a model at a provider, or None."""
        return next((row for row in self._live(model) if row["provider"] == provider), None)

    def route(self, model: str, suffix: str) -> Row | None:
        """Choose a live row as the router does: a provider by name, or by policy (none means `fastest`).

        Rows without a speed or price come last; ties go to the first row.
        """
        if suffix not in ("", *POLICIES):
            return self.row(model, suffix)
        rows = self._live(model)
        if not rows:
            return None
        if suffix == "cheapest":
            return min(rows, key=_output_price)
        if suffix == "preferred":
            return min(rows, key=self._preference)
        return max(rows, key=lambda row: float(row.get("throughput") or 0.0))

    def _live(self, model: str) -> list[Row]:
        entry = self._entries.get(model)
        return [row for row in entry["providers"] if row.get("status", "live") == "live"] if entry else []

    def _preference(self, row: Row) -> int:
        name = row["provider"]
        return self._preferred.index(name) if name in self._preferred else len(self._preferred)


def _output_price(row: Row) -> float:
    if row.get("is_free"):
        return 0.0
    pricing = row.get("pricing")
    return float(pricing["output"]) if pricing else float("inf")
