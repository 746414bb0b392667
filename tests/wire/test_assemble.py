"""Assembly: the shapes that providers were recorded with, and those they get wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from hfrouter import Delta, Usage
from hfrouter.wire.assemble import Assembly


def event(delta: object = None, finish: object = None, index: object = 0, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": delta, "finish_reason": finish}]} | more


def call(
    arguments: object = None, *, name: object = None, identity: object = None, index: object = None
) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    raw: dict[str, Any] = {"function": function}
    return raw | {key: value for key, value in (("id", identity), ("index", index)) if value is not None}


def assembled(*events: Mapping[str, Any]) -> Assembly:
    assembly = Assembly()
    for one in events:
        assembly.feed(one)
    assembly.close()
    return assembly


def calls(*chunks: list[Any]) -> list[tuple[str, str, str]]:
    """(id, name, arguments) of the calls that these chunks of fragments add up to, checked against the deltas."""
    assembly = Assembly()
    deltas = [delta for chunk in chunks for delta in assembly.feed(event({"tool_calls": chunk}))]
    whole = assembly.body().choices[0].message.get("tool_calls") or []
    found = [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in whole]
    assert found == _joined(deltas)
    return found


def _joined(deltas: list[Delta]) -> list[tuple[str, str, str]]:
    """What a caller makes of the fragments, who knows nothing but their index."""
    joined: dict[int, list[str]] = {}
    for fragment in (fragment for delta in deltas for fragment in delta.tool_calls):
        kept = joined.setdefault(fragment["index"], ["", "", ""])
        for at, piece in enumerate(
            (fragment.get("id"), fragment["function"].get("name"), fragment["function"].get("arguments"))
        ):
            kept[at] += piece or ""
    return [(i, n, a) for _, (i, n, a) in sorted(joined.items())]


class TestToolCalls:
    def test_fragments_are_joined_by_index(self) -> None:
        assert calls(
            [call("", name="add", identity="c1", index=0)],
            [call('{"a"', index=0)],
            [call("", name="mul", identity="c2", index=1)],
            [call(":1}", index=0)],
            [call("{}", index=1)],
        ) == [("c1", "add", '{"a":1}'), ("c2", "mul", "{}")]

    def test_two_whole_calls_may_come_in_one_chunk(self) -> None:
        both = [call("{}", name="add", identity="c1", index=0), call("{}", name="mul", identity="c2", index=1)]
        assert calls(both) == [("c1", "add", "{}"), ("c2", "mul", "{}")]

    def test_two_whole_calls_without_an_index_are_told_apart_by_id(self) -> None:
        both = [call("{}", name="add", identity="c1"), call("{}", name="add", identity="c2")]
        assert calls(both) == [("c1", "add", "{}"), ("c2", "add", "{}")]

    def test_two_whole_calls_without_index_or_id_are_told_apart_by_name(self) -> None:
        found = calls([call("{}", name="add"), call("{}", name="mul")])
        assert [name for _, name, _ in found] == ["add", "mul"]
        assert all(identity.startswith("call_") for identity, _, _ in found)
        assert found[0][0] != found[1][0]

    def test_fragments_without_an_index_are_told_apart_by_id(self) -> None:
        assert calls(
            [call("", name="add", identity="c1")],
            [call("{", identity="c1")],
            [call("", name="mul", identity="c2")],
            [call("}", identity="c1")],
        ) == [("c1", "add", "{}"), ("c2", "mul", "")]

    def test_a_fragment_without_index_id_and_name_continues_the_last_call(self) -> None:
        assert calls([call("", name="add", identity="c1")], [call("{")], [call("}")]) == [("c1", "add", "{}")]

    def test_calls_that_all_have_index_0_are_told_apart_by_id(self) -> None:
        assert calls(
            [call("", name="add", identity="c1", index=0)],
            [call('{"a":1}', index=0)],
            [call("", name="mul", identity="c2", index=0)],
            [call('{"b":2}', index=0)],
        ) == [("c1", "add", '{"a":1}'), ("c2", "mul", '{"b":2}')]

    def test_an_empty_id_is_replaced_and_stays_the_same(self) -> None:
        found = calls([call("", name="add", identity="", index=0)], [call("{}", identity="", index=0)])
        assert len(found) == 1
        assert found[0][0].startswith("call_")
        assert found[0][1:] == ("add", "{}")

    def test_an_id_that_is_no_text_is_replaced(self) -> None:
        [(identity, _, _)] = calls([call("{}", name="add", identity={"a": 1}, index=0)])
        assert identity.startswith("call_")

    def test_a_name_repeated_in_every_fragment_is_not_doubled(self) -> None:
        assert calls(
            [call("{", name="add", identity="c1", index=0)], [call("}", name="add", identity="c1", index=0)]
        ) == [("c1", "add", "{}")]

    def test_a_name_that_comes_late_is_taken(self) -> None:
        assert calls([call("", identity="c1", index=0)], [call("{}", name="add", index=0)]) == [("c1", "add", "{}")]

    @pytest.mark.parametrize("name", [None, ""], ids=["null", "empty"])
    def test_null_and_empty_names_in_later_fragments_change_nothing(self, name: str | None) -> None:
        later = {"index": 0, "id": None, "type": None, "function": {"name": name, "arguments": "{}"}}
        assert calls([call("", name="add", identity="c1", index=0)], [later]) == [("c1", "add", "{}")]

    def test_arguments_given_as_an_object_become_json(self) -> None:
        [(_, _, arguments)] = calls([call({"città": "Roma"}, name="w", identity="c1", index=0)])
        assert json.loads(arguments) == {"città": "Roma"}

    def test_missing_arguments_are_empty_text(self) -> None:
        assert calls([{"id": "c1", "index": 0, "function": {"name": "now"}}]) == [("c1", "now", "")]

    def test_indexes_need_not_begin_at_0(self) -> None:
        assert calls([call("{}", name="add", identity="c1", index=1)], [call("", index=1)]) == [("c1", "add", "{}")]

    def test_a_call_without_a_name_is_known_as_such(self) -> None:
        assert assembled(event({"tool_calls": [call("{}", identity="c1", index=0)]})).nameless_call
        assert not assembled(event({"tool_calls": [call("{}", name="add", index=0)]})).nameless_call

    @pytest.mark.parametrize("broken", [None, 5, "x", [], {"function": None}, {"function": "x"}], ids=str)
    def test_a_fragment_that_is_none_breaks_nothing(self, broken: object) -> None:
        assert assembled(event({"tool_calls": [broken]}), event({"content": "a"})).text == "a"

    def test_beside_calls_empty_content_is_null(self) -> None:
        whole = assembled(event({"content": "", "tool_calls": [call("{}", name="a", index=0)]})).body()
        assert whole.choices[0].message.content is None


class TestUsage:
    def test_repeated_reports_count_once(self) -> None:
        report = {"prompt_tokens": 5, "completion_tokens": 2}
        groq = [event({}, "stop", usage=report, x_groq={"usage": report}), {"choices": [], "usage": report}]
        assert assembled(event({"content": "a"}), *groq).usage == Usage(5, 2)

    def test_of_cumulative_reports_the_last_counts(self) -> None:
        running = [event({"content": "a"}, usage={"prompt_tokens": 5, "completion_tokens": n}) for n in (1, 2, 3)]
        assert assembled(*running).usage == Usage(5, 3)

    def test_a_null_report_does_not_undo_an_earlier_one(self) -> None:
        report = {"prompt_tokens": 5, "completion_tokens": 2}
        assert assembled(event({"content": "a"}, usage=report), event({}, "stop", usage=None)).usage == Usage(5, 2)

    def test_a_report_that_makes_no_sense_does_not_undo_an_earlier_one(self) -> None:
        report = {"prompt_tokens": 5, "completion_tokens": 2}
        broken = {"prompt_tokens": -5, "completion_tokens": 2}
        assert assembled(event({}, usage=report), event({}, usage=broken)).usage == Usage(5, 2)

    def test_it_is_handed_out_once_and_at_the_end(self) -> None:
        assembly = Assembly()
        report = {"prompt_tokens": 5, "completion_tokens": 2}
        for one in (event({"content": "a"}, usage=report), event({}, "stop", usage=report)):
            assert all(delta.usage is None for delta in assembly.feed(one))
        assert [delta.usage for delta in assembly.close()] == [Usage(5, 2)]
        assert assembly.close() == []
        assert assembly.body().usage == report

    def test_without_a_report_there_is_none(self) -> None:
        assembly = assembled(event({"content": "a"}, "stop"))
        assert (assembly.usage, assembly.body().usage) == (None, None)


class TestTolerance:
    @pytest.mark.parametrize("choices", [None, [], {}, "x", [None], [5], [[]]], ids=str)
    def test_choices_of_any_kind_break_nothing(self, choices: object) -> None:
        assert assembled({"choices": choices}, event({"content": "a"})).text == "a"

    @pytest.mark.parametrize("delta", [None, [], "x", 5, {}, {"content": None}, {"content": 5}], ids=str)
    def test_a_delta_of_any_kind_adds_nothing(self, delta: object) -> None:
        assembly = Assembly()
        assert assembly.feed(event(delta)) == []
        assert assembly.feed(event({"content": "a"}))[0].text == "a"
        assert assembly.text == "a"

    @pytest.mark.parametrize("index", [None, "0", True, 1.5], ids=str)
    def test_an_index_that_is_none_is_the_position(self, index: object) -> None:
        assert assembled(event({"content": "a"}, index=index)).text == "a"

    def test_content_in_parts_is_read(self) -> None:
        assert assembled(event({"content": [{"type": "text", "text": "a"}, {"text": "b"}, "x", None]})).text == "ab"

    def test_deeply_nested_content_is_no_text_and_no_crash(self) -> None:
        content: list[Any] = []
        for _ in range(5000):
            content = [{"text": content}]
        assert assembled(event({"content": content})).text == ""

    def test_the_body_has_an_id_and_a_model_even_where_the_provider_gave_none(self) -> None:
        whole = assembled(event({"content": "a"}, id=None, model=5, created="now")).body()
        assert (whole.id, whole.model, whole.created) == ("", "", 0)

    def test_later_events_do_not_rename_the_answer(self) -> None:
        whole = assembled(event({}, id="c1", model="m"), event({}, id="c2", model="n")).body()
        assert (whole.id, whole.model) == ("c1", "m")


class TestHalves:
    @pytest.mark.parametrize(
        ("pieces", "text"),
        [
            (["a\ud83d", "\ude00b"], "a😀b"),
            (["\ud83d\ude00"], "😀"),
            (["\ud83d", "", "\ude00"], "😀"),
            (["\ud83d", "\ud83d", "\ude00"], "\ufffd😀"),
            (["\ude00a", "\ud83d"], "\ufffda\ufffd"),
            (["a", "\ud800", "b"], "a\ufffdb"),
            (["<think>\ud83d", "\ude00</think>", "é"], "é"),
        ],
        ids=ascii,
    )
    def test_a_character_that_comes_in_halves_is_whole_and_a_half_that_is_left_is_replaced(
        self, pieces: list[str], text: str
    ) -> None:
        for name in ("content", "reasoning"):
            assembly = Assembly()
            deltas = [delta for piece in pieces for delta in assembly.feed(event({name: piece}))] + assembly.close()
            message = assembly.body().choices[0].message
            if name == "content":
                assert message.content == "".join(delta.text for delta in deltas) == text
            elif "think" not in pieces[0]:
                assert message.reasoning_content == "".join(delta.reasoning for delta in deltas) == text
            for delta in deltas:
                assert f"{delta.text}{delta.reasoning}".encode()  # every step can be sent on by itself


class TestReasoning:
    @pytest.mark.parametrize("name", ["reasoning", "reasoning_content", "reasoning_text"])
    def test_each_name_of_the_field_is_read(self, name: str) -> None:
        assembly = assembled(event({name: "Hm", "content": ""}), event({"content": "\nHi"}))
        assert assembly.body().choices[0].message == {
            "role": "assistant",
            "content": "\nHi",
            "reasoning_content": "Hm",
        }

    def test_the_same_reasoning_under_two_names_counts_once(self) -> None:
        one = assembled(event({"reasoning": "Hm", "reasoning_content": "Hm"})).body()
        assert one.choices[0].message.reasoning_content == "Hm"

    def test_a_leading_think_block_is_reasoning(self) -> None:
        pieces = ("<thi", "nk>\n", "Hm.", "</th", "ink>\n", "\n", "Hi")
        message = assembled(*(event({"content": piece}) for piece in pieces)).body().choices[0].message
        assert (message.content, message.reasoning_content) == ("Hi", "Hm.")

    def test_text_held_in_doubt_comes_out_at_the_end(self) -> None:
        assembly = Assembly()
        assert assembly.feed(event({"content": "<thi"})) == []
        assert [delta.text for delta in assembly.close()] == ["<thi"]
        assert assembly.text == "<thi"


class TestEnd:
    @pytest.mark.parametrize(
        ("said", "means"),
        [("eos", "stop"), ("eos_token", "stop"), ("stop_sequence", "stop"), ("length", "length"), ("odd", "odd")],
    )
    def test_finish_reasons_are_told_in_the_words_of_openai(self, said: str, means: str) -> None:
        assembly = Assembly()
        assert [delta.finish_reason for delta in assembly.feed(event({"content": "a"}, said))] == [means]
        assert assembly.finished
        assert assembly.body().choices[0].finish_reason == means

    @pytest.mark.parametrize("said", [None, "", 0, [], False], ids=str)
    def test_what_is_no_finish_reason_finishes_nothing(self, said: object) -> None:
        assert not assembled(event({"content": "a"}, said)).finished

    def test_a_finish_reason_in_its_own_chunk_counts_and_the_last_one_wins(self) -> None:
        assembly = assembled(event({"content": "a"}), event({}, "stop"), event({}, "length"), event({}, None))
        assert assembly.body().choices[0].finish_reason == "length"

    def test_an_answer_of_two_choices_is_whole_when_both_have_finished(self) -> None:
        assembly = assembled(event({"content": "a"}, index=0), event({"content": "b"}, index=1))
        assembly.feed(event({}, "stop", index=0))
        assert not assembly.finished
        assembly.feed(event({}, "stop", index=1))
        assert assembly.finished

    def test_two_choices_are_kept_apart(self) -> None:
        pair = [{"index": i, "delta": {"content": t}, "finish_reason": "stop"} for i, t in ((1, "b"), (0, "a"))]
        assembly = Assembly()
        assert [(d.index, d.text) for d in assembly.feed({"choices": pair})] == [(1, "b"), (0, "a")]
        assert [c.message.content for c in assembly.body().choices] == ["a", "b"]
        assert assembly.text == "a"

    @pytest.mark.parametrize(
        ("delta", "finish", "empty"),
        [
            ({"content": ""}, "stop", True),
            ({"content": " \n"}, "stop", True),
            ({"reasoning": "Hm"}, "stop", True),
            ({"content": ""}, "length", False),
            ({"content": None}, "content_filter", False),
            ({"refusal": "No."}, "stop", False),
            ({"tool_calls": [call("{}", name="a", index=0)]}, "tool_calls", False),
            ({"content": "a"}, "stop", False),
        ],
    )
    def test_an_answer_that_says_nothing_is_empty(self, delta: object, finish: str, empty: bool) -> None:
        assert assembled(event(delta, finish)).empty is empty

    def test_nothing_at_all_is_empty(self) -> None:
        assert assembled().empty

    def test_a_refusal_is_kept_apart_from_the_text(self) -> None:
        message = assembled(event({"refusal": "I "}), event({"refusal": "won't."}, "stop")).body().choices[0].message
        assert (message.content, message.refusal) == ("", "I won't.")


class TestUnary:
    def test_a_message_is_read_like_a_delta(self) -> None:
        choice = {"index": 0, "message": {"content": "a", "reasoning": "r"}, "finish_reason": "stop"}
        assembly = Assembly()
        [delta] = assembly.feed({"id": "c", "choices": [choice]})
        assert (delta.text, delta.reasoning, delta.finish_reason) == ("a", "r", "stop")

    @pytest.mark.parametrize("content", [{}, {"content": ""}, {"content": None}], ids=["absent", "empty", "null"])
    def test_content_beside_tool_calls_may_be_absent_empty_or_null(self, content: dict[str, Any]) -> None:
        message = content | {"tool_calls": [call('{"a":1}', name="add", identity="c1")]}
        whole = assembled({"choices": [{"message": message, "finish_reason": "tool_calls"}]}).body()
        assert whole.choices[0].message.content is None
        assert whole.choices[0].message.tool_calls == [
            {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
        ]

    def test_a_whole_message_after_its_deltas_is_not_taken_twice(self) -> None:
        again = {"index": 0, "message": {"content": "ab"}, "finish_reason": "stop"}
        assert assembled(event({"content": "a"}), event({"content": "b"}), {"choices": [again]}).text == "ab"

    def test_a_whole_message_after_deltas_without_content_is_taken(self) -> None:
        message = {"index": 0, "message": {"content": "ab"}, "finish_reason": "stop"}
        assert assembled(event({"role": "assistant"}), {"choices": [message]}).text == "ab"
        assert assembled({"choices": [message | {"delta": {}}]}).text == "ab"

    def test_logprobs_are_joined(self) -> None:
        events = [{"choices": [{"delta": {"content": t}, "logprobs": {"content": [{"token": t}]}}]} for t in "ab"]
        assert assembled(*events).body().choices[0].logprobs == {"content": [{"token": "a"}, {"token": "b"}]}

    def test_a_body_without_an_object_key_gets_one(self) -> None:
        whole = assembled({"id": "z", "choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}).body()
        assert whole.object == "chat.completion"
