"""The micro world: one content in seven languages, right by an independent count, and never shared between uses."""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter, defaultdict
from functools import cache

import pytest

from ldr_utils.data.sets import misaligned
from ldr_utils.judges.rubric import RubricJudge, content_share
from ldr_utils.judges.verdicts import Case
from ldr_utils.languages.identify import closest
from ldr_utils.languages.numbers import extract, gold_number
from ldr_utils.micro.arithmetic import word_problem
from ldr_utils.micro.examples import alpaca_record, mgsm_record
from ldr_utils.micro.instructions import KINDS
from ldr_utils.micro.lexicon import LANGUAGES, THINGS, ru_plural
from ldr_utils.micro.pretrain import document
from ldr_utils.micro.references import reference_answers
from ldr_utils.micro.sets import micro_sets
from ldr_utils.micro.tasks import Task
from ldr_utils.micro.world import draw_distinct, use_of
from ldr_utils.study.params import DataParams
from ldr_utils.study.records import DataSet, Prompt

WOMEN = {"Anna", "Emma", "Laura", "Nora", "Vera", "Sara"}
KIND_NAMES = ("introduce", "order", "filter", "compare", "count")
EQUATION = re.compile(r"(\d+) ([-+*]) (\d+) = (\d+)")


@cache
def arithmetic(n: int = 300, slip: float = 0.0) -> list[Task]:
    rng = random.Random(11)
    return [word_problem(rng, 1 + k % 3, slip) for k in range(n)]


