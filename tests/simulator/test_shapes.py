"""Each provider writes its answers the way it was recorded."""

import re
from decimal import Decimal
from typing import Any

import pytest

from hfrouter.simulator import Fault

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
ASK = "What is the weather in Paris and in Rome?"
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


def deltas(answer: Any) -> list[dict[str, Any]]:
    return [choice["delta"] for event in answer.events for choice in event["choices"]]


class TestGroq:
    def test_a_body_has_the_recorded_keys_and_names(self, chat):
        body = chat("openai/gpt-oss-20b:groq").json
        assert list(body) == [
            "id", "object", "created", "model", "choices", "usage",
            "usage_breakdown", "system_fingerprint", "x_groq", "service_tier",
        ]  # fmt: skip
        assert re.fullmatch(f"chatcmpl-{UUID}", body["id"])
        assert list(body["choices"][0]) == ["index", "message", "logprobs", "finish_reason"]
        assert body["choices"][0]["message"]["reasoning"]
        assert chat("moonshotai/Kimi-K2-Instruct-0905:groq").json["model"] == "moonshotai/kimi-k2-instruct-0905"

    def test_a_stream_tells_the_same_usage_three_times_when_asked(self, chat):
        answer = chat("openai/gpt-oss-20b:groq", stream=True, stream_options={"include_usage": True})
        finish, last = answer.events[-2:]
        assert finish["usage"] == finish["x_groq"]["usage"] == last["usage"]
        assert last["choices"] == []
        assert last["service_tier"] == "on_demand"
        assert answer.done

    def test_a_stream_tells_usage_only_in_x_groq_when_not_asked(self, chat):
        answer = chat("openai/gpt-oss-20b:groq", stream=True)
        assert "usage" not in answer.events[-1]
        assert answer.events[-1]["x_groq"]["usage"]["total_tokens"] > 0

    def test_reasoning_runs_on_the_analysis_channel(self, chat):
        answer = chat("openai/gpt-oss-20b:groq", stream=True)
        thinking = [delta for delta in deltas(answer) if "reasoning" in delta]
        assert {delta["channel"] for delta in thinking} == {"analysis"}
        assert answer.events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        assert set(answer.events[0]["x_groq"]) == {"id", "seed"}

    def test_tool_calls_come_whole_with_the_ids_of_the_model(self, chat):
        answer = chat("openai/gpt-oss-20b:groq", ASK, tools=[WEATHER], stream=True)
        calls = [call for delta in deltas(answer) for call in delta.get("tool_calls", ())]
        assert [call["function"]["arguments"] for call in calls] == ['{"city":"Paris"}', '{"city":"Rome"}']
        assert all(re.fullmatch(f"fc_{UUID}", call["id"]) for call in calls)
        message = chat("moonshotai/Kimi-K2-Instruct-0905:groq", ASK, tools=[WEATHER]).json["choices"][0]["message"]
        assert "content" not in message
        assert message["tool_calls"][0]["id"] == "functions.get_weather:0"

    def test_headers_show_the_account_limits_and_the_providers_request_id(self, chat):
        headers = chat("openai/gpt-oss-20b:groq", stream=True).headers
        assert headers["x-inference-provider"] == "groq"
        assert headers["content-type"] == "text/event-stream"
        assert headers["x-request-id"].startswith("req_")
        assert headers["x-ratelimit-reset-requests"] == "60ms"
        assert headers["x-powered-by"] == "huggingface-moon"


