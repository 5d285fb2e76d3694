"""Names that people type are found in any case of their letters, and however their accents are composed.

One keyboard writes é as one character, another as two, which look the same. Values are never compared so.
"""

from collections.abc import Iterable
from unicodedata import normalize


def composed(text: str) -> str:
    """`text` with accents composed, as one of its forms that look the same."""
    return text if text.isascii() else normalize("NFC", text)


def folded(text: str | None) -> str:
    """`text` for comparing: letters in any case, and accents however they are composed."""
    return composed(composed(text or "").casefold())


def matching(name: str, names: Iterable[str]) -> str:
    """The one of `names` that differs from `name` in case and composition alone; `name` if none does."""
    known = tuple(names)
    if name in known:
        return name
    wanted = folded(name)
    return next((each for each in known if folded(each) == wanted), name)
