"""Which language a text is in, out of all that FLORES-200 and a small model share; undecided where it cannot be told.

The script decides where it can; within a script, py3langid's naive Bayes model of byte sequences does.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import cache, lru_cache
from typing import Any, NamedTuple

from ldr_utils.languages.prose import prose, sentences
from ldr_utils.languages.table import LANGUAGES

# Chosen by the rule of benchmarks/identification.py on one half of its texts (docs/languages.md has the other half).
MARGIN = 9.0  # natural logarithm of how much likelier a language must be than another
LETTERS = 10  # that the model needs
WORDS = 2  # that must begin in lower case where there are cases: capitals alone may be names
SCRIPT_LETTERS = 4  # that say which script a text is in: fewer may be a symbol or a unit
WIDE = 3  # letters that a character of Chinese, Japanese or Korean counts as
HAN = 30  # characters without kana: fewer may be Japanese, if none of them tells
TELLING = 2  # characters that only one of the two writes with
KANA = 0.1  # share of kana that makes East Asian text Japanese
OWN = 0.25  # share of the asked language's letters in a text of mostly Latin ones that may be full of names
LONGEST = 1000  # characters that the model reads
EAST_ASIAN = ("Hani", "Kana", "Hang")
_OPENING = "\"'“”„«»‘’‚([{¿¡*_#|-–—"  # what a word may open with

# The languages that FLORES-200 and the model both have, by FLORES code, with the label of the model.
_FLORES = """
ace:ace_Latn af:afr_Latn am:amh_Ethi ar:arb_Arab as:asm_Beng az:azj_Latn ba:bak_Cyrl be:bel_Cyrl bg:bul_Cyrl
bn:ben_Beng bs:bos_Latn ca:cat_Latn crh:crh_Latn cs:ces_Latn cy:cym_Latn da:dan_Latn de:deu_Latn dz:dzo_Tibt
el:ell_Grek en:eng_Latn eo:epo_Latn es:spa_Latn et:est_Latn eu:eus_Latn fa:pes_Arab fi:fin_Latn fo:fao_Latn
fr:fra_Latn fuv:fuv_Latn ga:gle_Latn gd:gla_Latn gl:glg_Latn gu:guj_Gujr ha:hau_Latn he:heb_Hebr hi:hin_Deva
hr:hrv_Latn ht:hat_Latn hu:hun_Latn hy:hye_Armn id:ind_Latn ig:ibo_Latn is:isl_Latn it:ita_Latn ja:jpn_Jpan
jv:jav_Latn ka:kat_Geor kab:kab_Latn kik:kik_Latn kk:kaz_Cyrl km:khm_Khmr kn:kan_Knda ko:kor_Hang ku:kmr_Latn
ky:kir_Cyrl lb:ltz_Latn lg:lug_Latn lij:lij_Latn ln:lin_Latn lo:lao_Laoo lt:lit_Latn ltg:ltg_Latn lv:lvs_Latn
mg:plt_Latn mk:mkd_Cyrl ml:mal_Mlym mn:khk_Cyrl mr:mar_Deva ms:zsm_Latn mt:mlt_Latn my:mya_Mymr ne:npi_Deva
nl:nld_Latn nn:nno_Latn no:nob_Latn nso:nso_Latn oc:oci_Latn om:gaz_Latn or:ory_Orya pa:pan_Guru pl:pol_Latn
ps:pbt_Arab pt:por_Latn qu:quy_Latn ro:ron_Latn ru:rus_Cyrl rw:kin_Latn sa:san_Deva si:sin_Sinh sk:slk_Latn
sl:slv_Latn sn:sna_Latn so:som_Latn sq:als_Latn sr:srp_Cyrl st:sot_Latn sv:swe_Latn sw:swh_Latn ta:tam_Taml
te:tel_Telu tg:tgk_Cyrl th:tha_Thai tk:tuk_Latn tl:tgl_Latn tr:tur_Latn tt:tat_Cyrl ug:uig_Arab uk:ukr_Cyrl
ur:urd_Arab uz:uzn_Latn vec:vec_Latn vi:vie_Latn xh:xho_Latn yo:yor_Latn zh:zho_Hans zu:zul_Latn
"""
LABELS = {flores: label for label, flores in (pair.split(":") for pair in _FLORES.split())}
# Arabic's spoken varieties, Dari, Cantonese and the two ways to write Chinese are not told apart.
LABELS |= {f"{code}_Arab": "ar" for code in ("acm", "acq", "aeb", "ajp", "apc", "ars", "ary", "arz")}
LABELS |= {"prs_Arab": "fa", "yue_Hant": "zh", "zho_Hant": "zh"}

# Scripts as FLORES-200 writes them, by the word that the Unicode names of their letters begin with.
_SCRIPTS = {
    "LATIN": "Latn", "CYRILLIC": "Cyrl", "ARABIC": "Arab", "ARMENIAN": "Armn", "BENGALI": "Beng", "DEVANAGARI": "Deva",
    "ETHIOPIC": "Ethi", "GEORGIAN": "Geor", "GREEK": "Grek", "GUJARATI": "Gujr", "GURMUKHI": "Guru", "HANGUL": "Hang",
    "HEBREW": "Hebr", "KHMER": "Khmr", "KANNADA": "Knda", "LAO": "Laoo", "MALAYALAM": "Mlym", "MYANMAR": "Mymr",
    "ORIYA": "Orya", "SINHALA": "Sinh", "TAMIL": "Taml", "TELUGU": "Telu", "TIFINAGH": "Tfng", "THAI": "Thai",
    "TIBETAN": "Tibt", "CJK": "Hani", "HIRAGANA": "Kana", "KATAKANA": "Kana",
}  # fmt: skip
_WRITTEN_IN = {"Hans": {"Hani"}, "Hant": {"Hani"}, "Jpan": {"Hani", "Jpan"}}


def identify(text: str, lang: str | None = None) -> str | None:
    """Code of the language that ``text`` is in.

    Parameters
    ----------
    text : str
        An answer, or a part of one; what is no language in it (see `prose`) is left out.
    lang : str, optional
        The language asked for. It is then enough to tell whether the text is in it: between two others the likelier is
        named.

    Returns
    -------
    str or None
        ``lang``, another code of ISO 639 (``und`` for a script without a known language), or None: undecided. A
        language that the model does not know is undecided in its own script.
    """
    return _told(prose(text), lang)


def off_target(text: str, lang: str) -> bool:
    """Whether ``text`` is in another language than ``lang``; what is undecided is not."""
    return identify(text, lang) not in (lang, None)


def undecided(text: str, lang: str) -> bool:
    """Whether ``text`` does not tell if it is in ``lang``: too short, no language in it, or like two."""
    return identify(text, lang) is None


def line_pass(text: str, lang: str) -> bool | None:
    """Whether every sentence of ``text`` that can be told is in ``lang``; None where none can.

    The line-level measure of the Language Confusion Benchmark (Marchisio et al. 2024), but for two things: a sentence
    ends a line, for an answer of one paragraph may change its language; and lines are left out where they are
    undecided, not where they have fewer than five tokens.
    """
    found = [_told(sentence, lang) for sentence in sentences(prose(text))]
    decided = [code == lang for code in found if code is not None]
    return all(decided) if decided else None


def word_pass(text: str, lang: str) -> bool | None:
    """Whether no foreign word stands in ``text``; None where ``lang`` is written in Latin letters or a line is not.

    The word-level measure of the Language Confusion Benchmark: of answers that pass by line, whether they are without
    a lower-case English word of more than three letters. Here any word in Latin letters counts, without a dictionary,
    and every language that is written in another script.
    """
    if "Latn" in _written_in(LANGUAGES[lang].flores) or line_pass(text, lang) is not True:
        return None
    words = "".join(char if _script(char) == "Latn" else " " for char in prose(text)).split()
    return not any(len(word) > 3 and word.islower() for word in words)


def closest(text: str, languages: list[str]) -> str | None:
    """Which of ``languages`` a text is likeliest in, for a world that has no others; None when it has no letter."""
    if not any(map(str.isalpha, text)):
        return None
    labels = {LABELS.get(LANGUAGES[lang].flores): lang for lang in languages}
    return next((labels[label] for label in _ranked(text) if label in labels), None)


@cache
def _model() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE)


def _told(words: str, lang: str | None) -> str | None:
    """`identify` of a text that is all prose."""
    seen = _reading(words)
    own = LABELS.get(LANGUAGES[lang].flores) if lang else None
    if lang and seen.script not in _written_in(LANGUAGES[lang].flores):
        return _likeliest(seen)[0] if _is_foreign(seen, lang) else None
    if len(_known(seen.script)) == 1 and seen.letters[seen.script] >= SCRIPT_LETTERS:
        label: str | None = next(iter(_known(seen.script)))
    elif seen.script == "Hani":
        label = _chinese_or_japanese(seen.words) or _phrased(seen)
    else:
        label = (_decided(seen, own) if _is_enough(seen) else None) or _phrased(seen)
    if lang and own is None:
        return None
    return lang if label == own and lang else label


class _Reading(NamedTuple):
    """The words of a text in the script that most of its letters are in, that script, and the letters by script."""

    words: str
    script: str
    letters: Counter[str]


@lru_cache(maxsize=1024)
def _reading(words: str) -> _Reading:
    words = unicodedata.normalize("NFKC", words)
    letters: Counter[str] = Counter()
    for char, count in Counter(words).items():
        letters[_script(char)] += count * (WIDE if _script(char) in EAST_ASIAN else 1)
    letters.pop("", None)
    if letters.keys() & {"Hani", "Kana"}:
        kana, han = letters.pop("Kana", 0), letters.pop("Hani", 0)
        letters["Jpan" if kana >= KANA * (kana + han) else "Hani"] = kana + han
    script = max(letters, key=letters.__getitem__, default="")
    if len(letters) > 1:
        own = {"Hani", "Kana"} if script in ("Hani", "Jpan") else {script}
        words = "".join(char if _script(char) in own | {""} else " " for char in words)
    return _Reading(words, script, letters)


@lru_cache(maxsize=4096)
def _script(char: str) -> str:
    """The script of a letter; empty for what is no letter."""
    word = unicodedata.name(char, "").split(" ")[0]
    return _SCRIPTS.get(word, word) if char.isalpha() else ""


def _written_in(flores: str) -> set[str]:
    script = flores[4:]
    return _WRITTEN_IN.get(script, {script})


@cache
def _known(script: str) -> frozenset[str]:
    """Languages of the model that are written in ``script``."""
    return frozenset(label for flores, label in LABELS.items() if script in _written_in(flores))


@lru_cache(maxsize=1024)
def _ranked(words: str) -> dict[str, float]:
    """Log-likelihood of every language, the likeliest first."""
    return dict(_model().rank(words[:LONGEST]))


def _likeliest(seen: _Reading) -> list[str]:
    """Languages written in the script of a text, the likeliest first."""
    return [label for label in _ranked(seen.words) if label in _known(seen.script)] or ["und"]


def _decided(seen: _Reading, own: str | None) -> str | None:
    """The likeliest language, where it is likelier by the margin than the one asked for, or than any other."""
    first, *others = _likeliest(seen)
    rival = own if own and own != first else others[0]
    ranked = _ranked(seen.words)
    return first if ranked[first] - ranked[rival] >= MARGIN else None


def _chinese_or_japanese(words: str) -> str | None:
    """Which of the two is written with these characters, all or almost all of them Chinese ones.

    The model cannot tell: Japanese without kana is Chinese to it.
    """
    homes = Counter(map(_home, words))
    telling = {lang for lang in ("zh", "ja") if homes[lang] >= TELLING}
    if not telling and homes.total() - homes[""] >= HAN:
        return "zh"
    return telling.pop() if len(telling) == 1 else None


@lru_cache(maxsize=4096)
def _home(char: str) -> str:
    """The language whose standard sets of characters alone have this one; ``both``, or empty for what is no letter."""
    if not char.isalpha():
        return ""
    if not _is_in(char, "shift_jis"):
        return "zh"
    return "both" if _is_in(char, "gb2312") or _is_in(char, "big5") else "ja"


def _is_in(char: str, encoding: str) -> bool:
    return char.encode(encoding, "ignore") != b""


def _phrased(seen: _Reading) -> str | None:
    """The language whose answer phrase stands in a text that tells the model too little."""
    words = seen.words.casefold()
    spoken = {
        LABELS.get(record.flores)
        for record in LANGUAGES.values()
        if any(phrase[-1].isalpha() and phrase.casefold() in words for phrase in record.answer_phrases)
    }
    return spoken.pop() if len(spoken) == 1 else None


def _is_foreign(seen: _Reading, lang: str) -> bool:
    """Whether a text says that it is not in the script of ``lang``.

    Latin letters stand for names and terms in every script: they must be enough to judge by, and most of the text.
    """
    if seen.script != "Latn":
        return seen.letters[seen.script] >= SCRIPT_LETTERS
    own = sum(seen.letters[script] for script in _written_in(LANGUAGES[lang].flores))
    return _is_enough(seen) and own < OWN * seen.letters.total()


def _is_enough(seen: _Reading) -> bool:
    """Whether a text has something for the model to judge by."""
    words = (word.lstrip(_OPENING) for word in seen.words.split())
    lower = sum(1 for word in words if word and word[0].isalpha() and not word[0].isupper())
    return seen.letters[seen.script] >= LETTERS and lower >= WORDS
