"""Compounds: words that have parts, such as names in code, paths, versions, addresses, and words with a hyphen.

SQLite's tokenizer sees only some of it: it splits get_user_name, keeps getUserName, and drops the signs of C++, #4711
and --dry-run. So the index gets the other spelling of each compound, too: the whole as one word, and the parts. The
whole of a name has no signs: getUserName, get_user_name and get-user-name have the same, and `email` is that of
`e-mail`. Where the sign matters, SEP stands for it: 2.10 is not 210, and --force is more than `force`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

SEP: Final = "\ue000"  # of Unicode's private use, which the tokenizer takes for a letter

# A capital inside a word, as in getUser and in HTTPServer.
_CAPITAL: Final = "[A-Z](?:(?<=[a-z0-9][A-Z])|[A-Z][a-z])"
_SIGN: Final = r"(?:_*(?:://|::|[-\u2010\u2011./:@\\])_*|_+)"
_FLAG: Final = r"(?<![\w-])--?(?=[A-Za-z])"
_ISSUE: Final = r"(?<![\w&#/])\#(?=[A-Za-z0-9])"
_AFTER: Final = r"\+\+|\#"  # of languages: C++, C#
_END: Final = r"(?![^\W_])"
# A word in small letters that a space or a sentence's sign ends has no other spelling. Most words are such.
_PLAIN: Final = r"[A-Z]?[a-z0-9]+(?:[.:]?(?:\s|\Z)|[,;!?)])"
# Most texts have no compound. This says so in a tenth of the time.
_ANY: Final = re.compile(rf"[-_./:@\\#+\u2010\u2011][A-Za-z0-9+]|[A-Za-z0-9]\#|{_CAPITAL}")
_NAME: Final = re.compile(
    rf"(?<![^\W_])(?!{_PLAIN})(?P<before>{_FLAG}|{_ISSUE})?(?P<name>[A-Za-z0-9]+(?:{_SIGN}[A-Za-z0-9]+)*)(?P<after>{_AFTER})?{_END}"
)
_JOINED: Final = re.compile(r"[-_\u2010\u2011]+")
# Where the parts of a name begin: HTTPServer has two, and so has HTMLv2Page.
_PART_BEGINS: Final = re.compile("(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_CAPITAL_INSIDE: Final = re.compile(_CAPITAL)
_PART: Final = re.compile("[A-Za-z0-9]+")
_NAME_CHARS: Final = 64  # a longer word is no name
_NAME_PARTS: Final = 8  # a random token may have more
_PATH_CHARS: Final = 96
_PATH_PARTS: Final = 12
_VERSION: Final = re.compile("^v(?=[0-9])")  # v2.10 is 2.10
# Signs that names of code have, and words of sentences do not. "U.S", "CS:GO", "and/or" and "9/11" have none of them.
_OF_CODE: Final = re.compile(
    r"^(?:--?[A-Za-z]|\#|v[0-9])|_|::|@|\\|://|[A-Za-z0-9]{2}\.[A-Za-z][A-Za-z0-9]|[A-Za-z0-9]/[^/]+/[A-Za-z0-9]"
    r"|[0-9][.-][0-9]+[.-][0-9]|^[A-Z]{2,}-[0-9]"
)
_LANGUAGES: Final = {"++": "plusplus", "#": "sharp"}  # as people spell them where signs are not allowed


class Compound(NamedTuple):
    """A word that is also spelled in another way.

    Attributes:
        start: Its place in the text, in characters.
        text: The word as it is in the text, with its signs.
        whole: The whole as one word of the index, in lower case.
        parts: Its parts, as they are in the text.
    """

    start: int
    text: str
    whole: str
    parts: tuple[str, ...]

    @property
    def is_camel(self) -> bool:
        """Whether capitals alone separate the parts, so that the tokenizer takes it for one word."""
        return self.text.isalnum()

    @property
    def is_hyphenated(self) -> bool:
        """Whether it is words with hyphens, such as self-care, which many people write as two words."""
        return "-" in self.text and "".join(self.parts).isalpha() and self.text == "-".join(self.parts)

    @property
    def is_of_code(self) -> bool:
        """Whether it is a name that no sentence has by chance: of code, a file, a version, an address or an issue."""
        return is_camel_of_code(self.parts) if self.is_camel else _OF_CODE.search(self.text) is not None


def compounds(text: str) -> Iterator[Compound]:
    """Yield the compounds in a text that is folded."""
    if _ANY.search(text) is None:
        return
    for found in _NAME.finditer(text):
        if (made := _compound(found)) is not None:
            yield made


def has_capital_inside(text: str) -> bool:
    """Return whether a word in a text has a capital inside, so that camel_parts() may split it."""
    return _CAPITAL_INSIDE.search(text) is not None


def camel_parts(word: str) -> list[str]:
    """Return the parts of a name that capitals separate; the word itself if it is no name, or too long for one."""
    if len(word) > _NAME_CHARS or not has_capital_inside(word):
        return [word]
    parts = _PART_BEGINS.split(word)
    return parts if len(parts) <= _NAME_PARTS else [word]


def is_camel_of_code(parts: Sequence[str]) -> bool:
    """Return whether the parts that capitals separate are those of a name of code.

    Names of products, such as GitHub and iPhone, have two parts, and begin with a capital or a single letter.
    """
    return len(parts) > 2 or (len(parts) > 1 and parts[0].islower() and len(parts[0]) > 1)


def _compound(found: re.Match[str]) -> Compound | None:
    before, name, after = found["before"], found["name"], found["after"]
    pieces = _PART.findall(name)
    if not (before or after or len(pieces) > 1 or has_capital_inside(name)):
        return None
    parts = tuple(part for piece in pieces for part in camel_parts(piece))
    is_path = not name.replace("_", "").isalnum()
    if len(name) > (_PATH_CHARS if is_path else _NAME_CHARS) or len(parts) > (_PATH_PARTS if is_path else _NAME_PARTS):
        return None
    if not (before or after or len(parts) > 1):
        return None
    whole = _VERSION.sub("", _whole(name, pieces))
    if before:
        whole = SEP + whole
    if after:
        whole += _LANGUAGES[after]
    return Compound(found.start(), found[0], whole.lower(), parts)


def _whole(name: str, pieces: list[str]) -> str:
    """Return the name without hyphens and underscores between letters, and with SEP for other signs."""
    whole, place = pieces[0], len(pieces[0])
    for one, other in pairwise(pieces):
        behind = name.index(other, place)
        is_joined = _JOINED.fullmatch(name, place, behind) and not (one[-1].isdigit() and other[0].isdigit())
        whole += other if is_joined else SEP + other
        place = behind + len(other)
    return whole
