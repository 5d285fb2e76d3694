"""Outputs that speak to an assistant: "ignore your previous instructions", "call cancel_job".

They are told by phrases of seven languages. This is a reason to look, not a defence: other words do the same.
"""

import re

import polars as pl

# Each phrase has one of these; most outputs have none, which one fast pass tells.
_NOUNS = ("instruc", "instruç", "anweisung", "vorgabe", "consigne", "prompt", "guideline", "_job")
_EASTERN_NOUNS = ("指令", "指示", "提示", "命令", "プロンプト")
_BLANK = r"(?:\s|\\[nrt])+"


def _words(*choices: str) -> str:
    """Any number of these words, each before a blank."""
    return f"(?:(?:{'|'.join(choices)}){_BLANK})"


_NAMES = (
    r"\W{0,3}(?:[a-z0-9_]*_)?(?:(?:list|summarize)_jobs|(?:get|cancel|wait_for)_job|get_job_status"
    r"|(?:get|query|export|compare)_job_results)"
)
_TOOLS = f"{_NAMES}(?:[^a-z0-9_]|$)"
_TOOL_WORDS = ("tool", "function", "herramienta", "ferramenta", "outil", "werkzeug")
_ARTICLES = f"{_words('the', 'das', 'den', 'el', 'la', 'le', 'l', 'o', 'a', *_TOOL_WORDS)}{{0,2}}"
_INSTRUCTIONS = "instru(?:cciones|ções)"
_EARLIER = f"(?:anteriores|previas|prévias|iniciales|iniciais|acima|del?{_BLANK}sistema)"
_NO_STOP = r"[^。\x{ff01}\x{ff1f}]"
_FORGET = r"(?:ください|下さい|、|。|$|[^はも])"
_PHRASES = {
    "English": (
        (
            rf"\b(?:ignor(?:e|ing)|disregard|forget|override){_BLANK}"
            rf"{_words('all', 'any', 'of', 'the', 'my', 'these')}*"
            rf"{_words('all', 'your', 'previous', 'prior', 'above', 'earlier', 'preceding', 'system')}+"
            "(?:instruction|prompt|guideline)"
        ),
        (
            rf"\b(?:ignore|disregard|forget){_BLANK}{_words('all', 'any', 'of', 'the')}*instructions{_BLANK}"
            rf"(?:above\b|before{_BLANK}this|you{_BLANK}(?:were|have{_BLANK}been|got){_BLANK}given)"
        ),
        (
            rf"\b(?:reveal|show|print|repeat|output|disclose){_BLANK}(?:me{_BLANK})?your{_BLANK}"
            rf"{_words('full', 'entire', 'hidden', 'original', 'initial')}"
            rf"*(?:system{_BLANK})?(?:prompt\b|instructions)"
        ),
        rf"\b(?:call|invoke|execute|run|use|trigger){_BLANK}{_ARTICLES}{_TOOLS}",
    ),
    "German": (
        (
            rf"\b(?:ignorier(?:e|en|t)|vergiss|vergessen|missachte[nt]?){_BLANK}"
            rf"{_words('sie', 'die', 'bitte')}*"
            rf"{_words('alle', 'deine', 'ihre', '(?:bisherig|vorherig|obig|früher|vorangegangen)en?')}+"
            "(?:anweisung|instruktion|vorgabe|prompt)"
        ),
        rf"\b(?:rufe?|führe?){_BLANK}{_ARTICLES}{_NAMES}\W{{1,3}}(?:auf|aus)\b",
    ),
    "Spanish and Portuguese": (
        (
            rf"\b(?:ignor[ae]|olvid[ae]|esqueça|descart[ae]|desconsidere){_BLANK}"
            rf"{_words('todas', 'las', 'as', 'de')}*"
            rf"(?:{_words('tus', 'suas', 'tuas')}{_INSTRUCTIONS}|{_words('sus')}"
            rf"?{_INSTRUCTIONS}{_BLANK}{_EARLIER})"
        ),
        rf"\b(?:llama|ejecuta|usa|invoca|chame|execute|use){_BLANK}(?:a{_BLANK})?{_ARTICLES}{_TOOLS}",
    ),
    "French": (
        (
            rf"\b(?:ignore[zr]?|oublie[zr]?|négligez?){_BLANK}{_words('toutes', 'les', 'ces')}*"
            rf"(?:{_words('tes', 'vos')}(?:instructions|consignes)"
            rf"|(?:instructions|consignes){_BLANK}(?:précédentes|antérieures|initiales|ci-dessus|du{_BLANK}système))"
        ),
        rf"\b(?:appelle[zr]?|exécute[zr]?|utilise[zr]?){_BLANK}{_ARTICLES}{_TOOLS}",
    ),
    "Chinese": (
        (
            rf"(?:忽略|无视|無視|忘记|忘掉|不要遵守|不要理会)(?:[^了。\x{{ff01}}\x{{ff1f}}]{{0,8}}?)"
            rf"(?:之前|以前|先前|此前|上面|以上|前面|所有|你的|您的|系统){_NO_STOP}{{0,8}}?(?:指令|指示|提示|命令)"
        ),
        rf"(?:调用|执行|运行|使用)(?:工具|函数)?{_TOOLS}",
    ),
    "Japanese": (
        (
            rf"(?:以前|これまで|今まで|前|上記|すべて|全て|あなた|システム){_NO_STOP}{{0,10}}?(?:指示|命令|プロンプト)"
            rf"{_NO_STOP}{{0,4}}?(?:無視(?:して{_FORGET}|し(?:ろ|なさい)|せよ)|忘れ(?:て{_FORGET}|ろ|なさい))"
        ),
        rf"{_NAMES}\W{{0,3}}を(?:呼び出|実行|使)",
    ),
}
_PHRASE = "(?i)" + "|".join(f"(?:{phrase})" for phrases in _PHRASES.values() for phrase in phrases)
# The same verbs in the opposite sense, which are taken out.
_NEGATED = (
    rf"(?i)(?:\b(?:not|never|cannot|without|no|não|nunca|nie|niemals)|n['\x{{2019}}]t){_BLANK}(?:to{_BLANK})?"
    r"(?:ignor|disregard|forget|overrid|olvid|esque|descart|desconsider|vergess|missacht)\w*"
    r"|(?:不要|别|別|不能|不可|勿)(?:忽略|无视|無視|忘记|忘掉)"
)
# Letters that look like others, and characters that are not seen, written or escaped.
_ODD = r"[\x{ad}\x{200b}-\x{200f}\x{2060}-\x{2064}\x{feff}\x{ff21}-\x{ff5a}]"
_ODD_ESCAPED = r"\\u(?:00ad|200[b-f]|206[0-4]|feff|ff[2-5])"
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


