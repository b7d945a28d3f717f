"""Words of the micro world in its seven languages, and the grammar that binds them to numbers.

Every table is a dict from language code to surface form, so that one language-free draw (a person, an object, a
number) renders to the same content everywhere. Nouns that follow a number carry the forms their language needs:
Russian counts with three cases, Swahili puts the number last and agrees with the noun class.
"""

from __future__ import annotations

from dataclasses import dataclass

DOMINANT = "en"
TRAINED = ("en", "es", "ru", "de", "fr")
UNSEEN = ("it", "sw")
LANGUAGES = TRAINED + UNSEEN

LATIN = tuple(lang for lang in LANGUAGES if lang != "ru")


@dataclass(frozen=True)
class Person:
    """A person: Latin spelling, grammatical gender, and the Russian nominative, genitive and dative."""

    latin: str
    female: bool
    ru: str
    ru_genitive: str
    ru_dative: str

    def name(self, lang: str) -> str:
        return self.ru if lang == "ru" else self.latin


PEOPLE = (
    Person("Anna", True, "Анна", "Анны", "Анне"),
    Person("Emma", True, "Эмма", "Эммы", "Эмме"),
    Person("Laura", True, "Лаура", "Лауры", "Лауре"),
    Person("Nora", True, "Нора", "Норы", "Норе"),
    Person("Vera", True, "Вера", "Веры", "Вере"),
    Person("Sara", True, "Сара", "Сары", "Саре"),
    Person("Ivan", False, "Иван", "Ивана", "Ивану"),
    Person("Omar", False, "Омар", "Омара", "Омару"),
    Person("Adam", False, "Адам", "Адама", "Адаму"),
    Person("Martin", False, "Мартин", "Мартина", "Мартину"),
    Person("Robert", False, "Роберт", "Роберта", "Роберту"),
    Person("David", False, "Давид", "Давида", "Давиду"),
)


@dataclass(frozen=True)
class Thing:
    """A countable object.

    ``singular`` and ``plural`` hold one form a language; ``feminine`` lists the languages in which the plural takes
    feminine agreement. ``ru_few`` is the genitive singular (2-4 книги), ``ru_many`` the genitive plural (5 книг).
    ``sw_class`` is the Swahili agreement prefix of the plural noun class.
    """

    singular: dict[str, str]
    plural: dict[str, str]
    feminine: frozenset[str]
    ru_few: str
    ru_many: str
    sw_class: str


def _thing(forms: dict[str, tuple[str, str]], feminine: str, ru: tuple[str, str, str], sw_class: str) -> Thing:
    nominative, few, many = ru
    singular = {lang: pair[0] for lang, pair in forms.items()} | {"ru": nominative}
    plural = {lang: pair[1] for lang, pair in forms.items()} | {"ru": many}
    return Thing(singular, plural, frozenset(feminine.split()), few, many, sw_class)