class TestCerebras:
    def test_a_body_has_the_recorded_keys_and_order(self, chat):
        body = chat("Qwen/Qwen3-Coder-480B-A35B-Instruct:cerebras").json
        assert list(body) == [
            "id", "choices", "created", "model", "system_fingerprint", "object", "usage", "time_info",
        ]  # fmt: skip
        assert body["model"] == "qwen-3-coder-480b"
        assert list(body["choices"][0]) == ["finish_reason", "index", "message"]
        assert list(body["choices"][0]["message"]) == ["content", "role"]

    def test_a_stream_ends_without_done_and_names_a_finish_only_at_the_end(self, chat):
        answer = chat("zai-org/GLM-4.6", stream=True)
        assert answer.whole
        assert not answer.done
        assert all("finish_reason" not in event["choices"][0] for event in answer.events[:-1])
        last = answer.events[-1]
        assert last["choices"][0]["finish_reason"] == "stop"
        assert set(last["usage"]) == {"prompt_tokens", "completion_tokens", "total_tokens"}
        assert "time_info" in last

    def test_two_calls_share_one_chunk_and_leave_content_out(self, chat):
        model = "Qwen/Qwen3-Coder-480B-A35B-Instruct:cerebras"
        answer = chat(model, ASK, tools=[WEATHER], stream=True)
        calls = [delta["tool_calls"] for delta in deltas(answer) if "tool_calls" in delta]
        assert [[call["index"] for call in chunk] for chunk in calls] == [[0, 1]]
        assert re.fullmatch(r"[0-9a-f]{9}", calls[0][0]["id"])
        assert "content" not in chat(model, ASK, tools=[WEATHER]).json["choices"][0]["message"]

    def test_glm_starts_its_content_with_a_line_end(self, chat):
        message = chat("zai-org/GLM-4.6").json["choices"][0]["message"]
        assert message["content"] == "\n2 + 3 = 5"
        assert message["reasoning"]

    def test_cached_tokens_are_those_of_a_prefix_seen_before(self, chat):
        model = "Qwen/Qwen3-Coder-480B-A35B-Instruct:cerebras"
        system = {"role": "system", "content": "Be brief and to the point."}
        first, second = ([system, {"role": "user", "content": text}] for text in ("What is 1 + 1?", "What is 2 + 2?"))
        assert chat(model, first).json["usage"]["prompt_tokens_details"] == {"cached_tokens": 0}
        usage = chat(model, second).json["usage"]
        assert 0 < usage["prompt_tokens_details"]["cached_tokens"] < usage["prompt_tokens"]


class TestNovita:
    def test_a_body_has_null_details_and_a_bare_id(self, chat):
        body = chat("openai/gpt-oss-120b:novita").json
        assert re.fullmatch(r"[0-9a-f]{32}", body["id"])
        assert body["usage"]["prompt_tokens_details"] is None
        assert body["usage"]["completion_tokens_details"] is None
        assert body["system_fingerprint"] == ""
        assert "content_filter_results" in body["choices"][0]

    def test_a_stream_ends_with_usage_nobody_asked_for(self, chat):
        answer = chat("deepseek-ai/DeepSeek-R1:novita", stream=True)
        assert answer.events[-1]["choices"] == []
        assert answer.events[-1]["usage"]["total_tokens"] > 0
        assert set(answer.events[-1]["sla_metrics"]) == {"ttft_ms", "ts_us"}
        assert answer.events[0]["choices"][0]["delta"] == {"role": "assistant"}
        assert any("reasoning_content" in delta for delta in deltas(answer))
        assert answer.done

    def test_model_names_are_lower_case(self, chat):
        body = chat("Qwen/Qwen3-Coder-480B-A35B-Instruct:novita").json
        assert body["model"] == "qwen/qwen3-coder-480b-a35b-instruct"