def _escaped(text: str) -> str:
    """As JSON may write it."""
    return "".join(each if each.isascii() else rf"\u{ord(each):04x}" for each in text)


_WRITTEN = {form for noun in (*_NOUNS, *_EASTERN_NOUNS) for form in (noun, _escaped(noun))}
_NOUN = "(?i)" + "|".join([*map(re.escape, sorted(_WRITTEN)), _ODD, _ODD_ESCAPED])


def addresses_assistants(texts: pl.Series) -> pl.Series:
    """Whether a text speaks to an assistant; false for null."""
    found = texts.str.contains(_NOUN).fill_null(value=False)
    if not found.any():
        return found
    some = texts.filter(found)
    escaped = some.str.contains(r"\u", literal=True)
    if escaped.any():
        read = [_ESCAPE.sub(_character, text) for text in some.filter(escaped)]
        some = some.scatter(escaped.arg_true(), pl.Series(read, dtype=pl.String))
    odd = some.str.contains(_ODD)
    if odd.any():
        plain = some.filter(odd).str.normalize("NFKC").str.replace_all(r"\p{Cf}", "")
        some = some.scatter(odd.arg_true(), plain)
    return found.scatter(found.arg_true(), some.str.replace_all(_NEGATED, "").str.contains(_PHRASE))


def _character(match: re.Match[str]) -> str:
    code = int(match.group(1), 16)
    return "\ufffd" if 0xD800 <= code < 0xE000 else chr(code)