@cache
def instructions(n: int = 300) -> list[Task]:
    rng = random.Random(12)
    return [KINDS[KIND_NAMES[k % 5]](rng, 1 + k // 5 % 3) for k in range(n)]


@cache
def sets() -> dict[str, DataSet]:
    params = DataParams(prompts_per_iteration=300, mgsm_problems=150, alpaca_prompts=150)
    return micro_sets(params)


def every_task() -> list[Task]:
    return arithmetic() + instructions()


# Draws


def test_there_are_the_five_kinds() -> None:
    assert tuple(KINDS) == KIND_NAMES


def test_a_seed_decides_everything() -> None:
    params = DataParams(prompts_per_iteration=20, mgsm_problems=10, alpaca_prompts=10)
    assert micro_sets(params) == micro_sets(params)
    other = micro_sets(params.model_copy(update={"seed": 1}))
    for name, by_language in micro_sets(params).items():
        assert not {r["problem"] for r in by_language["en"]} & {r["problem"] for r in other[name]["en"]}


def test_sets_have_the_sizes_and_shares_asked_for() -> None:
    for t in range(2):
        families = Counter(r["family"] for r in sets()[f"iteration{t}"]["en"])
        assert families == {"arithmetic": 180, "instruction": 120}
    assert {r["family"] for r in sets()["mgsm"]["en"]} == {"arithmetic"}
    assert {r["kind"] for r in sets()["x_alpacaeval"]["en"]} == set(KIND_NAMES)
    assert all(len(records) == 150 for name in ("mgsm", "x_alpacaeval") for records in sets()[name].values())
    assert set(sets()["iteration0"]) == {"en", "es", "ru", "de", "fr"}
    assert set(sets()["mgsm"]) == set(LANGUAGES)


def test_ids_are_aligned_and_unique_in_every_language() -> None:
    for by_language in sets().values():
        assert misaligned(by_language) == []
        ids = [record["id"] for record in by_language["en"]]
        assert len(set(ids)) == len(ids)
        for rows in zip(*by_language.values(), strict=True):
            assert len({(r["problem"], r["level"], r["kind"]) for r in rows}) == 1
        assert all(r["lang"] == lang for lang, records in by_language.items() for r in records)


def test_no_problem_serves_two_sets() -> None:
    counts = Counter(record["problem"] for by_language in sets().values() for record in by_language["en"])
    assert len(counts) == 2 * 300 + 150 + 150
    prompts = Counter(record["prompt"] for by_language in sets().values() for record in by_language["en"])
    assert max(prompts.values()) == 1


def test_draws_for_two_uses_never_meet_whatever_the_seeds() -> None:
    drawn = {
        use: {
            task.key
            for seed in range(3)
            for task in draw_distinct(random.Random(seed), 400, use, lambda k: ("arithmetic", "instruction")[k % 2])
        }
        for use in ("pretrain", "prompts", "test")
    }
    for use, keys in drawn.items():
        assert len(keys) > 700
        assert {use_of(key) for key in keys} == {use}


def test_one_question_has_one_key_even_where_a_slip_spoils_its_answer() -> None:
    """Uses are told apart by key: a question under two keys could be pretrained on as well as tested."""
    keys: dict[str, set[str]] = defaultdict(set)
    for slip in (0.0, 0.5):
        rng = random.Random(13)
        for _ in range(6000):
            task = word_problem(rng, 2, slip)
            keys[task.prompt["en"]].add(task.key)
    assert len(keys) < 11_990, "too few repeated questions to tell"
    assert {question: found for question, found in keys.items() if len(found) > 1} == {}


def test_pretraining_questions_are_reserved_for_pretraining() -> None:
    asked = {record["prompt"] for by_language in sets().values() for rs in by_language.values() for record in rs}
    rng = random.Random(14)
    assert not asked & {document(rng, 0.5, 0.5)[0] for _ in range(3000)}


# Surface


@pytest.mark.parametrize("lang", LANGUAGES)
def test_rendered_text_is_clean(lang: str) -> None:
    for task in every_task():
        for text in (task.prompt[lang], task.answer[lang]):
            assert not re.search(r"[{}]|None|  |\n", text), text
            assert text == text.strip()
            assert not re.search(r" [.,]|\.\.|,,", text), text
            if lang == "fr":
                assert not re.search(r"\b[dl]e [aeiouéèœ]|[dl]'[^aeiouéèœ]", text), text
                assert not re.search(r"\w[:?]", text), f"French sets a space before : and ?: {text}"
            else:
                assert not re.search(r" [:?!]", text), text
        assert task.answer[lang].endswith(".")


@pytest.mark.parametrize("lang", LANGUAGES)
def test_numbers_are_the_same_in_every_language(lang: str) -> None:
    for task in every_task():
        for side in (task.prompt, task.answer):
            assert re.findall(r"\d+", side[lang]) == re.findall(r"\d+", side["en"]), side[lang]


def test_russian_is_cyrillic_and_the_others_are_not() -> None:
    for task in every_task():
        for lang in LANGUAGES:
            found = re.search("[а-яёА-ЯЁ]" if lang != "ru" else "[a-zA-Z]", task.prompt[lang] + task.answer[lang])
            assert found is None, (lang, found)


@pytest.mark.parametrize(
    ("number", "form"),
    [
        (0, "книг"), (1, "книга"), (2, "книги"), (4, "книги"), (5, "книг"), (10, "книг"), (11, "книг"), (12, "книг"),
        (14, "книг"), (20, "книг"), (21, "книга"), (22, "книги"), (25, "книг"), (101, "книга"), (111, "книг"),
        (112, "книг"), (122, "книги"),
    ],
)  # fmt: skip
def test_russian_count_forms(number: int, form: str) -> None:
    assert ru_plural(number, "книга", "книги", "книг") == form


def test_russian_text_uses_the_form_its_number_needs() -> None:
    forms = {(t.singular["ru"], t.ru_few, t.ru_many) for t in THINGS}
    forms |= {("коробка", "коробки", "коробок"), ("год", "года", "лет"), ("раз", "раза", "раз")}
    by_word = {form: triple for triple in forms for form in triple}
    seen: Counter[int] = Counter()
    for task in every_task():
        if task.kind == "filter":  # "больше 20 книг" is a genitive, whatever the number
            continue
        for text in (task.prompt["ru"], task.answer["ru"]):
            for number, word in re.findall(r"(\d+) ([а-яё]+)", text):
                last, teen = int(number[-1]), int(number) % 100 in range(11, 15)
                which = 2 if teen else {1: 0, 2: 1, 3: 1, 4: 1}.get(last, 2)
                if word in by_word:
                    assert word == by_word[word][which], text
                    seen[which] += 1
    assert min(seen.values()) >= 20
    assert len(seen) == 3


# Arithmetic


def solved(question: str) -> list[int]:
    """Every intermediate value of an English word problem, from its text alone."""
    values: list[int] = []
    for sentence in re.findall(r"[^.?]+[.?]", question):
        numbers = [int(n) for n in re.findall(r"\d+", sentence)]
        if "boxes" in sentence or not numbers:
            boxes = numbers
        elif "In each box" in sentence:
            values.append(boxes[0] * numbers[0])
        elif re.search("buys|finds", sentence):
            values.append(values[-1] + numbers[0])
        elif re.search("gives away|loses", sentence):
            values.append(values[-1] - numbers[0])
        else:
            assert re.fullmatch(r"\w+ has \d+ \w+\.", sentence.strip()), sentence
            values.append(numbers[0])
    return values


def test_worked_answers_are_right() -> None:
    for task in arithmetic(1500):
        values = solved(task.prompt["en"])
        assert task.value == values[-1]
        assert all(2 <= value <= 99 for value in values), task.prompt["en"]
        equations = EQUATION.findall(task.answer["en"])
        assert len(equations) == task.level
        assert [int(result) for *_, result in equations] == values[-task.level :]
        for left, sign, right, result in equations:
            truth = {"+": int(left) + int(right), "-": int(left) - int(right), "*": int(left) * int(right)}
            assert truth[sign] == int(result)
        assert task.facts["en"] == [" ".join((a, s, b, "=", c)) for a, s, b, c in equations]


def test_every_worked_answer_holds_the_equations_and_ends_with_the_value() -> None:
    for task in arithmetic():
        for lang in LANGUAGES:
            assert all(fact in task.answer[lang] for fact in task.facts[lang])
            assert re.findall(r"\d+", task.answer[lang])[-1] == str(task.value)


def test_slips_spoil_some_answers_and_later_steps_go_on_from_them() -> None:
    wrong = 0
    for task in arithmetic(600, slip=0.3):
        truth = solved(task.prompt["en"])[-1]
        wrong += task.value != truth
        equations = EQUATION.findall(task.answer["en"])
        assert re.findall(r"\d+", task.answer["en"])[-1] == equations[-1][3] == str(task.value)
        for before, after in itertools.pairwise(equations):
            assert before[3] == after[0]
    assert 0.3 < wrong / 600 < 0.7  # 1 - .7^level on average, less what cancels


@pytest.mark.parametrize("lang", LANGUAGES)
def test_grader_accepts_every_gold_answer_and_no_other_number(lang: str) -> None:
    for k, task in enumerate(arithmetic()):
        record = mgsm_record(task, str(k), lang)
        assert extract(record["solution"], lang).value == gold_number(record["gold"]), record["solution"]


# Instructions: the English answer from the English prompt


def introduced(prompt: str) -> str:
    details = dict(re.findall(r"(\w+): (\w+)\.", prompt))
    she = "She" if details["Name"] in WOMEN else "He"
    sentences = [f"{details['Name']} is {details['Age']} years old. {she} lives in {details['City']}."]
    if "Drink" in details:
        sentences.append(f"{she} likes {details['Drink']}.")
    if "Pet" in details:
        sentences.append(f"{she} has a {details['Pet']}.")
    return " ".join(sentences)


def answered(kind: str, prompt: str) -> str:
    holdings = {name: int(n) for name, n in re.findall(r"(\w+): (\d+)", prompt)}
    if kind == "introduce":
        return introduced(prompt)
    if kind == "order":
        numbers = sorted(int(n) for n in re.findall(r"\d+", prompt))
        return f"The numbers from smallest to largest are: {', '.join(map(str, numbers))}."
    if kind == "filter":
        ((threshold, things),) = re.findall(r"more than (\d+) (\w+)\?", prompt)
        names = [name for name, n in holdings.items() if n > int(threshold)]
        return f"These people have more than {threshold} {things}: {', '.join(names)}."
    if kind == "compare":
        best = max(holdings, key=lambda name: holdings[name])
        (things,) = re.findall(r"most (\w+)", prompt)
        return f"{best} has the most {things}: {holdings[best]}."
    (word,) = re.findall(r'"(\w+)"', prompt)
    items = prompt.split("? ")[1].removesuffix(".").split(", ")
    return f'The word "{word}" appears {items.count(word)} times.'


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_instruction_answers_are_right(kind: str) -> None:
    tasks = [task for task in instructions() if task.kind == kind]
    assert len(tasks) == 60
    for task in tasks:
        assert task.answer["en"] == answered(kind, task.prompt["en"])


def test_owners_differ_and_a_filter_names_some_but_not_all() -> None:
    for task in instructions():
        if task.kind in ("filter", "compare"):
            holdings = re.findall(r"(\w+): (\d+)", task.prompt["en"])
            assert len({name for name, _ in holdings}) == len({n for _, n in holdings}) == task.level + 2
        if task.kind == "filter":
            assert 2 <= len(task.facts["en"]) < len(holdings)
            assert sorted(task.facts["en"] + task.wrong["en"]) == sorted(name for name, _ in holdings)


# Judging


@pytest.mark.parametrize("lang", LANGUAGES)
def test_language_of_every_gold_answer_is_recognised(lang: str) -> None:
    texts = {task.answer[lang] for task in every_task()}
    assert {text for text in texts if closest(text, list(LANGUAGES)) != lang} == set()


def records(lang: str) -> list[tuple[Task, Prompt]]:
    return [(task, alpaca_record(task, str(k), lang, "")) for k, task in enumerate(every_task())]


def preference(judge: RubricJudge, record: Prompt, first: str, second: str) -> float | None:
    return judge.prefer([Case(record, first, second)])[0].preference


@pytest.mark.parametrize("lang", LANGUAGES)
def test_judge_gives_full_marks_to_gold_answers_only(lang: str) -> None:
    judge = RubricJudge(list(LANGUAGES))
    other = "de" if lang == "en" else "en"
    for task, record in records(lang):
        gold = task.answer[lang]
        assert judge.points(record, gold) == 10.0, gold
        assert judge.points(record, gold[: len(gold) // 2]) <= 8.0, "broken off"
        assert judge.points(record, gold.removesuffix(".")) < 10.0
        assert judge.points(record, task.answer[other]) <= 8.0, "another language"
        assert judge.points(record, " ".join([gold] * 3)) < 10.0, "rambling"
        assert judge.points(record, "") == judge.points(record, " \n") == 0.0
        assert preference(judge, record, gold, gold[: len(gold) // 2]) == 1.0
        assert preference(judge, record, "", gold) == 0.0
        assert preference(judge, record, gold, gold) == 0.5


@pytest.mark.parametrize("lang", LANGUAGES)
def test_judge_takes_points_for_wrong_content(lang: str) -> None:
    judge = RubricJudge(list(LANGUAGES))
    for task, record in records(lang):
        gold = task.answer[lang]
        numbers = re.findall(r"\d+", gold)
        if task.kind in ("word_problem", "compare", "count"):
            wrong = gold.replace(numbers[-1], str(int(numbers[-1]) + 1))
        elif task.kind == "order":
            wrong = gold.replace(f"{numbers[0]}, {numbers[1]}", f"{numbers[1]}, {numbers[0]}")
        elif task.kind == "filter":
            wrong = gold.removesuffix(".") + f", {task.wrong[lang][0]}."
        else:
            wrong = gold.replace(numbers[0], str(int(numbers[0]) + 1))
        assert wrong != gold
        assert judge.points(record, wrong) <= 9.0, wrong
        assert preference(judge, record, gold, wrong) == 1.0


def test_unfinished_arithmetic_loses_the_weight_of_its_result() -> None:
    task = arithmetic()[2]
    record = alpaca_record(task, "0", "en", "")
    steps = task.answer["en"].rpartition(" The answer is")[0]
    assert content_share(record["rubric"], task.answer["en"]) == 1.0
    assert content_share(record["rubric"], steps + " The answer is 1000.") == 0.5
    assert content_share(record["rubric"], f"The answer is {task.value}.") == 0.5


def test_references_are_of_middling_quality_in_every_language() -> None:
    judge = RubricJudge(list(LANGUAGES))
    for lang in LANGUAGES:
        rows = sets()["x_alpacaeval"][lang]
        points = [judge.points(record, record["reference"]) for record in rows]
        assert 5 < sum(points) / len(points) < 8.8
        assert 0.25 < sum(p == 10 for p in points) / len(points) < 0.6


def test_references_are_flawed_in_the_same_way_in_every_language() -> None:
    rng = random.Random(15)
    judge = RubricJudge(list(LANGUAGES))
    for task in instructions():
        references = reference_answers(task, rng)
        assert references.keys() == set(LANGUAGES)
        assert len({references[lang] == task.answer[lang] for lang in LANGUAGES}) == 1, references
        graded = {lang: alpaca_record(task, "0", lang, references[lang]) for lang in LANGUAGES}
        assert len({judge.points(r, r["reference"]) == 10 for r in graded.values()}) == 1, references
        if all(text.endswith(".") for text in references.values()):
            shares = {round(content_share(r["rubric"], r["reference"]), 9) for r in graded.values()}
            assert len(shares) == 1, references
