"""Which language a text is in, out of all that FLORES-200 and a small model share; undecided where it cannot be told.

The script decides where it can; within a script, py3langid's naive Bayes model of byte sequences does.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import cache, lru_cache
from typing import Any

from ldr_utils.languages.prose import prose, sentences
from ldr_utils.languages.table import LANGUAGES

# Chosen by the rule of benchmarks/identification.py on one half of its texts (docs/languages.md has the other half).
MARGIN = 6.0  # natural logarithm of how much likelier a language must be than another
LETTERS = 10  # that the model needs
WORDS = 2  # that must begin in lower case where there are cases: capitals alone may be names
SCRIPT_LETTERS = 4  # that say which script a text is in: fewer may be a symbol or a unit
WIDE = 3  # letters that a character of Chinese, Japanese or Korean counts as
HAN_LETTERS = 10 * WIDE  # without kana: fewer may be Chinese or Japanese
KANA = 0.1  # share of kana that makes East Asian text Japanese
LONGEST = 1000  # characters that the model reads

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
ur:urd_Arab uz:uzn_Latn vec:vec_Latn vi:vie_Latn xh:xho_Latn yo:yor_Latn yue:yue_Hant zh:zho_Hans zu:zul_Latn
"""
LABELS = {flores: label for label, flores in (pair.split(":") for pair in _FLORES.split())}
# Arabic's spoken varieties, Dari and the two ways to write Chinese are not told apart.
LABELS |= {f"{code}_Arab": "ar" for code in ("acm", "acq", "aeb", "ajp", "apc", "ars", "ary", "arz")}
LABELS |= {"prs_Arab": "fa", "zho_Hant": "zh"}

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
    words, script, letters = _reading(text)
    own = LABELS.get(LANGUAGES[lang].flores) if lang else None
    if lang and script not in _written_in(LANGUAGES[lang].flores):
        return _likeliest(words, script)[0] if _is_foreign(words, script, letters) else None
    if len(_known(script)) == 1 and letters >= SCRIPT_LETTERS:
        label: str | None = next(iter(_known(script)))
    else:
        label = _decided(words, script, own) if _is_enough(words, script, letters) else None
    label = label or _phrased(words)
    if lang and own is None:
        return None
    return lang if label == own and lang else label


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
    found = [identify(sentence, lang) for sentence in sentences(prose(text))]
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

    model = LanguageIdentifier.from_model_file(MODEL_FILE)
    model.set_languages(sorted(set(LABELS.values())))
    return model


@lru_cache(maxsize=256)
def _ranked(words: str) -> dict[str, float]:
    """Log-likelihood of every language, the likeliest first."""
    return dict(_model().rank(words[:LONGEST]))


def _likeliest(words: str, script: str) -> list[str]:
    """Languages written in ``script``, the likeliest first."""
    return [label for label in _ranked(words) if label in _known(script)] or ["und"]


@cache
def _known(script: str) -> frozenset[str]:
    """Languages of the model that are written in ``script``."""
    return frozenset(label for flores, label in LABELS.items() if script in _written_in(flores))


def _decided(words: str, script: str, own: str | None) -> str | None:
    """The likeliest language, where it is likelier by the margin than the one asked for, or than any other."""
    first, *others = _likeliest(words, script)
    rival = own if own and own != first else others[0]
    return first if _ranked(words)[first] - _ranked(words)[rival] >= MARGIN else None


def _phrased(words: str) -> str | None:
    """The language whose answer phrase stands in a text that is too short for the model."""
    spoken = {
        LABELS.get(record.flores)
        for record in LANGUAGES.values()
        for phrase in record.answer_phrases
        if phrase[-1].isalpha() and phrase.casefold() in words.casefold()
    }
    return spoken.pop() if len(spoken) == 1 else None


def _is_foreign(words: str, script: str, letters: int) -> bool:
    """Whether enough of the text is in a script to say that; Latin letters stand for names and units everywhere."""
    return _is_enough(words, script, letters) if script == "Latn" else letters >= SCRIPT_LETTERS


def _is_enough(words: str, script: str, letters: int) -> bool:
    """Whether the text has something for the model to judge by."""
    if script == "Hani":
        return letters >= HAN_LETTERS
    return letters >= LETTERS and sum(word[0] == word[0].lower() for word in _bare(words)) >= WORDS


def _bare(words: str) -> list[str]:
    stripped = (word.lstrip("\"'“”„«»‘’([{¿¡*_#-–—") for word in words.split())
    return [word for word in stripped if word and word[0].isalpha()]


@lru_cache(maxsize=256)
def _reading(text: str) -> tuple[str, str, int]:
    """The words of a text in the script that most of its letters are in, that script, and how many letters they are."""
    words = unicodedata.normalize("NFKC", prose(text))
    counts = Counter(script for char in words if (script := _script(char)))
    for script in ("Hani", "Kana", "Hang"):
        counts[script] *= WIDE
    east, kana = counts["Hani"] + counts["Kana"], counts.pop("Kana")
    if east and kana >= KANA * east:
        counts["Jpan"] = east
        counts.pop("Hani")
    if not counts.total():
        return "", "", 0
    script, letters = counts.most_common(1)[0]
    group = {"Hani", "Kana"} if script in ("Hani", "Jpan") else {script}
    kept = "".join(char if _script(char) in (group | {""}) else " " for char in words)
    return " ".join(kept.split()), script, letters


@lru_cache(maxsize=4096)
def _script(char: str) -> str:
    """The script of a letter; empty for what is no letter."""
    word = unicodedata.name(char, "").split(" ")[0]
    return _SCRIPTS.get(word, word) if char.isalpha() else ""


def _written_in(flores: str) -> set[str]:
    script = flores[4:]
    return _WRITTEN_IN.get(script, {script})