class TestTogether:
    def test_r1_thinks_inside_the_content(self, chat):
        unary = chat("deepseek-ai/DeepSeek-R1:together").json["choices"][0]["message"]["content"]
        streamed = chat("deepseek-ai/DeepSeek-R1:together", stream=True).text
        assert unary.startswith("<think>\n")
        assert unary.endswith("</think>\n2 + 3 = 5")
        assert streamed == unary

    def test_a_body_has_the_recorded_keys(self, chat):
        body = chat("meta-llama/Llama-3.3-70B-Instruct:together").json
        assert body["model"] == "meta-llama/Llama-3.3-70B-Instruct-Turbo"
        assert body["prompt"] == []
        assert body["usage"]["cached_tokens"] == 0
        assert list(body["choices"][0]) == ["finish_reason", "seed", "logprobs", "index", "message"]
        assert body["choices"][0]["message"]["reasoning"] is None
        assert body["choices"][0]["message"]["tool_calls"] == []

    def test_a_200_carries_retry_after(self, chat):
        assert chat("openai/gpt-oss-20b:together").headers["retry-after"].isdigit()

    def test_a_stream_repeats_the_text_and_tells_usage_at_the_end(self, chat):
        answer = chat("meta-llama/Llama-3.3-70B-Instruct:together", stream=True)
        choice = answer.events[0]["choices"][0]
        assert choice["text"] == choice["delta"]["content"]
        assert isinstance(choice["delta"]["token_id"], int)
        assert [event["usage"] for event in answer.events[:-1]] == [None] * (len(answer.events) - 1)
        assert answer.events[-1]["usage"]["cached_tokens"] >= 0
        assert answer.done

    def test_tool_arguments_come_in_fragments(self, chat):
        answer = chat("openai/gpt-oss-120b:together", "What is the weather in Paris?", tools=[WEATHER], stream=True)
        parts = [call for delta in deltas(answer) for call in delta.get("tool_calls", ())]
        assert parts[0]["function"] == {"name": "get_weather", "arguments": ""}
        assert "id" not in parts[1]
        assert len(parts) > 3
        assert "".join(part["function"]["arguments"] for part in parts) == '{"city": "Paris"}'
        message = chat("openai/gpt-oss-120b:together", ASK, tools=[WEATHER]).json["choices"][0]["message"]
        assert message["content"] == ""
        assert [call["index"] for call in message["tool_calls"]] == [0, 1]

    def test_a_tool_call_without_arguments_is_its_500(self, chat):
        call = {"id": "call_1", "type": "function", "function": {"name": "get_weather"}}
        messages = [
            {"role": "user", "content": "What is the weather in Paris?"},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "Sunny"},
        ]
        answer = chat("meta-llama/Llama-3.3-70B-Instruct:together", messages, tools=[WEATHER])
        assert (answer.status, answer.headers["retry-after"]) == (500, "1")
        assert answer.json["error"]["message"] == "Internal server error"
        assert chat("openai/gpt-oss-20b:groq", messages, tools=[WEATHER]).status == 400


class TestZai:
    MODEL = "zai-org/GLM-4.7:zai-org"

    def test_a_body_has_its_keys_in_alphabetical_order_and_no_object(self, chat):
        body = chat(self.MODEL).json
        assert list(body) == ["choices", "created", "id", "model", "request_id", "usage"]
        assert re.fullmatch(r"20\d{12}[0-9a-f]{16}", body["id"])
        assert body["id"] == body["request_id"]
        assert body["model"] == "glm-4.7"
        message = body["choices"][0]["message"]
        assert list(message) == ["content", "reasoning_content", "role"]
        assert message["content"] == "\n2 + 3 = 5"

    def test_a_stream_repeats_the_role_and_tells_usage_at_the_end_unasked(self, chat):
        answer = chat(self.MODEL, stream=True)
        assert all("object" not in event for event in answer.events)
        assert {delta["role"] for delta in deltas(answer)} == {"assistant"}
        assert all("finish_reason" not in event["choices"][0] for event in answer.events[:-1])
        assert answer.events[-1]["usage"]["prompt_tokens_details"] == {"cached_tokens": 0}
        assert answer.done
        assert answer.headers["content-type"] == "text/event-stream;charset=UTF-8"
        assert answer.text == "\n2 + 3 = 5"

    def test_calls_have_negative_ids_that_count_up(self, chat):
        message = chat(self.MODEL, ASK, tools=[WEATHER]).json["choices"][0]["message"]
        assert "content" not in message
        first, second = (int(call["id"].removeprefix("call_")) for call in message["tool_calls"])
        assert first < 0
        assert second == first + 1
        streamed = chat(self.MODEL, ASK, tools=[WEATHER], stream=True)
        calls = [delta["tool_calls"] for delta in deltas(streamed) if "tool_calls" in delta]
        assert [[call["index"] for call in chunk] for chunk in calls] == [[0], [1]]

    def test_a_prefix_seen_before_is_cached(self, chat):
        system = {"role": "system", "content": "Be brief and to the point."}
        chat(self.MODEL, [system, {"role": "user", "content": "What is 1 + 1?"}])
        usage = chat(self.MODEL, [system, {"role": "user", "content": "What is 2 + 2?"}]).json["usage"]
        assert 0 < usage["prompt_tokens_details"]["cached_tokens"] < usage["prompt_tokens"]

    def test_errors_have_numbers(self, chat, sim):
        sim.fail("zai-org", Fault.rate_limited(), Fault.context_length())
        assert chat(self.MODEL).json["error"]["code"] == "1302"
        assert chat(self.MODEL).json["error"]["code"] == "1261"


