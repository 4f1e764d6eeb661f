"""The byte store and the cache: LangChain's own suites, and what only these have."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("langchain_core", reason="the extra memcrdt[langchain] is not installed")
pytest.importorskip("langchain_tests", reason="the package langchain-tests is not installed")

from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation
from langchain_tests.integration_tests.base_store import BaseStoreAsyncTests, BaseStoreSyncTests
from langchain_tests.integration_tests.cache import AsyncCacheTestSuite, SyncCacheTestSuite

from memcrdt.errors import InputError, NotFoundError, SecretError
from memcrdt.frameworks.langchain_values import MemcrdtByteStore, MemcrdtCache
from memcrdt.memory.memory import Memory
from memcrdt.testing import Clock, exchange, temporary
from tests.conftest import OpenMemory

SECRET = "AKIA" + "Z7Q2M4X3K3T6W5RA"


class TestByteStore(BaseStoreSyncTests[bytes]):
    """LangChain's suite for stores."""

    @pytest.fixture
    def kv_store(self, memory: Memory) -> MemcrdtByteStore:
        """Return an empty store."""
        return MemcrdtByteStore(memory)

    @pytest.fixture
    def three_values(self) -> tuple[bytes, bytes, bytes]:
        """Return values of three kinds."""
        return b"readable", b"\xff\x00", b""


class TestAsyncByteStore(BaseStoreAsyncTests[bytes]):
    """The same with asyncio."""

    @pytest.fixture
    def kv_store(self, memory: Memory) -> MemcrdtByteStore:
        """Return an empty store."""
        return MemcrdtByteStore(memory)

    @pytest.fixture
    def three_values(self) -> tuple[bytes, bytes, bytes]:
        """Return values of three kinds."""
        return b"readable", b"\xff\x00", b""


class TestCache(SyncCacheTestSuite):
    """LangChain's suite for caches."""

    @pytest.fixture
    def cache(self, memory: Memory) -> MemcrdtCache:
        """Return an empty cache."""
        return MemcrdtCache(memory)


class TestAsyncCache(AsyncCacheTestSuite):
    """The same with asyncio."""

    @pytest.fixture
    async def cache(self, memory: Memory) -> MemcrdtCache:
        """Return an empty cache."""
        return MemcrdtCache(memory)


LETTERS = st.characters(exclude_categories=["Cs"])


@settings(max_examples=30)
@given(st.dictionaries(st.text(LETTERS), st.binary() | st.text(LETTERS).map(str.encode), max_size=3))
def test_every_value_comes_back(values: dict[str, bytes]) -> None:
    """Under every key. Two spellings of a character are one key."""
    from memcrdt.model.normalization import nfc

    with temporary() as memory:
        store = MemcrdtByteStore(memory)
        store.mset(list(values.items()))
        known = {nfc(key): value for key, value in values.items()}
        assert store.mget(list(values)) == [known[nfc(key)] for key in values]
        assert sorted(store.yield_keys()) == sorted(known)


def test_a_readable_value_is_a_readable_memory(memory: Memory) -> None:
    """Apart from what agents recall. A change by hand makes it no value any more."""
    store = MemcrdtByteStore(memory)
    store.mset([("greeting", b"hello")])
    (record,) = memory.list(scope="agent/byte-store")
    assert record.text.splitlines()[1:] == ["hello"]
    for text in ("hello", record.text + "!", "text 999 " + 32 * "0" + "\nhello", "base64 1 " + 32 * "0" + "\nh"):
        memory.update(record.id, text=text)
        assert store.mget(["greeting"]) == [None]
    assert store.mget(["\ud800"]) == [None]


