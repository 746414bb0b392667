"""Answers in text are taken from what was asked."""

import pytest

from hfrouter.simulator import reading, tokens

TOWER = (
    "The Eiffel Tower was finished in 1889. It is 330 metres tall. It stands in Paris. Gustave Eiffel's firm built it."
)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (f"Context: {TOWER}\nQuestion: How tall is the tower?", "It is 330 metres tall."),
        (f"Question: How tall is it?\nContext: {TOWER}", "It is 330 metres tall."),
        (f"Context: {TOWER} Question: Whose firm built it? Answer:", "Gustave Eiffel's firm built it."),
        (f"<document>{TOWER}</document>\nIn which city does it stand?", "It stands in Paris."),
        (f'"""{TOWER}"""\nWhen was it finished?', "The Eiffel Tower was finished in 1889."),
        (f"{TOWER} How tall is it?", "It is 330 metres tall."),
        (
            f"Context information is below.\n---------------------\n{TOWER}\n---------------------\nGiven the context "
            "information and not prior knowledge, answer the query.\nQuery: How tall is the tower?\nAnswer: ",
            "It is 330 metres tall.",
        ),
        (f"Context: {TOWER}\nQuestion: Who likes bananas?", reading.NOTHING),
    ],
)
def test_a_question_about_a_given_text_is_answered_with_its_sentence(prompt, expected):
    assert reading.answer(prompt, "", []) == expected


def test_a_context_may_stand_in_the_system_message():
    system = f"Use the following pieces of context to answer the question.\n\n{TOWER}"
    assert reading.answer("How tall is the tower?", system, []) == "It is 330 metres tall."
    instructions = "You are a helpful assistant. Call the tool when asked for the time."
    assert reading.answer("Hello", instructions, []) == "You asked: Hello."


def test_what_the_user_said_before_is_remembered():
    assert reading.answer("What is my name?", "", ["Hello. My name is Anna."]) == "You said: My name is Anna."


def test_a_summary_has_the_asked_number_of_sentences():
    answer = reading.answer(f'Summarise in one sentence: "{TOWER}"', "", [])
    assert answer == "The Eiffel Tower was finished in 1889."


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("What is 17 * 23?", "17 * 23 = 391"),
        ("What is 2 plus 3?", "2 + 3 = 5"),
        ("Compute (1 + 2) * 3 - 4 / 8", "(1 + 2) * 3 - 4 / 8 = 8.5"),
        ("what is 2^10", "2^10 = 1024"),
        ("10 divided by 4", "10 / 4 = 2.5"),
        ("What is 1 / 0?", "You asked: What is 1 / 0?"),
        ("9^9^9^9", "You asked: 9^9^9^9."),
        ("Count from 3 to 6", "3 4 5 6"),
        ("Please count to 3.", "1 2 3"),
        ("Reply with exactly: pong", "pong"),
        ('Repeat after me: "a b c"', "a b c"),
        ("Tell me a story.", "You asked: Tell me a story."),
        ("", "You sent no text."),
    ],
)
def test_plain_things_are_computed_and_the_rest_is_restated(prompt, expected):
    assert reading.answer(prompt, "", []) == expected


@pytest.mark.parametrize("text", ["", "Hello, world!", "你好啊集团", "a\n\n  b\tc", "x" * 100, "naïve café — 3.14"])
def test_tokens_join_back_to_the_text(text):
    assert "".join(tokens.split(text)) == text
    assert tokens.count(text) == len(tokens.split(text))


def test_stop_cuts_before_the_string(chat):
    choice = chat("openai/gpt-oss-20b:groq", "Count from 1 to 9", stop=[" 5", " 7"]).json["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("1 2 3 4", "stop")


@pytest.mark.parametrize("key", ["max_tokens", "max_completion_tokens"])
def test_a_token_limit_cuts_and_says_length(chat, key):
    body = chat("meta-llama/Llama-3.3-70B-Instruct:groq", "Count from 1 to 9", **{key: 4}).json
    assert body["choices"][0]["message"]["content"] == "1 2 3 4"
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 4
    streamed = chat("meta-llama/Llama-3.3-70B-Instruct:groq", "Count from 1 to 9", stream=True, **{key: 4})
    assert streamed.text == "1 2 3 4"


def test_reasoning_spends_the_same_limit_and_can_be_turned_off(chat):
    limited = chat("openai/gpt-oss-20b:groq", "Count from 1 to 9", max_tokens=3).json["choices"][0]
    assert (limited["message"]["content"], limited["finish_reason"]) == ("", "length")
    silent = chat("openai/gpt-oss-20b:groq", "Count from 1 to 9", reasoning_effort="none").json["choices"][0]
    assert "reasoning" not in silent["message"]