class TestFireworks:
    MODEL = "zai-org/GLM-4.7:fireworks-ai"

    def test_a_body_and_its_headers(self, chat):
        answer = chat(self.MODEL)
        assert re.fullmatch(UUID, answer.json["id"])
        assert answer.headers["x-request-id"] == answer.json["id"]
        assert answer.json["model"] == "accounts/fireworks/models/glm-4p7"
        assert list(answer.json["choices"][0]) == ["index", "message", "finish_reason"]
        assert list(answer.json["usage"]) == ["prompt_tokens", "total_tokens", "completion_tokens"]
        assert answer.headers["fireworks-prompt-tokens"] == str(answer.json["usage"]["prompt_tokens"])
        assert '"max_tokens": 2048' in answer.headers["fireworks-sampling-options"]
        assert '"max_tokens": 20,' in chat(self.MODEL, max_tokens=20).headers["fireworks-sampling-options"]

    def test_without_a_limit_an_answer_ends_after_2048_tokens(self, chat):
        body = chat(self.MODEL, "Count from 1 to 3000").json
        assert (body["choices"][0]["finish_reason"], body["usage"]["completion_tokens"]) == ("length", 2048)
        assert chat(self.MODEL, "Count from 1 to 3000", max_tokens=4000).json["usage"]["completion_tokens"] > 2048

    def test_a_stream(self, chat):
        answer = chat(self.MODEL, stream=True)
        assert answer.events[0]["choices"][0]["delta"] == {"role": "assistant"}
        assert [event["usage"] for event in answer.events[:-1]] == [None] * (len(answer.events) - 1)
        assert answer.events[-1]["usage"]["total_tokens"] > 0
        assert answer.done

    def test_no_price_is_no_cost(self, chat, sim):
        chat(self.MODEL)
        assert sim.bill()[0].cost is None


class TestFeatherless:
    def test_a_body_is_plain_and_counts_cached_tokens_flat(self, chat):
        body = chat("Qwen/Qwen3-8B:featherless-ai").json
        assert body["model"] == "Qwen/Qwen3-8B"
        assert list(body["usage"]) == ["prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens"]


