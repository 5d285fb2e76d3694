"""Values that a host was to fill in and did not.

Hosts differ in which placeholders they fill in (`${NAME}`, `${env:NAME}`, `%NAME%`); one that a host does not
know reaches the server as it is. Sent as a key it is refused, and its user makes a new key in vain.
"""

import re

KEY_PLACEHOLDER = "your-sutro-api-key"

_UNSET = re.compile(r"\s*($|\$\{user_config\.)")
_PLACEHOLDER = re.compile(r"\$\{.*\}|\$[A-Za-z_]\w*|\{(\{.*\}|env:.*)\}|%[^%]+%|<[^<>]+>", re.DOTALL)
_QUOTED = re.compile(r"""(["'`]).*\1""", re.DOTALL)
# A placeholder can be shown unless it is as long as a key, or has the prefix of one.
_SHOWN = re.compile(r"(?!.*\bsk[-_])[\w .:${}%<>-]{1,60}", re.ASCII | re.IGNORECASE)
_LONG = re.compile(r"[A-Za-z0-9]{24}")


def is_unset(value: str) -> bool:
    """Whether `value` is blank, or the setting of a desktop bundle that its user left empty."""
    return _UNSET.match(value) is not None


def unfilled(value: str) -> str | None:
    """Why `value` cannot be meant, as the end of a sentence about its variable; None if it can."""
    value = value.strip()
    if _PLACEHOLDER.fullmatch(value) or value == KEY_PLACEHOLDER:
        is_shown = _SHOWN.fullmatch(value) and not _LONG.search(value)
        shown = f"the placeholder {value}" if is_shown else "a placeholder"
        return f"holds {shown}: your host did not fill it in"
    if _QUOTED.fullmatch(value):
        return "holds its value in quotes: your host passed them on"
    return None
