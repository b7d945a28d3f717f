"""The language of an answer: in the open set, by script, undecided where nothing tells, sentence by sentence."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ldr_utils.languages.identify import identify, line_pass, off_target, undecided, word_pass
from ldr_utils.languages.prose import prose, sentences
from ldr_utils.languages.table import adopt
from ldr_utils.study.paths import ROOT

BENCHMARK = ROOT / "benchmarks" / "identification.py"
ENGLISH = "The first step is to count the eggs. She sells them at the market. She makes 18 dollars a day. "


@pytest.fixture
def records() -> Iterator[None]:
    """Languages that a study brings: Portuguese by a code of its own, and two that the model does not have."""
    plain = {"answer_phrases": ["Fim:"]}
    adopt(
        {
            "pt_BR": {"name": "Brazilian Portuguese", "flores": "por_Latn", **plain},
            "kea": {"name": "Kabuverdianu", "flores": "kea_Latn", **plain},
            "taq": {"name": "Tamasheq", "flores": "taq_Tfng", **plain},
        }
    )
    yield
    adopt({})


@pytest.mark.parametrize(
    ("asked", "found", "text"),
    [
        ("es", "it", "Il risultato è 18 uova al giorno, che Janet vende al mercato."),
        ("es", "pt", "O resultado é 18 ovos por dia, que a Janet vende no mercado."),
        ("de", "nl", "Het resultaat is 18 eieren per dag, die Janet op de markt verkoopt."),
        ("ru", "uk", "Результат — 18 яєць на день, які Джанет продає на ринку."),
        ("ru", "bg", "Резултатът е 18 яйца на ден, които Джанет продава на пазара."),
        ("sw", "id", "Hasilnya adalah 18 butir telur setiap hari yang dijual Janet di pasar."),
        ("ar", "fa", "نتیجه ۱۸ تخم مرغ در روز است که جانت در بازار می‌فروشد."),
        ("bn", "hi", "परिणाम प्रतिदिन 18 अंडे है।"),
        ("ja", "zh", "珍妮特每天卖十八个鸡蛋。"),
        ("zh", "ja", "答えは18個です。"),
        ("en", "ko", "답은 18입니다."),
    ],
)
def test_a_neighbour_is_off_target(asked: str, found: str, text: str) -> None:
    assert identify(text, asked) == found
    assert off_target(text, asked)
    assert not undecided(text, asked)


@pytest.mark.parametrize(
    "text",
    [
        *("18 eggs", "OK", "Rom", "Total = 9 * 2 = 18", "18 USD", "18 km", "18 US dollars", "25 °C", "", "???"),
        *(r"\boxed{18}", "$x$", r"$$\frac{total}{number of eggs} = 2$$", r"\(speed \times time\)", "#### 18"),
        *("Distance = speed * time = 60 * 3 = 180 km", "sin(x) + cos(x) = 1", "x^2 + y^2 = r^2", "H2O"),
        *("```python\nfor egg in the_eggs:\n    print('this is an egg')\n```", "`return the answer`", "README.md"),
        *("def f(x):\n    return x + 1", "print('Hello, my dear world!')", "import numpy as np", "pip install numpy"),
        *('{"name": "the answer", "age": 18}', '<div class="the answer">', "const a = document.getElementById('x');"),
        *("https://example.org/en/how-to-do-things", "www.the-best-site.com/about-us", "someone.you.know@example.com"),
        *("C:\\Users\\name\\file.txt", "/usr/local/share/my/files", "New York City", "Leonardo da Vinci"),
        *("Johann Wolfgang von Goethe", "Rio de Janeiro", "NASA, ESA", "A", "Yes"),
    ],
)  # fmt: skip
def test_no_language_is_undecided(text: str) -> None:
    for asked in ("en", "de", "es", "ru", "zh", "th", None):
        assert identify(text, asked) is None


@pytest.mark.parametrize("text", ["合計三百円", "18個", "東京", "大阪", "五百円", "三十六個", "時速六十"])
def test_a_few_han_are_undecided_between_chinese_and_japanese_only(text: str) -> None:
    assert undecided(text, "ja")
    assert undecided(text, "zh")
    assert off_target(text + text, "es")


def test_characters_of_one_language_tell_han_apart() -> None:
    assert identify("这个问题很简单", "ja") == "zh"
    assert identify("東京駅前広場発売", "zh") == "ja"


def test_a_script_is_enough_where_the_language_asked_for_has_another() -> None:
    assert off_target("Ответ 18", "es")
    assert off_target("ไข่ 18 ฟอง", "en")
    assert not off_target("18 см", "es")  # a unit
    assert off_target(ENGLISH, "th")
    assert not off_target("แนะนำเกม The Legend of Zelda: Tears of the Kingdom สำหรับหลานชายของคุณ", "th")


@pytest.mark.parametrize(
    ("lang", "text"),
    [("de", "Die Antwort ist 18."), ("sw", "Jibu ni 18."), ("zh", "所以答案是18。"), ("fr", "La réponse est 18.")],
)
def test_an_answer_phrase_is_enough(lang: str, text: str) -> None:
    assert identify(text, lang) == lang
    assert off_target(text, "en")


def test_line_and_word_rates_see_what_one_label_does_not() -> None:
    assert line_pass("Die Antwort ist 18. The answer is 18.", "de") is False
    assert line_pass("Die Antwort ist 18. 9 * 2 = 18.", "de") is True
    assert line_pass("18", "de") is None
    chinese = "珍妮特每天卖十八个鸡蛋，这些鸡蛋是她的鸭子下的。"
    assert line_pass(ENGLISH + "所以答案是18。", "zh") is False
    assert word_pass(ENGLISH + "所以答案是18。", "zh") is None  # only of answers whose lines pass
    assert line_pass(chinese, "zh") is True
    assert word_pass(chinese, "zh") is True
    assert word_pass(chinese.replace("鸡蛋", "eggs"), "zh") is False
    assert word_pass(chinese.replace("珍妮特", "Janet"), "zh") is True  # a name
    assert word_pass(chinese + "`total`", "zh") is True
    assert word_pass("Janet verkauft jeden Tag achtzehn Eier auf dem Markt.", "de") is None


def test_prose_leaves_language_and_nothing_else() -> None:
    text = "Sie kauft für $5 und $6: **zwei** Eier (und/oder Milch).\n* Siehe https://a.b/c?d=e, dann `x`\n- 3 kg"
    assert " ".join(prose(text).split()) == "Sie kauft für : **zwei** Eier (und/oder Milch). Siehe dann"
    assert prose("请访问https://a.b/c了解").split() == ["请访问", "了解"]
    assert sentences("Eins. Zwei!\n三。四？Fünf 1.5") == ["Eins.", "Zwei!", "三。", "四？", "Fünf 1.5"]


@pytest.mark.usefixtures("records")
def test_a_language_of_the_study_is_known_by_its_flores_code() -> None:
    portuguese = "O resultado é 18 ovos por dia, que a Janet não come e que vende na feira da cidade."
    assert identify(portuguese, "pt_BR") == "pt_BR"
    assert off_target("El resultado son 18 huevos al día, que Janet vende en el mercado.", "pt_BR")
    assert off_target(portuguese, "es")


@pytest.mark.usefixtures("records")
def test_a_language_that_the_model_does_not_have_is_undecided_in_its_script() -> None:
    for text in (ENGLISH, "Rezultadu é 18 ovu pa dia, ki Janet ta bende na merkadu."):
        assert undecided(text, "kea")
        assert line_pass(text, "kea") is None
    assert off_target("Результат — восемнадцать яиц в день.", "kea")
    assert undecided("ⵜⴰⵎⴰⵌⴰⵖⵜ ⵜⴰⵎⴰⵌⴰⵖⵜ", "taq")
    assert off_target("ⵜⴰⵎⴰⵌⴰⵖⵜ ⵜⴰⵎⴰⵌⴰⵖⵜ", "en")


def test_threads_find_what_one_finds() -> None:
    texts = (ROOT / "benchmarks" / "open_set.tsv").read_text(encoding="utf-8").splitlines()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(identify, texts)) == list(map(identify, texts))


# The page


@pytest.fixture(scope="module")
def benchmark() -> dict[str, Any]:
    return runpy.run_path(str(BENCHMARK))


def rows_of(benchmark: dict[str, Any], texts: dict[str, list[str]]) -> None:
    page = (ROOT / "docs" / "languages.md").read_text(encoding="utf-8").splitlines()
    for lang in texts:
        assert benchmark["language_row"](texts, lang) in page


def test_the_page_shows_what_the_benchmark_finds_in_the_open_set(benchmark: dict[str, Any]) -> None:
    rows_of(benchmark, benchmark["open_set"]())


def test_the_page_shows_what_the_benchmark_finds_in_the_real_sets(benchmark: dict[str, Any], real_data: Path) -> None:
    texts = benchmark["read"](real_data)
    rows_of(benchmark, {lang: texts[lang] for lang in ("te", "th", "es")})
