"""What servers say when they refuse a request, in the bodies that they send: what of it, and what is sent instead.

The wordings are those of public bug reports, cut to what matters.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from ldr_utils.judges.prompted import Question
from ldr_utils.judges.refusals import COLDEST, Form, kind_of, refused, words
from ldr_utils.study.params import JudgeParams

PARAMS = JudgeParams(judge="openai", judge_model="m", judge_template_kwargs={"enable_thinking": False})
QUESTION = Question("template", "prompt", ("A", "B"))


def openai(message: str, param: str | None = None, code: str | None = None) -> str:
    return json.dumps({"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}})


def pydantic(*loc: str, msg: str = "Extra inputs are not permitted", **more: Any) -> str:
    return json.dumps({"detail": [{"type": "extra_forbidden", "loc": ["body", *loc], "msg": msg, "input": 8, **more}]})


def mistral(*loc: str) -> str:
    detail = [
        {"type": "extra_forbidden", "loc": ["body", *loc], "msg": "Extra inputs are not permitted", "input": True}
    ]
    return json.dumps({"object": "error", "message": {"detail": detail}, "type": "invalid_request_error"})


def openrouter(raw: str) -> str:
    return json.dumps({"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": raw}}})


def arguments(body: str, form: Form | None = None) -> dict[str, Any]:
    form = form or Form()
    return form.without(body, form.arguments(QUESTION, PARAMS)).arguments(QUESTION, PARAMS)


WITHOUT_LIMIT = [
    openai(
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "max_tokens",
        "unsupported_parameter",
    ),
    openrouter(openai("Unsupported parameter: 'max_tokens' is not supported with this model.", "max_tokens")),
    json.dumps({"error": "max_tokens is deprecated, use max_completion_tokens"}),
    json.dumps({"message": "Unrecognized request argument supplied: max_tokens"}),
    pydantic("max_tokens"),
    "Bad Request: unknown field max_tokens",
]


@pytest.mark.parametrize("body", WITHOUT_LIMIT)
def test_the_limit_goes_by_its_other_name(body: str) -> None:
    sent = arguments(body)
    assert "max_tokens" not in sent
    assert sent["max_completion_tokens"] == 8
    assert sent["temperature"] == 0
    assert sent["top_logprobs"] == 20


def test_a_server_that_takes_neither_name_is_asked_without() -> None:
    form = Form().without(WITHOUT_LIMIT[0], Form().arguments(QUESTION, PARAMS))
    sent = arguments(mistral("max_completion_tokens"), form)
    assert not {"max_tokens", "max_completion_tokens"} & sent.keys()


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        (
            openai(
                "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 8 instead."
            ),
            16,
        ),
        (pydantic("max_tokens", msg="Input should be greater than or equal to 32"), 32),
        (
            openai(
                "Could not finish the message because max_tokens or model output limit was reached."
                " Please try again with higher max_tokens."
            ),
            2048,
        ),
    ],
)
def test_a_limit_that_is_too_low_is_raised(body: str, tokens: int) -> None:
    assert arguments(body)["max_tokens"] == tokens


@pytest.mark.parametrize(
    "body",
    [
        openai("max_tokens is too large: 2048. This model supports at most 512 completion tokens.", "max_tokens"),
        openai("Invalid max_tokens value, the valid range of max_tokens is [1, 512]"),
        json.dumps({"error": {"message": "max_tokens: 2048 > 512, which is the maximum: 512 output tokens"}}),
    ],
)
def test_a_limit_that_is_too_high_is_lowered(body: str) -> None:
    assert arguments(body, Form(room=True))["max_tokens"] == 512


@pytest.mark.parametrize(
    ("body", "temperature"),
    [
        (
            openai(
                "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is"
                " supported.",
                "temperature",
                "unsupported_value",
            ),
            None,
        ),
        (
            json.dumps(
                {
                    "type": "error",
                    "error": {
                        "type": "invalid_request_error",
                        "message": "`temperature` is deprecated for this model.",
                    },
                }
            ),
            None,
        ),
        (mistral("temperature"), None),
        (
            json.dumps(
                {"error": "Input validation error: `temperature` must be strictly positive", "error_type": "validation"}
            ),
            COLDEST,
        ),
        (
            json.dumps(
                {
                    "object": "error",
                    "message": "litellm.UnsupportedParamsError: o3 does not support parameters: ['temperature']",
                    "code": 400,
                }
            ),
            None,
        ),
    ],
)
def test_a_refused_temperature_is_left_to_the_server(body: str, temperature: float | None) -> None:
    sent = arguments(body)
    assert sent.get("temperature") == temperature
    assert sent["max_tokens"] == 8


@pytest.mark.parametrize(
    ("body", "top"),
    [
        (openai("You are not allowed to request logprobs from this model.", None), 0),
        (json.dumps({"error": {"message": "`logprobs` is not supported with this model"}}), 0),
        (mistral("logprobs"), 0),
        (openai("litellm.UnsupportedParamsError: does not support parameters: ['logprobs', 'top_logprobs']"), 0),
        (
            json.dumps(
                {
                    "object": "error",
                    "message": "Requested sample logprobs of 20, which is greater than max allowed: 5",
                    "type": "BadRequestError",
                    "code": 400,
                }
            ),
            5,
        ),
        (json.dumps({"error": "Input validation error: `top_n_tokens` must be >= 0 and <= 5. Given: 20"}), 5),
        (pydantic("top_logprobs", msg="Input should be less than or equal to 5", ctx={"le": 5}), 5),
        (openai("top_logprobs must be in the range [0, 20)"), 19),
        (openai("logprobs: value must be between 0 and 10", "logprobs"), 10),
        (openai("This model does not support logprobs"), 0),
    ],
)
def test_probabilities_are_asked_for_as_far_as_they_are_given(body: str, top: int) -> None:
    sent = arguments(body)
    assert sent.get("top_logprobs", 0) == top
    assert ("logprobs" in sent) == (top > 0)
    assert sent["temperature"] == 0


def test_several_parts_refused_at_once_go_at_once() -> None:
    detail = [{"type": "extra_forbidden", "loc": ["body", name], "msg": "no"} for name in ("logprobs", "temperature")]
    sent = arguments(json.dumps({"detail": detail}))
    assert not {"logprobs", "top_logprobs", "temperature"} & sent.keys()
    assert sent["max_tokens"] == 8


@pytest.mark.parametrize(
    "body",
    [openai("Unrecognized request argument supplied: chat_template_kwargs"), mistral("chat_template_kwargs")],
)
def test_template_parameters_go_where_they_are_unknown(body: str) -> None:
    assert "extra_body" in Form().arguments(QUESTION, PARAMS)
    assert "extra_body" not in arguments(body)


@pytest.mark.parametrize(
    "body",
    [openai("Invalid value: 'user'.", "messages[0].role"), "Bad Request", json.dumps({"error": "invalid request"}), ""],
)
def test_what_names_no_part_that_can_be_left_out_changes_nothing(body: str) -> None:
    form = Form()
    assert form.without(body, form.arguments(QUESTION, PARAMS)) == form


def test_a_form_only_ever_becomes_poorer() -> None:
    """Whatever a server refuses again and again, the questions to it end."""
    form = Form()
    for body in [*WITHOUT_LIMIT, mistral("temperature"), mistral("logprobs"), mistral("chat_template_kwargs")] * 3:
        form = form.without(body, form.arguments(QUESTION, PARAMS))
    assert form.arguments(QUESTION, PARAMS) == {}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (
            400,
            openai(
                "This model's maximum context length is 4096 tokens. However, you requested 5008 tokens.",
                "messages",
                "context_length_exceeded",
            ),
            "long",
        ),
        (
            400,
            json.dumps(
                {
                    "object": "error",
                    "message": "'max_tokens' or 'max_completion_tokens' is too large: 8. This"
                    " model's maximum context length is 2048 tokens and your request has 2045 input tokens",
                }
            ),
            "long",
        ),
        (
            400,
            json.dumps(
                {
                    "error": {
                        "code": 400,
                        "message": "the request exceeds the available context size",
                        "type": "exceed_context_size_error",
                    }
                }
            ),
            "long",
        ),
        (400, json.dumps({"error": {"message": "prompt is too long: 210000 tokens > 200000 maximum"}}), "long"),
        (
            422,
            json.dumps({"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096."}),
            "long",
        ),
        (
            413,
            openai(
                "Request too large for model `m` on tokens per minute: Limit 6000, Requested 7000, please reduce"
                " your message size"
            ),
            "long",
        ),
        (413, "<html><title>413 Request Entity Too Large</title></html>", "address"),
        (
            400,
            openai(
                "The response was filtered due to the prompt triggering content management policy.",
                "prompt",
                "content_filter",
            ),
            "filtered",
        ),
        (403, json.dumps({"error": {"code": 403, "message": "Your input was flagged"}}), "filtered"),
        (400, openai("The model `m` does not exist or you do not have access to it."), "model"),
        (400, openai("The model `m` has been decommissioned and is no longer supported."), "model"),
        (400, json.dumps({"error": {"message": "m is not a valid model ID", "code": 400}}), "model"),
        (400, json.dumps({"error": {"message": "Invalid model name passed in model=m"}}), "model"),
        (403, openai("Project `p` does not have access to model `m`", None, "model_not_found"), "model"),
        (403, "", "key"),
        (404, json.dumps({"error": "model 'm' not found, try pulling it first"}), "model"),
        (410, "Gone", "model"),
        (401, openai("Incorrect API key provided"), "key"),
        (400, openai("API key not valid. Please pass a valid API key."), "key"),
        (402, json.dumps({"error": {"message": "Insufficient credits"}}), "money"),
        (400, json.dumps({"error": {"message": "Your credit balance is too low"}}), "money"),
        (
            429,
            openai(
                "You exceeded your current quota, please check your plan and billing details.",
                None,
                "insufficient_quota",
            ),
            "money",
        ),
        (429, openai("Rate limit reached for requests"), "busy"),
        (405, "Method Not Allowed", "address"),
        (501, "Not Implemented", "address"),
        (503, json.dumps({"error": {"message": "Loading model"}}), "busy"),
        (529, json.dumps({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}), "busy"),
        (0, "APITimeoutError", "busy"),
        (200, json.dumps({"error": {"message": "upstream overloaded"}}), "busy"),
        (200, json.dumps({"error": {"message": "Insufficient credits", "code": 402}}), "money"),
        (200, json.dumps({"error": {"message": "no such model", "code": "404"}}), "model"),
        (400, openai("Invalid value: 'user'.", "messages[0].role"), "form"),
    ],
)
def test_a_refusal_is_told_by_its_words_and_its_status(status: int, body: str, kind: str) -> None:
    assert kind_of(status, body) == kind


def test_a_limit_with_a_time_to_come_back_is_waited_for() -> None:
    body = openai("You exceeded your current quota for this minute, please check your plan and billing details.")
    assert kind_of(429, body, told_when=True) == "busy"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (openai("no\nsuch \x1b[31m thing"), r"no such \x1b[31m thing"),
        (json.dumps({"error": "plain"}), "plain"),
        (json.dumps({"message": "of another shape"}), "of another shape"),
        (pydantic("logprobs"), "extra_forbidden body logprobs Extra inputs are not permitted"),
        ("<html><head><style>x{}</style></head><body><h1>502 Bad Gateway</h1></body></html>", "502 Bad Gateway"),
        ("plain text", "plain text"),
        ("", ""),
        ("[[[", "[[["),
    ],
)
def test_a_servers_words_are_one_line(body: str, said: str) -> None:
    assert words(body) == said


@pytest.mark.parametrize(
    "body",
    [
        openai("Incorrect API key provided: canary-4f1d9c-secret. You can find it at"),
        openai("Incorrect API key provided: canary-4*********cret."),
        "Authorization: Bearer canary-4f1d9c-secret",
        "key=sk-abcdefgh12345678 was refused; ...4f1d9c...",
    ],
)
def test_nothing_that_looks_like_a_key_is_repeated(body: str) -> None:
    said = words(body, "canary-4f1d9c-secret")
    assert said
    assert not any(part in said for part in ("canary", "4f1d9c", "cret", "abcdefgh"))


def test_long_words_are_cut() -> None:
    assert len(words("word " * 1000)) < 250


def test_fields_name_what_is_refused_before_words_do() -> None:
    assert refused(openai("temperature, logprobs and all that", "max_tokens")) == ["max_tokens"]
