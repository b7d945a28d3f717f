"""Word problems of one to three steps with worked answers: the micro world's counterpart of GSM8K and MGSM."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ldr_utils.micro.lexicon import LANGUAGES, PEOPLE, SW_HOW_MANY, THINGS, Person, Thing, counted, fr_de, ru_plural
from ldr_utils.micro.tasks import Task

# What happens in the question. {n} the person, {a} a counted object, {b} a bare number.
EVENTS: dict[str, dict[str, str]] = {
    "has": {"en": "{n} has {a}.", "es": "{n} tiene {a}.", "de": "{n} hat {a}.", "fr": "{n} a {a}.",
            "it": "{n} ha {a}.", "ru": "У {n_gen} {a}.", "sw": "{n} ana {a}."},
    "boxes": {"en": "{n} has {k} boxes. In each box there are {a}.",
              "es": "{n} tiene {k} cajas. En cada caja hay {a}.",
              "de": "{n} hat {k} Kisten. In jeder Kiste sind {a}.",
              "fr": "{n} a {k} boîtes. Dans chaque boîte, il y a {a}.",
              "it": "{n} ha {k} scatole. In ogni scatola ci sono {a}.",
              "ru": "У {n_gen} {k_boxes}. В каждой коробке {a}.",
              "sw": "{n} ana masanduku {k}. Katika kila sanduku kuna {a}."},
    "buy": {"en": "Then {n} buys {b} more.", "es": "Luego {n} compra {b} más.", "de": "Dann kauft {n} noch {b}.",
            "fr": "Puis {n} en achète {b} de plus.", "it": "Poi {n} ne compra {altri} {b}.",
            "ru": "Потом {n} покупает ещё {b}.", "sw": "Kisha {n} ananunua {b} zaidi."},
    "find": {"en": "After that {n} finds {b} more.", "es": "Después {n} encuentra {b} más.",
             "de": "Danach findet {n} noch {b}.", "fr": "Ensuite, {n} en trouve {b} de plus.",
             "it": "Dopo {n} ne trova {altri} {b}.", "ru": "После этого {n} находит ещё {b}.",
             "sw": "Baada ya hapo {n} anapata {b} zaidi."},
    "give": {"en": "Then {n} gives away {b}.", "es": "Luego {n} regala {b}.", "de": "Dann verschenkt {n} {b}.",
             "fr": "Puis {n} en donne {b}.", "it": "Poi {n} ne regala {b}.", "ru": "Потом {n} отдаёт {b}.",
             "sw": "Kisha {n} anatoa {b}."},
    "lose": {"en": "After that {n} loses {b}.", "es": "Después {n} pierde {b}.", "de": "Danach verliert {n} {b}.",
             "fr": "Ensuite, {n} en perd {b}.", "it": "Dopo {n} ne perde {b}.", "ru": "После этого {n} теряет {b}.",
             "sw": "Baada ya hapo {n} anapoteza {b}."},
    "ask": {"en": "How many {o} does {n} have now?", "es": "¿{Cuántos} {o} tiene {n} ahora?",
            "de": "Wie viele {o} hat {n} jetzt?", "fr": "Combien {de_o} {n} a-t-{il} maintenant ?",
            "it": "{Quanti} {o} ha {n} adesso?", "ru": "Сколько {o} у {n_gen} теперь?",
            "sw": "Sasa {n} ana {o} {ngapi}?"},
}

# The worked answer. {a} a counted object, {e} an equation.
STEPS: dict[str, dict[str, str]] = {
    "start": {"en": "At first {n} has {a}.", "es": "Al principio {n} tiene {a}.", "de": "Am Anfang hat {n} {a}.",
              "fr": "Au début, {n} a {a}.", "it": "All'inizio {n} ha {a}.", "ru": "Сначала у {n_gen} {a}.",
              "sw": "Mwanzoni {n} ana {a}."},
    "times": {"en": "In the boxes there are {a}.", "es": "En las cajas hay {a}.", "de": "In den Kisten sind {a}.",
              "fr": "Dans les boîtes, il y a {a}.", "it": "Nelle scatole ci sono {a}.", "ru": "В коробках {a}.",
              "sw": "Katika masanduku kuna {a}."},
    "plus": {"en": "Then there are {e}.", "es": "Entonces hay {e}.", "de": "Dann sind es {e}.",
             "fr": "Alors, il y en a {e}.", "it": "Allora ce ne sono {e}.", "ru": "Тогда их становится {e}.",
             "sw": "Kisha kuna {e}."},
    "minus": {"en": "After that {e} are left.", "es": "Después quedan {e}.", "de": "Danach bleiben {e} übrig.",
              "fr": "Ensuite, il en reste {e}.", "it": "Dopo ne restano {e}.", "ru": "После этого остаётся {e}.",
              "sw": "Baada ya hapo anabaki na {e}."},
    "answer": {"en": "The answer is {v}.", "es": "La respuesta es {v}.", "de": "Die Antwort ist {v}.",
               "fr": "La réponse est {v}.", "it": "La risposta è {v}.", "ru": "Ответ: {v}.", "sw": "Jibu ni {v}."},
}


def _slots(lang: str, person: Person, thing: Thing) -> dict[str, str]:
    """Agreement forms that the templates of ``lang`` may use."""
    noun = thing.plural[lang]
    feminine = lang in thing.feminine
    return {
        "n": person.name(lang),
        "n_gen": person.ru_genitive,
        "o": noun,
        "de_o": fr_de(noun),
        "il": "elle" if person.female else "il",
        "altri": "altre" if feminine else "altri",
        "Cuántos": "Cuántas" if feminine else "Cuántos",
        "Quanti": "Quante" if feminine else "Quanti",
        "ngapi": SW_HOW_MANY[thing.sw_class],
    }


@dataclass(frozen=True)
class _Event:
    """One sentence of the question; ``after`` is what the worked answer claims, right unless a slip was drawn."""

    name: str
    operand: int
    before: int
    after: int

    @property
    def equation(self) -> str:
        sign = {"boxes": "*", "buy": "+", "find": "+", "give": "-", "lose": "-"}[self.name]
        left, right = (self.operand, self.before) if self.name == "boxes" else (self.before, self.operand)
        return f"{left} {sign} {right} = {self.after}"


def _draw_events(rng: random.Random, steps: int, slip: float) -> list[_Event]:
    """Draw ``steps`` operations; every true value stays in 2..99, each result is wrong with probability ``slip``."""

    def claimed(result: int) -> int:
        return max(2, result + rng.choice((-1, 1)) * rng.randint(1, 9)) if slip and rng.random() < slip else result

    if rng.random() < 0.35:
        boxes, each = rng.randint(2, 9), rng.randint(2, 9)
        events = [_Event("boxes", boxes, each, claimed(boxes * each))]
    else:
        value = rng.randint(5, 60)
        events = [_Event("has", value, value, value)]
        steps += 1
    while len(events) < steps:
        value = events[-1].after
        if value > 60 or (value > 6 and rng.random() < 0.5):
            operand = rng.randint(2, min(value - 2, 39))
            events.append(_Event(rng.choice(("give", "lose")), operand, value, claimed(value - operand)))
        else:
            operand = rng.randint(2, 39)
            events.append(_Event(rng.choice(("buy", "find")), operand, value, claimed(value + operand)))
    return events


def _render(lang: str, events: list[_Event], person: Person, thing: Thing) -> tuple[str, str]:
    slots = _slots(lang, person, thing)
    question: list[str] = []
    answer: list[str] = []
    for event in events:
        if event.name == "has":
            amount = counted(lang, event.operand, thing)
            question.append(EVENTS["has"][lang].format(a=amount, **slots))
            answer.append(STEPS["start"][lang].format(a=amount, **slots))
        elif event.name == "boxes":
            boxes = f"{event.operand} {ru_plural(event.operand, 'коробка', 'коробки', 'коробок')}"
            each, total = (counted(lang, event.before, thing), counted(lang, event.after, thing, event.equation))
            question.append(EVENTS["boxes"][lang].format(k=event.operand, k_boxes=boxes, a=each, **slots))
            answer.append(STEPS["times"][lang].format(a=total, **slots))
        else:
            step = "plus" if event.name in ("buy", "find") else "minus"
            question.append(EVENTS[event.name][lang].format(b=event.operand, **slots))
            answer.append(STEPS[step][lang].format(e=event.equation, **slots))
    question.append(EVENTS["ask"][lang].format(**slots))
    answer.append(STEPS["answer"][lang].format(v=events[-1].after))
    return " ".join(question), " ".join(answer)


def _story(events: list[_Event]) -> list[str]:
    """The problem as asked, whatever slips its worked answer makes: each operation with the true value before it."""
    first = events[0]
    value = first.operand * first.before if first.name == "boxes" else first.operand
    story = [f"{first.name}:{first.operand}:{first.before if first.name == 'boxes' else 0}"]
    for event in events[1:]:
        story.append(f"{event.name}:{event.operand}:{value}")
        value += event.operand if event.name in ("buy", "find") else -event.operand
    return story


def word_problem(rng: random.Random, level: int, slip: float = 0.0) -> Task:
    """Draw a word problem of ``level`` arithmetic steps (1 to 3).

    Parameters
    ----------
    rng : random.Random
        Source of the draw.
    level : int
        Number of operations.
    slip : float
        Probability that a step of the worked answer is wrong (and later steps go on from it). Such answers serve as
        translation material only: a translator must carry over what stands there, not what should.

    Returns
    -------
    Task
        Its facts are the equations; its value is the final number.
    """
    person, thing = rng.choice(PEOPLE), rng.choice(THINGS)
    events = _draw_events(rng, level, slip)
    rendered = {lang: _render(lang, events, person, thing) for lang in LANGUAGES}
    equations = [event.equation for event in events if event.name != "has"]
    story = _story(events)
    return Task(
        family="arithmetic",
        kind="word_problem",
        level=level,
        key="|".join([person.latin, thing.singular["en"], *story]),
        prompt={lang: question for lang, (question, _) in rendered.items()},
        answer={lang: answer for lang, (_, answer) in rendered.items()},
        facts=dict.fromkeys(LANGUAGES, equations),
        value=events[-1].after,
    )