THINGS = (
    _thing(
        {"en": ("book", "books"), "es": ("libro", "libros"), "de": ("Buch", "Bücher"), "fr": ("livre", "livres"),
         "it": ("libro", "libri"), "sw": ("kitabu", "vitabu")},
        "", ("книга", "книги", "книг"), "vi"),
    _thing(
        {"en": ("coin", "coins"), "es": ("moneda", "monedas"), "de": ("Münze", "Münzen"), "fr": ("pièce", "pièces"),
         "it": ("moneta", "monete"), "sw": ("sarafu", "sarafu")},
        "es it", ("монета", "монеты", "монет"), "n"),
    _thing(
        {"en": ("egg", "eggs"), "es": ("huevo", "huevos"), "de": ("Ei", "Eier"), "fr": ("œuf", "œufs"),
         "it": ("uovo", "uova"), "sw": ("yai", "mayai")},
        "it", ("яйцо", "яйца", "яиц"), "ma"),
    _thing(
        {"en": ("apple", "apples"), "es": ("manzana", "manzanas"), "de": ("Apfel", "Äpfel"), "fr": ("pomme", "pommes"),
         "it": ("mela", "mele"), "sw": ("tofaa", "matofaa")},
        "es it", ("яблоко", "яблока", "яблок"), "ma"),
    _thing(
        {"en": ("flower", "flowers"), "es": ("flor", "flores"), "de": ("Blume", "Blumen"), "fr": ("fleur", "fleurs"),
         "it": ("fiore", "fiori"), "sw": ("ua", "maua")},
        "es", ("цветок", "цветка", "цветов"), "ma"),
    _thing(
        {"en": ("cup", "cups"), "es": ("taza", "tazas"), "de": ("Tasse", "Tassen"), "fr": ("tasse", "tasses"),
         "it": ("tazza", "tazze"), "sw": ("kikombe", "vikombe")},
        "es it", ("чашка", "чашки", "чашек"), "vi"),
    _thing(
        {"en": ("card", "cards"), "es": ("carta", "cartas"), "de": ("Karte", "Karten"), "fr": ("carte", "cartes"),
         "it": ("carta", "carte"), "sw": ("kadi", "kadi")},
        "es it", ("карта", "карты", "карт"), "n"),
    _thing(
        {"en": ("ball", "balls"), "es": ("pelota", "pelotas"), "de": ("Ball", "Bälle"), "fr": ("ballon", "ballons"),
         "it": ("pallone", "palloni"), "sw": ("mpira", "mipira")},
        "es", ("мяч", "мяча", "мячей"), "mi"),
    _thing(
        {"en": ("pencil", "pencils"), "es": ("lápiz", "lápices"), "de": ("Bleistift", "Bleistifte"),
         "fr": ("crayon", "crayons"), "it": ("matita", "matite"), "sw": ("penseli", "penseli")},
        "it", ("карандаш", "карандаша", "карандашей"), "n"),
    _thing(
        {"en": ("lemon", "lemons"), "es": ("limón", "limones"), "de": ("Zitrone", "Zitronen"),
         "fr": ("citron", "citrons"), "it": ("limone", "limoni"), "sw": ("limau", "malimau")},
        "", ("лимон", "лимона", "лимонов"), "ma"),
)

SW_HOW_MANY = {"vi": "vingapi", "n": "ngapi", "ma": "mangapi", "mi": "mingapi"}
SW_MANY = {"vi": "vingi", "n": "nyingi", "ma": "mengi", "mi": "mingi"}

# City: the bare name, and the name as it stands after "lives in" (Russian: the prepositional case).
CITIES: tuple[dict[str, str], ...] = (
    {"en": "Rome", "es": "Roma", "de": "Rom", "fr": "Rome", "it": "Roma", "sw": "Roma", "ru": "Рим", "ru_in": "Риме"},
    {"en": "Paris", "es": "París", "de": "Paris", "fr": "Paris", "it": "Parigi", "sw": "Paris", "ru": "Париж",
     "ru_in": "Париже"},
    {"en": "London", "es": "Londres", "de": "London", "fr": "Londres", "it": "Londra", "sw": "London", "ru": "Лондон",
     "ru_in": "Лондоне"},
    {"en": "Madrid", "es": "Madrid", "de": "Madrid", "fr": "Madrid", "it": "Madrid", "sw": "Madrid", "ru": "Мадрид",
     "ru_in": "Мадриде"},
    {"en": "Berlin", "es": "Berlín", "de": "Berlin", "fr": "Berlin", "it": "Berlino", "sw": "Berlin", "ru": "Берлин",
     "ru_in": "Берлине"},
    {"en": "Moscow", "es": "Moscú", "de": "Moskau", "fr": "Moscou", "it": "Mosca", "sw": "Moscow", "ru": "Москва",
     "ru_in": "Москве"},
    {"en": "Vienna", "es": "Viena", "de": "Wien", "fr": "Vienne", "it": "Vienna", "sw": "Vienna", "ru": "Вена",
     "ru_in": "Вене"},
    {"en": "Lisbon", "es": "Lisboa", "de": "Lissabon", "fr": "Lisbonne", "it": "Lisbona", "sw": "Lisbon",
     "ru": "Лиссабон", "ru_in": "Лиссабоне"},
)

