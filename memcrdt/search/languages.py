# ruff: noqa: RUF001 - letters of other scripts look like Latin ones
"""Whether texts are English, as the included models are.

A text in another script is not. In Latin letters, the words decide that every sentence needs, and letters that English
does not have. A text with none of them, such as a name or a command, counts as English.
"""

from __future__ import annotations

import re
from typing import Final

from memcrdt.search.words import STOP_WORDS, written_out
from memcrdt.store.sql import SqlConnection

SAMPLE: Final = 200  # memories that are read, evenly spread
SHARE: Final = 0.1  # of the sample that is worth a hint
LEAST: Final = 5  # memories in the sample that are worth one
MULTILINGUAL: Final = "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"

_START_CHARS: Final = 200
_SAMPLED: Final = f"""
SELECT json_group_array(substr(text, 1, {_START_CHARS})) FROM memories
WHERE memory IN (SELECT CAST(value AS BIGINT) FROM json_each(?))"""
_WORD: Final = re.compile(r"[^\W\d_]+")
_ENGLISH_MODEL: Final = re.compile(r"static-|all-minilm|-en\b|-en-", re.IGNORECASE)
# The most frequent words of German, French, Spanish, Portuguese, Italian, Dutch, Polish, Turkish, Vietnamese, Swedish
# and Indonesian, without those that English has too.
_FREQUENT: Final = """
    der die das und ist nicht ein eine einen einem einer wir ich sie mit von den dem des auf für im zu wird sind hat
    auch nach bei aus wie zum zur sich am er es les des une est pas nous vous pour dans sur avec qui que sont ce cette
    au aux du ne et le la il elle el los las unos unas por para con del su sus es está no se lo como más pero y en de
    nao não uma um os as dos das na no em ao pela pelo com foi mais di che non sono della del alla nel gli una il het
    een van en niet dat met voor zijn op aan wordt jest nie się na do za po od dla przez oraz ale jak ma są z w i o ve
    bir bu için ile da olarak çok olan gibi daha ne var yok và là của không có được cho một những với các och att det
    som är inte på av den jag yang dan di itu dengan untuk tidak dari dalam ini
"""
_QUESTIONS: Final = """
    wo wann welche welcher welches wer was warum sind ou quel quelle quels quelles comment quand quoi où quién qué dónde
    cuándo cómo cuál cuáles onde quando quem gdzie kiedy który jaki jaka jakie jakiego jakiej jakim co kto где когда как
    какой какая какое какие какого каком кто что чем на в у за по к ко и не от до из с со о об для это nerede hangi
    nasıl zaman kim niçin đâu nào gì khi
"""
_ALSO_ENGLISH: Final = STOP_WORDS | {"die", "van", "den", "dan", "ale", "met", "en", "i", "o", "con", "comment", "kim"}
_OTHERS: Final = frozenset(f"{_FREQUENT} {_QUESTIONS}".split()) - _ALSO_ENGLISH
FUNCTION_WORDS: Final = frozenset(map(written_out, _OTHERS | {"die", "en", "i", "o"}))  # as words of queries are


def is_english(text: str) -> bool:
    """Return whether a text is English, or in no language that this can tell."""
    words = [word.lower() for word in _WORD.findall(text)]
    foreign = sum(not "\u0001" <= word[0] <= "\u024f" for word in words)
    if 2 * foreign > len(words):
        return False
    english = sum(word in STOP_WORDS for word in words)
    return sum(word in _OTHERS or not word.isascii() for word in words) <= english


def suggested_model(db: SqlConnection, model: str | None) -> str | None:
    """Return a hint if many memories are in other languages than the model's; None otherwise."""
    import json

    if model is None or not _ENGLISH_MODEL.search(model):
        return None
    last = int(db.execute("SELECT coalesce(max(memory), 0) FROM memories").get)
    sampled = list(range(last, 0, -max(1, last // SAMPLE)))[:SAMPLE]
    texts = json.loads(str(db.execute(_SAMPLED, (json.dumps(sampled),)).get))
    count = sum(not is_english(text) for text in texts)
    if count < max(LEAST, SHARE * len(texts)):
        return None
    share = round(100 * count / len(texts))
    return (
        f"about {share} % of the memories are not in English, but the model is;"
        f" `memcrdt model use --pull {MULTILINGUAL}` finds them by meaning, too"
    )
