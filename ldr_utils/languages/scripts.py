"""Scripts: which one a letter belongs to, how it is typed without accents, which known languages are written in it."""

from __future__ import annotations

import unicodedata
from functools import cache, lru_cache

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

# Letters of the Latin, Greek and Cyrillic scripts without their accents; elsewhere such marks are letters.
_PLAIN = {k: unicodedata.normalize("NFD", chr(k))[0] for k in (*range(0xC0, 0x530), *range(0x1E00, 0x2000))}
_PLAIN |= dict(zip(map(ord, "đłøıĐŁØ"), "dloiDLO", strict=True))

# Scripts as FLORES-200 writes them, by the word that the Unicode names of their letters begin with.
_SCRIPTS = {
    "LATIN": "Latn", "CYRILLIC": "Cyrl", "ARABIC": "Arab", "ARMENIAN": "Armn", "BENGALI": "Beng", "DEVANAGARI": "Deva",
    "ETHIOPIC": "Ethi", "GEORGIAN": "Geor", "GREEK": "Grek", "GUJARATI": "Gujr", "GURMUKHI": "Guru", "HANGUL": "Hang",
    "HEBREW": "Hebr", "KHMER": "Khmr", "KANNADA": "Knda", "LAO": "Laoo", "MALAYALAM": "Mlym", "MYANMAR": "Mymr",
    "ORIYA": "Orya", "SINHALA": "Sinh", "TAMIL": "Taml", "TELUGU": "Telu", "TIFINAGH": "Tfng", "THAI": "Thai",
    "TIBETAN": "Tibt", "CJK": "Hani", "IDEOGRAPHIC": "Hani", "HIRAGANA": "Kana", "KATAKANA": "Kana",
    "KATAKANA-HIRAGANA": "Kana",
}  # fmt: skip
_WRITTEN_IN = {"Hans": {"Hani"}, "Hant": {"Hani"}, "Jpan": {"Hani", "Jpan"}}


@lru_cache(maxsize=4096)
def script_of(char: str) -> str:
    """The script of a letter; empty for what is no letter."""
    word = unicodedata.name(char, "").split(" ")[0]
    return _SCRIPTS.get(word, word) if char.isalpha() else ""


def written_in(flores: str) -> set[str]:
    """Scripts of a text in a language, by its FLORES code."""
    script = flores[4:]
    return _WRITTEN_IN.get(script, {script})


@cache
def known(script: str) -> frozenset[str]:
    """Languages of the model that are written in ``script``."""
    return frozenset(label for flores, label in LABELS.items() if script in written_in(flores))


@lru_cache(maxsize=4096)
def home(char: str) -> str:
    """The language whose standard sets of characters alone have this one; ``both``, or empty for what is no letter."""
    if not char.isalpha():
        return ""
    if not _is_in(char, "shift_jis"):
        return "zh"
    return "both" if _is_in(char, "gb2312") or _is_in(char, "big5") else "ja"


def _is_in(char: str, encoding: str) -> bool:
    return char.encode(encoding, "ignore") != b""


def plain(text: str) -> str:
    """``text`` without accents, as it is often typed: of the same length."""
    return unicodedata.normalize("NFC", text).translate(_PLAIN)
