"""Five kinds of instructions that are skills, not memorised facts: the micro world's Alpagasus and X-AlpacaEval.

Each kind draws its content once and renders it in every language; the level (1 to 3) sets how long the list or how
many the attributes are.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from ldr_utils.micro.lexicon import (
    CITIES,
    DRINKS,
    LANGUAGES,
    LATIN,
    PEOPLE,
    PETS,
    SW_MANY,
    THINGS,
    Person,
    fr_de,
    ru_plural,
)
from ldr_utils.micro.tasks import Task

INTRODUCE = {
    "en": ("Introduce this person in full sentences. Name: {n}. Age: {age}. City: {city}.", " Drink: {drink}.",
           " Pet: {pet}."),
    "es": ("Presenta a esta persona con frases completas. Nombre: {n}. Edad: {age}. Ciudad: {city}.",
           " Bebida: {drink}.", " Mascota: {pet}."),
    "de": ("Stelle diese Person in ganzen Sätzen vor. Name: {n}. Alter: {age}. Stadt: {city}.", " Getränk: {drink}.",
           " Haustier: {pet}."),
    "fr": ("Présente cette personne avec des phrases complètes. Nom : {n}. Âge : {age}. Ville : {city}.",
           " Boisson : {drink}.", " Animal : {pet}."),
    "it": ("Presenta questa persona con frasi complete. Nome: {n}. Età: {age}. Città: {city}.", " Bevanda: {drink}.",
           " Animale: {pet}."),
    "ru": ("Расскажи об этом человеке полными предложениями. Имя: {n}. Возраст: {age}. Город: {city}.",
           " Напиток: {drink}.", " Питомец: {pet}."),
    "sw": ("Mtambulishe mtu huyu kwa sentensi kamili. Jina: {n}. Umri: {age}. Mji: {city}.", " Kinywaji: {drink}.",
           " Mnyama: {pet}."),
}
INTRODUCED = {
    "en": ("{n} is {age} years old. {She} lives in {city}.", " {She} likes {drink}.", " {She} has {pet}."),
    "es": ("{n} tiene {age} años. Vive en {city}.", " Le gusta {drink}.", " Tiene {pet}."),
    "de": ("{n} ist {age} Jahre alt. {She} wohnt in {city}.", " {She} trinkt gern {drink}.", " {She} hat {pet}."),
    "fr": ("{n} a {age} ans. {She} habite à {city}.", " {She} aime {drink}.", " {She} a {pet}."),
    "it": ("{n} ha {age} anni. Vive a {city}.", " {She} piace {drink}.", " Ha {pet}."),
    "ru": ("{n_dat} {age} {years}. {She} живёт в {city}.", " {She} любит {drink}.", " {Her} есть {pet}."),
    "sw": ("{n} ana umri wa miaka {age}. Anaishi {city}.", " Anapenda {drink}.", " Ana {pet}."),
}
# Subject pronoun by (female, male); Italian uses the dative pronoun of "piacere".
SHE = {"en": ("She", "He"), "es": ("", ""), "de": ("Sie", "Er"), "fr": ("Elle", "Il"), "it": ("Le", "Gli"),
       "ru": ("Она", "Он"), "sw": ("", "")}

ORDER = {
    "en": ("Put these numbers in order from smallest to largest: {x}.",
           "The numbers from smallest to largest are: {x}."),
    "es": ("Ordena estos números de menor a mayor: {x}.", "Los números de menor a mayor son: {x}."),
    "de": ("Ordne diese Zahlen von der kleinsten zur größten: {x}.",
           "Die Zahlen von der kleinsten zur größten sind: {x}."),
    "fr": ("Range ces nombres du plus petit au plus grand : {x}.",
           "Les nombres du plus petit au plus grand sont : {x}."),
    "it": ("Ordina questi numeri dal più piccolo al più grande: {x}.",
           "I numeri dal più piccolo al più grande sono: {x}."),
    "ru": ("Расположи эти числа от меньшего к большему: {x}.", "Вот эти числа от меньшего к большему: {x}."),
    "sw": ("Panga namba hizi kutoka ndogo hadi kubwa: {x}.", "Namba kutoka ndogo hadi kubwa ni: {x}."),
}

FILTER = {
    "en": ("Who has more than {t} {o}? {x}.", "These people have more than {t} {o}: {y}."),
    "es": ("¿Quiénes tienen más de {t} {o}? {x}.", "Estas personas tienen más de {t} {o}: {y}."),
    "de": ("Wer hat mehr als {t} {o}? {x}.", "Diese Personen haben mehr als {t} {o}: {y}."),
    "fr": ("Qui a plus de {t} {o} ? {x}.", "Ces personnes ont plus de {t} {o} : {y}."),
    "it": ("Chi ha più di {t} {o}? {x}.", "Queste persone hanno più di {t} {o}: {y}."),
    "ru": ("У кого больше {t} {o}? {x}.", "Вот люди, у которых больше {t} {o}: {y}."),
    "sw": ("Akina nani wana {o} zaidi ya {t}? {x}.", "Watu hawa wana {o} zaidi ya {t}: {y}."),
}

COMPARE = {
    "en": ("Who has the most {o}? {x}.", "{n} has the most {o}: {v}."),
    "es": ("¿Quién tiene más {o}? {x}.", "{n} es quien tiene más {o}: {v}."),
    "de": ("Wer hat die meisten {o}? {x}.", "{n} hat die meisten {o}: {v}."),
    "fr": ("Qui a le plus {de_o} ? {x}.", "C'est {n} qui a le plus {de_o} : {v}."),
    "it": ("Chi ha più {o} di tutti? {x}.", "{n} ha più {o} di tutti: {v}."),
    "ru": ("У кого больше всего {o}? {x}.", "Больше всего {o} у {n_gen}: {v}."),
    "sw": ("Nani ana {o} {ingi} zaidi? {x}.", "{n} ana {o} {ingi} zaidi: {v}."),
}

COUNT = {
    "en": ('How many times does the word "{o}" appear in this list? {x}.', 'The word "{o}" appears {v} times.'),
    "es": ("¿Cuántas veces aparece la palabra «{o}» en esta lista? {x}.", "La palabra «{o}» aparece {v} veces."),
    "de": ("Wie oft kommt das Wort „{o}“ in dieser Liste vor? {x}.", "Das Wort „{o}“ kommt {v} Mal vor."),
    "fr": ("Combien de fois le mot « {o} » apparaît-il dans cette liste ? {x}.", "Le mot « {o} » apparaît {v} fois."),
    "it": ("Quante volte compare la parola «{o}» in questa lista? {x}.", "La parola «{o}» compare {v} volte."),
    "ru": ("Сколько раз слово «{o}» встречается в этом списке? {x}.", "Слово «{o}» встречается {v} {raz}."),
    "sw": ('Neno "{o}" linaonekana mara ngapi katika orodha hii? {x}.', 'Neno "{o}" linaonekana mara {v}.'),
}


def introduce(rng: random.Random, level: int) -> Task:
    """Turn two to four attributes of a person into sentences."""
    person, city, age = rng.choice(PEOPLE), rng.choice(CITIES), rng.randint(5, 90)
    (drink, liked), (pet, owned) = rng.choice(DRINKS), rng.choice(PETS)
    prompt, answer, facts = {}, {}, {}
    for lang in LANGUAGES:
        content = {
            "n": person.name(lang), "n_dat": person.ru_dative, "age": age,
            "years": ru_plural(age, "год", "года", "лет"),
            "She": SHE[lang][0 if person.female else 1], "Her": "У неё" if person.female else "У него",
        }
        bare = {"city": city[lang], "drink": drink[lang], "pet": pet[lang]}
        woven = {"city": city.get(f"{lang}_in", city[lang]), "drink": liked.get(lang, drink[lang]),
                 "pet": owned.get(lang, pet[lang])}
        prompt[lang] = "".join(INTRODUCE[lang][:level]).format(**content, **bare)
        answer[lang] = "".join(INTRODUCED[lang][:level]).format(**content, **woven)
        facts[lang] = answer[lang].removesuffix(".").split(". ")
    key = "|".join(["introduce", person.latin, str(age), city["en"], *[drink["en"], pet["en"]][: level - 1]])
    return Task("instruction", "introduce", level, key, prompt, answer, facts)


def order(rng: random.Random, level: int) -> Task:
    """Sort three to five two-digit numbers."""
    numbers = rng.sample(range(10, 100), level + 2)
    if numbers == sorted(numbers):  # an answer that only repeats the list must not be right
        return order(rng, level)
    shown, ordered = (", ".join(map(str, row)) for row in (numbers, sorted(numbers)))
    return Task(
        "instruction", "order", level, f"order|{shown}",
        prompt={lang: ORDER[lang][0].format(x=shown) for lang in LANGUAGES},
        answer={lang: ORDER[lang][1].format(x=ordered) for lang in LANGUAGES},
        facts={lang: [ordered] for lang in LANGUAGES},
    )


def _owners(rng: random.Random, level: int) -> tuple[list[Person], list[int], dict[str, str]]:
    """Draw three to five people with distinct two-digit holdings, and the list "Anna: 12, Ivan: 25" by language."""
    people = rng.sample(PEOPLE, level + 2)
    numbers = rng.sample([n for n in range(10, 100) if n % 10], level + 2)
    pairs = list(zip(people, numbers, strict=True))
    shown = {lang: ", ".join(f"{p.name(lang)}{_colon(lang)} {n}" for p, n in pairs) for lang in LANGUAGES}
    return people, numbers, shown


def _colon(lang: str) -> str:
    return " :" if lang == "fr" else ":"


def filter_people(rng: random.Random, level: int) -> Task:
    """Name the people above a threshold: at least two of them, and never all."""
    people, numbers, shown = _owners(rng, level)
    thing = rng.choice(THINGS)
    thresholds = [t for t in range(10, 100, 10) if 2 <= sum(n > t for n in numbers) < len(numbers)]
    if not thresholds:
        return filter_people(rng, level)
    threshold = rng.choice(thresholds)
    above = [p for p, n in zip(people, numbers, strict=True) if n > threshold]
    below = [p for p in people if p not in above]
    prompt, answer = {}, {}
    for lang in LANGUAGES:
        slots = {"t": threshold, "o": thing.plural[lang], "x": shown[lang], "y": ", ".join(p.name(lang) for p in above)}
        prompt[lang] = FILTER[lang][0].format(**slots)
        answer[lang] = FILTER[lang][1].format(**slots)
    return Task(
        "instruction", "filter", level, f"filter|{thing.singular['en']}|{threshold}|{shown['en']}", prompt, answer,
        facts={lang: [p.name(lang) for p in above] for lang in LANGUAGES},
        wrong={lang: [p.name(lang) for p in below] for lang in LANGUAGES},
    )


def compare(rng: random.Random, level: int) -> Task:
    """Name the person who has the most, and how many."""
    people, numbers, shown = _owners(rng, level)
    thing, best = rng.choice(THINGS), max(numbers)
    winner = people[numbers.index(best)]
    prompt, answer = {}, {}
    for lang in LANGUAGES:
        noun = thing.plural[lang]
        slots = {"o": noun, "de_o": fr_de(noun), "ingi": SW_MANY[thing.sw_class], "x": shown[lang], "v": best,
                 "n": winner.name(lang), "n_gen": winner.ru_genitive}
        prompt[lang] = COMPARE[lang][0].format(**slots)
        answer[lang] = COMPARE[lang][1].format(**slots)
    named = dict.fromkeys(LATIN, winner.latin) | {"ru": winner.ru_genitive}
    return Task(
        "instruction", "compare", level, f"compare|{thing.singular['en']}|{shown['en']}", prompt, answer,
        facts={lang: [named[lang], str(best)] for lang in LANGUAGES},
    )


def count(rng: random.Random, level: int) -> Task:
    """Count how often a word stands in a list of four, six or eight."""
    length = 2 + 2 * level
    thing, *others = rng.sample(THINGS, 4)
    times = rng.randint(2, length - 1)
    words = [thing] * times + [rng.choice(others) for _ in range(length - times)]
    rng.shuffle(words)
    prompt, answer = {}, {}
    for lang in LANGUAGES:
        slots = {"o": thing.singular[lang], "x": ", ".join(w.singular[lang] for w in words), "v": times,
                 "raz": ru_plural(times, "раз", "раза", "раз")}
        prompt[lang] = COUNT[lang][0].format(**slots)
        answer[lang] = COUNT[lang][1].format(**slots)
    key = "|".join(["count", thing.singular["en"], *(w.singular["en"] for w in words)])
    facts = {lang: [str(times)] for lang in LANGUAGES}
    return Task("instruction", "count", level, key, prompt, answer, facts)


KINDS: dict[str, Callable[[random.Random, int], Task]] = {
    "introduce": introduce,
    "order": order,
    "filter": filter_people,
    "compare": compare,
    "count": count,
}
