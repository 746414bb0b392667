"""LangChain's standard integration suite, on real sockets against the simulator."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests

from hfrouter.simulator import Simulator
from langchain_hfrouter import ChatHFRouter

_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class _Web:
    """What the suite downloads its pictures with; they are looked at by nobody here."""

    content = _PIXEL

    @classmethod
    def get(cls, *_args: Any, **_named: Any) -> type[_Web]:
        return cls


class TestStandardIntegration(ChatModelIntegrationTests):
    """Left out: Anthropic's `tool_result` blocks in messages of the user, which no OpenAI-compatible provider takes;
    tokens for audio and for cache writing, which none reports; `test_stream_time`, which needs recorded cassettes."""

    model_name = "openai/gpt-oss-120b"

    @pytest.fixture(autouse=True)
    def served(self, sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
        self.simulator = sim
        monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "hfrouter tests")
        monkeypatch.setattr("langchain_tests.integration_tests.chat_models.httpx", _Web)

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatHFRouter

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {
            "model": self.model_name,
            "api_key": self.simulator.token,
            "base_url": self.simulator.base_url,
            "ledger": "memory",
        }

    @property
    def model_override_value(self) -> str:
        return "meta-llama/Llama-3.3-70B-Instruct"

    @property
    def supports_json_mode(self) -> bool:
        return True


class TestReasoningModel(TestStandardIntegration):
    """A model whose provider reports reasoning and cached tokens."""

    model_name = "openai/gpt-oss-20b:groq"

    @property
    def supported_usage_metadata_details(self) -> dict[str, list[str]]:
        return {"invoke": ["reasoning_output"], "stream": ["reasoning_output"]}

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        model = ChatHFRouter(**self.chat_model_params)
        if not stream:
            return model.invoke("What is 2 + 2?")
        first, *rest = model.stream("What is 2 + 2?")
        for chunk in rest:
            first += chunk
        return first


@pytest.mark.filterwarnings("ignore:OpenAI may require a filename")
class TestImagesAndFunctionCalling(TestStandardIntegration):
    """A model that sees, with structured output through tool calls.

    The simulator takes parts of every kind, so these tests say that blocks are converted, not that a model hears."""

    model_name = "meta-llama/Llama-4-Scout-17B-16E-Instruct"

    @property
    def structured_output_kwargs(self) -> dict[str, Any]:
        return {"method": "function_calling"}

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    @property
    def supports_pdf_inputs(self) -> bool:
        return True

    @property
    def supports_pdf_tool_message(self) -> bool:
        return True

    @property
    def supports_audio_inputs(self) -> bool:
        return True