# Drink: the bare noun, and the noun with the article that "likes" takes in es, fr and it (Russian: the accusative).
DRINKS: tuple[tuple[dict[str, str], dict[str, str]], ...] = (
    ({"en": "tea", "es": "té", "de": "Tee", "fr": "thé", "it": "tè", "sw": "chai", "ru": "чай"},
     {"es": "el té", "fr": "le thé", "it": "il tè"}),
    ({"en": "coffee", "es": "café", "de": "Kaffee", "fr": "café", "it": "caffè", "sw": "kahawa", "ru": "кофе"},
     {"es": "el café", "fr": "le café", "it": "il caffè"}),
    ({"en": "milk", "es": "leche", "de": "Milch", "fr": "lait", "it": "latte", "sw": "maziwa", "ru": "молоко"},
     {"es": "la leche", "fr": "le lait", "it": "il latte"}),
    ({"en": "water", "es": "agua", "de": "Wasser", "fr": "eau", "it": "acqua", "sw": "maji", "ru": "вода"},
     {"es": "el agua", "fr": "l'eau", "it": "l'acqua", "ru": "воду"}),
    ({"en": "juice", "es": "zumo", "de": "Saft", "fr": "jus", "it": "succo", "sw": "juisi", "ru": "сок"},
     {"es": "el zumo", "fr": "le jus", "it": "il succo"}),
    ({"en": "lemonade", "es": "limonada", "de": "Limonade", "fr": "limonade", "it": "limonata", "sw": "limonadi",
      "ru": "лимонад"},
     {"es": "la limonada", "fr": "la limonade", "it": "la limonata"}),
)

# Pet: the bare noun, and the noun as it stands after "has" (indefinite article, German accusative).
PETS: tuple[tuple[dict[str, str], dict[str, str]], ...] = (
    ({"en": "dog", "es": "perro", "de": "Hund", "fr": "chien", "it": "cane", "sw": "mbwa", "ru": "собака"},
     {"en": "a dog", "es": "un perro", "de": "einen Hund", "fr": "un chien", "it": "un cane"}),
    ({"en": "cat", "es": "gato", "de": "Katze", "fr": "chat", "it": "gatto", "sw": "paka", "ru": "кошка"},
     {"en": "a cat", "es": "un gato", "de": "eine Katze", "fr": "un chat", "it": "un gatto"}),
    ({"en": "horse", "es": "caballo", "de": "Pferd", "fr": "cheval", "it": "cavallo", "sw": "farasi", "ru": "лошадь"},
     {"en": "a horse", "es": "un caballo", "de": "ein Pferd", "fr": "un cheval", "it": "un cavallo"}),
    ({"en": "rabbit", "es": "conejo", "de": "Kaninchen", "fr": "lapin", "it": "coniglio", "sw": "sungura",
      "ru": "кролик"},
     {"en": "a rabbit", "es": "un conejo", "de": "ein Kaninchen", "fr": "un lapin", "it": "un coniglio"}),
    ({"en": "parrot", "es": "loro", "de": "Papagei", "fr": "perroquet", "it": "pappagallo", "sw": "kasuku",
      "ru": "попугай"},
     {"en": "a parrot", "es": "un loro", "de": "einen Papagei", "fr": "un perroquet", "it": "un pappagallo"}),
)


def ru_plural(n: int, one: str, few: str, many: str) -> str:
    """Russian form after the number ``n``: 21 книга, 22 книги, 25 книг, 11 книг."""
    if n % 10 == 1 and n % 100 != 11:
        return one
    if n % 10 in (2, 3, 4) and n % 100 not in (12, 13, 14):
        return few
    return many


def counted(lang: str, n: int, thing: Thing, shown: str | None = None) -> str:
    """``n`` things as a noun phrase, n >= 2.

    ``shown`` replaces the number in print ("4 * 6 = 24") while ``n`` still decides the form.
    """
    number = shown or str(n)
    if lang == "ru":
        return f"{number} {ru_plural(n, thing.singular['ru'], thing.ru_few, thing.ru_many)}"
    if lang == "sw":
        return f"{thing.plural['sw']} {number}"
    return f"{number} {thing.plural[lang]}"


def fr_de(noun: str) -> str:
    """French ``de`` before a noun, elided before a vowel: de livres, d'œufs."""
    return f"d'{noun}" if noun[0] in "aeiouœ" else f"de {noun}"
