"""LangChain's standard unit suite."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.load import dumpd, load
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_hfrouter import ChatHFRouter


class TestStandardUnit(ChatModelUnitTests):
    """Everything runs but `test_serdes`, which only classes in LangChain's own list of packages can pass."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatHFRouter

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "openai/gpt-oss-120b"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return {"HF_TOKEN": "test"}, {"model": "openai/gpt-oss-120b"}, {"hf_token": "test"}

    @pytest.mark.xfail(reason="the suite loads only classes that langchain_core.load.mapping lists", strict=True)
    def test_serdes(self, model: BaseChatModel, snapshot: Any) -> None:
        # Not the suite's body: its snapshot assertion would leave a file behind on the way to the failing load.
        load(dumpd(model), allowed_objects="all", valid_namespaces=[model.get_lc_namespace()[0]])


def test_a_dump_loads_into_an_equal_model_and_holds_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_from_the_environment")
    model = ChatHFRouter(
        model="openai/gpt-oss-120b",
        api_key="hf_from_the_environment",
        temperature=0,
        fallback_models=["openai/gpt-oss-20b"],
        provider={"sort": "price", "max_price": 1},
        policy={"idle": 5},
    )
    dumped = dumpd(model)
    assert "hf_from_the_environment" not in json.dumps(dumped)
    assert dumped["kwargs"]["hf_token"] == {"lc": 1, "type": "secret", "id": ["HF_TOKEN"]}
    back = load(dumped, allowed_objects=[ChatHFRouter], valid_namespaces=["langchain_hfrouter"], secrets_from_env=True)
    assert back == model
    assert back.hf_token.get_secret_value() == "hf_from_the_environment"