class TestHFInference:
    MODEL = "HuggingFaceTB/SmolLM3-3B"

    def test_a_body_has_no_id_and_costs_its_computing_time(self, chat, sim):
        answer = chat(self.MODEL)
        assert list(answer.json) == ["object", "id", "created", "model", "system_fingerprint", "choices", "usage"]
        assert answer.json["id"] == ""
        assert sim.bill()[0].cost == Decimal(answer.headers["x-compute-time"]) * Decimal("0.00012")

    def test_a_stream_tells_usage_only_when_asked_and_no_time(self, chat):
        plain = chat(self.MODEL, stream=True)
        assert all(event["usage"] is None for event in plain.events)
        assert {delta["role"] for delta in deltas(plain)} == {"assistant"}
        assert "x-compute-time" not in plain.headers
        assert plain.done
        asked = chat(self.MODEL, stream=True, stream_options={"include_usage": True})
        assert (asked.events[-1]["choices"], asked.events[-1]["usage"]["total_tokens"] > 0) == ([], True)

    def test_messages_that_are_no_list_are_422_in_plain_text(self, send):
        raw = b'{"model":"HuggingFaceTB/SmolLM3-3B","messages":"Ol\xc3\xa1","stream":false}'
        answer = send("POST", "/v1/chat/completions", raw)
        assert (answer.status, answer.headers["content-type"]) == (422, "text/plain; charset=utf-8")
        assert answer.raw.decode() == (
            'Failed to deserialize the JSON body into the target type: messages: invalid type: string "Olá", '
            "expected a sequence at line 1 column 53"
        )

    def test_other_errors_are_tgis(self, chat, sim):
        answer = chat(self.MODEL, max_tokens=0)
        assert (answer.status, answer.json["error_type"]) == (422, "validation")
        assert answer.json["error"].startswith("Input validation error: ")
        sim.fail("hf-inference", Fault.rate_limited(), Fault.context_length(), Fault.status(500))
        assert [chat(self.MODEL).json["error_type"] for _ in range(3)] == ["overloaded", "validation", "generation"]


@pytest.mark.parametrize(
    "model",
    [
        "zai-org/GLM-4.7:zai-org",
        "zai-org/GLM-4.7:fireworks-ai",
        "HuggingFaceTB/SmolLM3-3B",
        "Qwen/Qwen3-8B:featherless-ai",
    ],
)
def test_later_personalities_count_choices_and_tokens_alike_streamed_or_not(chat, sim, model):
    one, three = chat(model).json, chat(model, n=3).json
    assert three["usage"]["completion_tokens"] == 3 * one["usage"]["completion_tokens"]
    streamed = chat(model, n=3, stream=True)
    finished = [c["index"] for e in streamed.events for c in e["choices"] if c.get("finish_reason") == "stop"]
    assert finished == [0, 1, 2]
    called = chat(model, ASK, tools=[WEATHER], stream=True)
    arguments = [c["function"]["arguments"] for delta in deltas(called) for c in delta.get("tool_calls", ())]
    assert "Paris" in "".join(arguments)
    assert sim.bill()[1].completion_tokens == sim.bill()[2].completion_tokens


@pytest.mark.parametrize("provider", ["groq", "cerebras", "novita", "together"])
def test_n_choices_are_answered_and_counted(chat, provider):
    model = f"openai/gpt-oss-120b:{provider}"
    one, three = chat(model).json, chat(model, n=3).json
    assert [choice["index"] for choice in three["choices"]] == [0, 1, 2]
    assert three["usage"]["completion_tokens"] == 3 * one["usage"]["completion_tokens"]
    streamed = chat(model, n=2, stream=True)
    finished = [c["index"] for e in streamed.events for c in e["choices"] if c.get("finish_reason") == "stop"]
    assert finished == [0, 1]


@pytest.mark.parametrize("provider", ["groq", "cerebras", "novita", "together"])
def test_a_stream_adds_up_to_the_unary_answer(chat, provider):
    model, prompt = f"openai/gpt-oss-120b:{provider}", "Count from 1 to 30"
    expected = " ".join(str(number) for number in range(1, 31))
    assert chat(model, prompt).json["choices"][0]["message"]["content"] == expected
    assert chat(model, prompt, stream=True).text == expected


def test_a_provider_of_an_own_catalogue_speaks_plain_openai():
    import json
    import urllib.request

    from hfrouter.simulator import Simulator

    row = {"provider": "nscale", "status": "live"}
    with Simulator(models=[{"id": "acme/small", "providers": [row]}]) as sim:
        body = json.dumps({"model": "acme/small", "messages": [{"role": "user", "content": "hi"}]}).encode()
        request = urllib.request.Request(sim.base_url + "/chat/completions", body)
        request.add_header("authorization", f"Bearer {sim.token}")
        with urllib.request.urlopen(request) as answer:
            assert answer.headers["x-inference-provider"] == "nscale"
            assert json.load(answer)["model"] == "acme/small"
        assert sim.bill().unknown == 1
