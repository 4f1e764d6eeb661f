"""Words of other languages, and the hint that the model is English."""
# ruff: noqa: RUF001 - letters of other scripts look like Latin ones

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import memcrdt
from memcrdt.memory.memory import Memory
from memcrdt.search.embedders.embedder import UserEmbedder
from memcrdt.search.languages import MULTILINGUAL, is_english

FACTS = json.loads((Path(__file__).parents[2] / "benchmarks/languages.json").read_text("utf-8"))
ENGLISH = [
    "The ferry to the island leaves at nine.",
    "The naïve owner of the café has sent a résumé",
    "git push --force",
    "El Paso and La Paz are cities",
    "Ana: we met in São Paulo, which is in Brazil",
]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Das Druckerpasswort liegt im Tresor", "drucker* im Keller"),
        ("Das Passwort des Druckers liegt im Tresor", "Wo ist das Druckerpasswort?"),
        ("Die Häuser haben rote Dächer", "Welches Haus hat ein Dach?"),
        ("Nos bureaux sont fermés", "Où est le bureau ?"),
        ("Las llaves están en la oficina", "¿Dónde está la llave?"),
        ("Os servidores ficam no porão", "Onde está o servidor?"),
        ("Klucze leżą pod wycieraczką", "Gdzie jest klucz?"),
        ("Пароль лежит в сейфе", "где пароли от сейфа"),
        ("Запасные ключи висят за часами", "где запасной ключ"),
        ("المفاتيح في المكتب الجديد", "اين المكتب الجديد"),
        ("הַמַּפְתֵּחַ נמצא במשרד", "איפה המפתח"),
        ("चाबी नए दफ़्तर में है", "चाबी कहाँ है"),
        ("IŞIK kapalı, ısıtıcı açık", "ışık ISITICI"),
        ("Anahtarlar ofiste duruyor", "Anahtar nerede?"),
        ("Chìa khóa ở văn phòng mới", "chia khoa van phong"),
        ("钥匙在新办公室里", "办公室的钥匙"),
        ("鍵は新しいオフィスにあります", "オフィスの鍵"),
        ("사무실의 열쇠는 서랍에 있다", "사무실 열쇠가 어디 있나"),
        ("กุญแจอยู่ในสำนักงานใหม่", "สำนักงานอยู่ไหน"),
    ],
)
def test_words_are_found_in_other_forms(text: str, query: str, tmp_path: Path) -> None:
    """With other endings, accents, cases and particles, without a model."""
    with memcrdt.open(tmp_path, embedder=None) as memory:
        wanted = memory.add(text)
        memory.add_many([*ENGLISH, "Ein anderer Text über Boote", "Un autre texte", "Другой текст о лодках"])
        assert memory.search(query)[0].memory.id == wanted


def test_languages_are_told_from_english() -> None:
    """Most texts of the benchmark, and no English text."""
    for facts in FACTS.values():
        assert sum(not is_english(fact) for fact, _ in facts) >= 10
    assert all(map(is_english, ENGLISH))
    assert is_english("")


@pytest.mark.parametrize(("foreign", "english", "hinted"), [(12, 50, True), (12, 200, False), (4, 0, False)])
def test_the_status_suggests_a_model_for_other_languages(
    open_memory: Callable[..., Memory], foreign: int, english: int, hinted: bool
) -> None:
    """If a tenth of the memories is not English, and there are some of them."""
    memory = open_memory(embedder="static")
    memory.add_many([fact for fact, _ in FACTS["Polish"]][:foreign])
    memory.add_many(f"The ferry number {n} is not in the harbour" for n in range(english))
    suggestion = memory.models.status().suggestion
    assert (suggestion is not None and MULTILINGUAL in suggestion) is hinted


def test_no_model_is_suggested_for_a_model_of_ones_own(open_memory: Callable[..., Memory]) -> None:
    """It may know the languages."""
    memory = open_memory(embedder=UserEmbedder("own", lambda texts: [[1.0, len(each)] for each in texts], fast=True))
    memory.add_many(fact for fact, _ in FACTS["Russian"])
    assert memory.models.status().suggestion is None