@pytest.mark.parametrize(
    "value",
    [b"long " * 30_000, "länger ".encode() * 8_000, b" " * 140_000, random.Random(7).randbytes(60_000)],
    ids=["ascii", "letters", "blank", "bytes"],
)
def test_a_long_value_is_several_memories(memory: Memory, value: bytes) -> None:
    """Which are replaced and deleted with it."""
    store = MemcrdtByteStore(memory)
    store.mset([("key", value), ("other", value)])
    assert store.mget(["key"]) == [value]
    count = memory.count()
    assert count >= 4
    store.mset([("key", value[:-1])])
    assert (store.mget(["key", "other"]), memory.count()) == ([value[:-1], value], count)
    store.mset([("key", b"short")])
    assert (store.mget(["key", "other"]), memory.count()) == ([b"short", value], count // 2 + 1)
    store.mdelete(["key", "other"])
    assert memory.count() == 0


def test_a_value_that_is_too_long_or_secret_is_refused(memory: Memory) -> None:
    """And nothing of the call is set."""
    store = MemcrdtByteStore(memory)
    with pytest.raises(InputError, match="the value of 'key' has 17,000,000 bytes"):
        store.mset([("small", b"x"), ("key", b"x" * 17_000_000)])
    with pytest.raises(SecretError):
        store.mset([("small", b"x"), ("key", SECRET.encode())])
    assert list(store.yield_keys()) == []
    local = MemcrdtByteStore(memory, space="local")
    local.mset([("key", SECRET.encode())])
    assert local.mget(["key"]) == [SECRET.encode()]
    with pytest.raises(NotFoundError):
        MemcrdtByteStore(memory, space="unknown")


def test_a_value_is_there_when_all_of_it_has_arrived(open_memory: OpenMemory) -> None:
    """Of two values that devices set while disconnected, both have the same one, and never a mixture."""
    memories = [open_memory(device) for device in "AB"]
    ours, theirs = (MemcrdtByteStore(memory) for memory in memories)
    values = [b"ours " * 30_000, b"theirs " * 20_000]
    ours.mset([("key", values[0])])
    theirs.mset([("key", values[1])])
    exchange(*memories)
    assert ours.mget(["key"]) == theirs.mget(["key"])
    assert ours.mget(["key"])[0] in values
    part = next(record for record in memories[0].list(kind="bytes-part") if record.text.startswith("+"))
    for record in memories[0].list(kind="bytes-part", metadata=dict(part.metadata)):
        memories[0].forget(record.id)
    assert ours.mget(["key"])[0] in (None, *values)
    theirs.mdelete(["key"])
    exchange(*memories)
    assert memories[0].count() == memories[1].count() == 0


ANSWERS: list[list[Generation]] = [
    [Generation(text="one", generation_info={"reason": "stop"}), Generation(text="two")],
    [ChatGeneration(message=AIMessage("As PDF.", tool_calls=[{"name": "f", "args": {"n": 1}, "id": "1"}]))],
]


@pytest.mark.parametrize("answers", ANSWERS, ids=["texts", "messages"])
def test_answers_are_cached_on_this_machine_alone(memory: Memory, answers: list[Generation]) -> None:
    """With everything in them."""
    cache = MemcrdtCache(memory)
    cache.update("prompt", "model", answers)
    assert cache.lookup("prompt", "model") == answers
    assert cache.lookup("model", "prompt") is None
    assert {record.space for record in memory.list()} == {"local"}
    assert memory.list(scope="global") == memory.list(space="personal")
    cache.clear()
    assert memory.count() == 0


def test_what_cannot_be_cached_is_asked_again(memory: Memory) -> None:
    """And so is what is no answer any more."""
    cache = MemcrdtCache(memory)
    cache.update("prompt", "model", [Generation(text="one", generation_info={"raw": object()})])
    assert cache.lookup("prompt", "model") is None
    values = MemcrdtByteStore(memory, scope="agent/llm-cache", space="local")
    cache.update("prompt", "model", [Generation(text="one")])
    (key,) = values.yield_keys()
    for wrong in (b"[]]", b"7", b'[{"text": "x"}]', b'[{"text": 1, "info": 2, "message": null}]', b"\xff"):
        values.mset([(key, wrong)])
        assert cache.lookup("prompt", "model") is None


def test_values_and_answers_expire() -> None:
    """Each a ttl after it was last set. A value of several memories expires as a whole, and none without a ttl."""
    clock = Clock()
    with temporary(clock=clock) as memory:
        cache, values = MemcrdtCache(memory, ttl=timedelta(hours=1)), MemcrdtByteStore(memory, ttl=timedelta(hours=2))
        cache.update("prompt", "model", [Generation(text="one")])
        values.mset([("long", b"\xff" * 200_000), ("short", b"value")])
        MemcrdtCache(memory).update("other", "model", [Generation(text="for ever")])
        clock.advance(minutes=61)
        assert cache.lookup("prompt", "model") is None
        assert cache.lookup("other", "model") == [Generation(text="for ever")]
        assert values.mget(["long", "short"]) == [b"\xff" * 200_000, b"value"]
        values.mset([("short", b"again")])
        cache.update("prompt", "model", [Generation(text="two")])
        clock.advance(minutes=59.5)
        assert values.mget(["long", "short"]) == [None, b"again"]
        assert list(values.yield_keys()) == ["short"]
        assert cache.lookup("prompt", "model") == [Generation(text="two")]
        for wrong in (timedelta(0), -1, "60"):
            with pytest.raises(InputError):
                MemcrdtCache(memory, ttl=wrong)


def test_a_model_answers_from_the_cache(memory: Memory) -> None:
    """It is asked once."""
    model = FakeListChatModel(responses=["first", "second"], cache=MemcrdtCache(memory))
    assert [model.invoke("hello").content for _ in range(2)] == ["first", "first"]
    assert model.invoke("something else").content == "second"
