"""Members of a space, over real homes and sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import memcrdt
from memcrdt.errors import InputError, UntrustedPeerError
from memcrdt.memory.memory import Memory
from memcrdt.net.identity import KEY_FILE
from memcrdt.node.node import Node
from memcrdt.store.membership.members import Members
from memcrdt.store.membership.peers import Peers

Eventually = Callable[[Callable[[], object]], Awaitable[None]]


class Home:
    """A home with a running network."""

    def __init__(self, memory: Memory, node: Node) -> None:
        self.memory = memory
        self.node = node
        self.id = memory.store.device
        self.peers = Peers(memory.store)

    @property
    def texts(self) -> set[str]:
        return {record.text for record in self.memory.list()}

    @property
    def address(self) -> str:
        return self.node.addresses[0]

    def state_of(self, other: Home) -> str | None:
        return next((device.state for device in self.memory.devices() if device.device == other.id), None)

    def state_in_acme(self, other: Home) -> str | None:
        members = self.memory.space("acme").members(revoked=True)
        return next((member.state for member in members if member.device == other.id), None)


@pytest.fixture(name="three")
async def _three(tmp_path: Path, eventually: Eventually) -> AsyncIterator[list[Home]]:
    """Return laptop, desktop and phone. The desktop and each of the others have accepted each other."""
    async with AsyncExitStack() as stack:
        homes: list[Home] = []
        for name in ("laptop", "desktop", "phone"):
            memory = stack.enter_context(memcrdt.open(tmp_path / name, embedder=None, device_name=name))
            node = await stack.enter_async_context(Node(memory, host="127.0.0.1", port=0))
            homes.append(Home(memory, node))
        laptop, desktop, phone = homes
        for other in (laptop, phone):
            desktop.memory.accept(other.id)
            other.memory.accept(desktop.id)
            await eventually(lambda: desktop.node.port)
            await other.node.connect(desktop.address)
        await eventually(lambda: laptop.state_of(phone) == phone.state_of(laptop) == "accepted")
        yield homes


async def test_two_members_of_one_space_need_no_pairing(three: list[Home], eventually: Eventually) -> None:
    """The desktop tells each about the other, with its name, and they sync without the desktop."""
    laptop, desktop, phone = three
    await eventually(lambda: phone.peers.get(laptop.id).name == "laptop")
    await desktop.node.__aexit__(None, None, None)
    await phone.node.connect(laptop.address)
    laptop.memory.add("from the laptop")
    phone.memory.add("from the phone")
    await eventually(lambda: laptop.texts == phone.texts == {"from the laptop", "from the phone"})
    assert laptop.memory.space("personal").id() == phone.memory.space("personal").id()


async def test_a_revocation_reaches_all_members(three: list[Home], eventually: Eventually) -> None:
    """The laptop revokes the phone. The desktop closes its connection and refuses it from then on."""
    laptop, desktop, phone = three
    laptop.memory.revoke(phone.id)
    await eventually(lambda: desktop.state_of(phone) == "revoked")
    await eventually(lambda: desktop.node.status().connected == {laptop.id})
    laptop.memory.add("not for the phone")
    await eventually(lambda: "not for the phone" in desktop.texts)
    with pytest.raises(UntrustedPeerError, match="does not accept this device: this device was revoked by"):
        await phone.node.connect(desktop.address)
    assert phone.texts == set()


async def test_the_status_of_a_revoked_device_says_what_to_do(three: list[Home], eventually: Eventually) -> None:
    """With the name of the device that revoked it."""
    laptop, _, phone = three
    await eventually(lambda: phone.peers.get(laptop.id).name == "laptop")
    laptop.peers.revoke(phone.id)
    await eventually(lambda: phone.memory.status().alarms)
    (alarm,) = phone.memory.status().alarms
    assert alarm.text.startswith("this device was revoked from 'personal' by laptop; to come back it needs a new key")


async def _pair(inviter: Memory, joiner: Memory, eventually: Eventually) -> None:
    """Let two homes exchange their members. Afterwards neither network runs."""
    Members(joiner.store).join(Members(inviter.store).entries(["personal"])[0])
    Peers(inviter.store).accept(joiner.store.device)
    Peers(joiner.store).accept(inviter.store.device)
    here, there = Members(joiner.store), Members(inviter.store)
    async with Node(inviter, host="127.0.0.1", port=0) as known, Node(joiner, host="127.0.0.1", port=0) as newcomer:
        await newcomer.connect(known.addresses[0])
        await eventually(lambda: joiner.store.device in there.of("personal").members)
        await eventually(lambda: here.of("personal") == there.of("personal"))


async def test_a_member_accepts_the_introduction_of_a_device_it_did_not_know(
    tmp_path: Path, eventually: Eventually
) -> None:
    """The laptop was off when the desktop invited the phone. The phone shows the desktop's signed statement."""
    async with AsyncExitStack() as stack:
        laptop, desktop, phone = (
            stack.enter_context(memcrdt.open(tmp_path / name, embedder=None, device_name=name))
            for name in ("laptop", "desktop", "phone")
        )
        await _pair(laptop, desktop, eventually)
        await _pair(desktop, phone, eventually)
        assert not Peers(laptop.store).is_accepted(phone.store.device)
        laptop.add("from the laptop")
        there = await stack.enter_async_context(Node(laptop, host="127.0.0.1", port=0))
        here = await stack.enter_async_context(Node(phone, host="127.0.0.1", port=0))
        await here.connect(there.addresses[0], laptop.store.device)
        await eventually(lambda: {record.text for record in phone.list()} == {"from the laptop"})
        assert Peers(laptop.store).get(phone.store.device).name == "phone"


async def test_a_revocation_survives_a_restart(three: list[Home], eventually: Eventually, tmp_path: Path) -> None:
    """The device that received it has it in its store."""
    laptop, desktop, phone = three
    laptop.memory.revoke(phone.id)
    await eventually(lambda: desktop.state_of(phone) == "revoked")
    await desktop.node.__aexit__(None, None, None)
    with memcrdt.open(tmp_path / "desktop", embedder=None) as memory:
        async with Node(memory, host="127.0.0.1", port=0) as node:
            with pytest.raises(UntrustedPeerError, match="this device was revoked by"):
                await phone.node.connect(node.addresses[0])


async def _share_acme(three: list[Home], eventually: Eventually) -> None:
    """Let laptop and phone each share another space with the desktop, so they share it with each other too."""
    laptop, desktop, phone = three
    for home in three:
        home.memory.space("acme").create()
    for other in (laptop, phone):
        desktop.memory.space("acme").invite(other.id)
        other.memory.space("acme").invite(desktop.id)
    await eventually(lambda: laptop.state_in_acme(phone) == phone.state_in_acme(laptop) == "member")


async def test_devices_that_invite_each_other_into_a_space_share_it(three: list[Home], eventually: Eventually) -> None:
    """Each had made a space of that name. The two become one, for a connected third device too."""
    laptop, desktop, phone = three
    laptop.memory.space("acme").create().invite(desktop.id)
    desktop.memory.space("acme").create().invite(laptop.id)
    laptop.memory.add("for two", space="acme")
    await eventually(lambda: desktop.texts == {"for two"})
    assert phone.texts == set()
    phone.memory.space("acme").create().invite(desktop.id)
    desktop.memory.space("acme").invite(phone.id)
    phone.memory.add("for three", space="acme")
    await eventually(lambda: all(home.texts == {"for two", "for three"} for home in three))
    await eventually(lambda: len({home.memory.space("acme").id() for home in three}) == 1)
    await eventually(lambda: len({home.memory.space("acme").digest() for home in three}) == 1)


async def test_a_device_that_is_revoked_from_one_space_keeps_the_others(
    three: list[Home], eventually: Eventually
) -> None:
    """The other members stop sending that space. The device is told so, and cannot be invited again."""
    laptop, desktop, phone = three
    await _share_acme(three, eventually)
    laptop.memory.space("acme").revoke(phone.id)
    assert laptop.state_in_acme(phone) == "revoked"
    await eventually(lambda: desktop.state_in_acme(phone) == "revoked")
    laptop.memory.add("not for the phone", space="acme")
    await eventually(lambda: "not for the phone" in desktop.texts)
    desktop.memory.add("for all")
    await eventually(lambda: phone.texts == {"for all"})
    assert desktop.state_of(phone) == "accepted"
    await eventually(lambda: phone.memory.status().alarms)
    (alarm,) = phone.memory.status().alarms
    assert alarm.text.startswith("this device was revoked from 'acme' by laptop; to come back it needs a new key")
    with pytest.raises(InputError, match="new key"):
        desktop.memory.space("acme").invite(phone.id)


async def test_a_device_that_shares_nothing_is_disconnected_permanently(tmp_path: Path, eventually: Eventually) -> None:
    """It gets no connection after a restart either, and is told which device revoked it."""
    async with AsyncExitStack() as stack:
        writer, other = (
            stack.enter_context(memcrdt.open(tmp_path / name, embedder=None)) for name in ("writer", "other")
        )
        for memory, device in ((writer, other.store.device), (other, writer.store.device)):
            memory.space("acme").create()
            memory.accept(device, spaces="acme")
        added = writer.add("before", space="acme")
        there = await stack.enter_async_context(Node(other, host="127.0.0.1", port=0))
        async with Node(writer, host="127.0.0.1", port=0) as here:
            await here.connect(there.addresses[0])
            await eventually(lambda: [record.id for record in other.list()] == [added])
            writer.space("acme").revoke(other.store.device)
            await eventually(lambda: not here.status().connected and not there.status().connected)
        async with Node(writer, host="127.0.0.1", port=0) as here:
            with pytest.raises(UntrustedPeerError, match="this device was revoked by"):
                await there.connect(here.addresses[0])
        assert writer.devices()[0].state == "revoked"


async def test_a_read_only_member_receives_everything_and_sends_nothing(tmp_path: Path, eventually: Eventually) -> None:
    """It does not pass on the others' updates either."""
    async with AsyncExitStack() as stack:
        writer, reader = (
            stack.enter_context(memcrdt.open(tmp_path / name, embedder=None)) for name in ("writer", "reader")
        )
        writer.space("acme").create()
        Members(reader.store).join(Members(writer.store).entries(["acme"])[0])
        Peers(writer.store).accept(reader.store.device, spaces=["acme"], read_only=True)
        Peers(reader.store).accept(writer.store.device, spaces=["acme"])
        kept = reader.add("mine", space="acme")
        before = writer.add("before", space="acme")
        there = await stack.enter_async_context(Node(writer, host="127.0.0.1", port=0))
        here = await stack.enter_async_context(Node(reader, host="127.0.0.1", port=0))
        await here.connect(there.addresses[0])
        await eventually(lambda: {record.text for record in reader.list()} == {"mine", "before"})
        after = writer.add("after", space="acme")
        await eventually(lambda: {record.id for record in reader.list()} == {kept, before, after})
        assert {record.id for record in writer.list()} == {before, after}


async def test_a_reader_knows_at_once_that_the_writer_has_what_it_sent(tmp_path: Path, eventually: Eventually) -> None:
    """Not only at the next comparison, half a minute later. A change of its own stays unconfirmed."""
    async with AsyncExitStack() as stack:
        writer, reader = (
            stack.enter_context(memcrdt.open(tmp_path / name, embedder=None)) for name in ("writer", "reader")
        )
        writer.space("acme").create()
        Members(reader.store).join(Members(writer.store).entries(["acme"])[0])
        Peers(writer.store).accept(reader.store.device, spaces=["acme"], read_only=True)
        Peers(reader.store).accept(writer.store.device, spaces=["acme"])
        there = await stack.enter_async_context(Node(writer, host="127.0.0.1", port=0))
        here = await stack.enter_async_context(Node(reader, host="127.0.0.1", port=0))
        await here.connect(there.addresses[0])
        await eventually(lambda: reader.devices()[0].agreed_at)
        for text in ("one", "two"):
            writer.add(text, space="acme")
            await eventually(lambda text=text: text in {record.text for record in reader.list()})
            await eventually(lambda: writer.devices()[0].behind == reader.devices()[0].behind == 0)


async def test_a_device_that_is_revoked_altogether_knows_what_stays_here(
    tmp_path: Path, eventually: Eventually
) -> None:
    """By the refusal, without a signed statement. With a new key, paired again, it is a member like before."""
    with memcrdt.open(tmp_path / "laptop", embedder=None, device_name="laptop") as laptop:
        with memcrdt.open(tmp_path / "phone", embedder=None, device_name="phone") as phone:
            await _pair(laptop, phone, eventually)
            async with Node(laptop, host="127.0.0.1", port=0) as there, Node(phone, host="127.0.0.1", port=0) as here:
                await here.connect(there.addresses[0])
                laptop.revoke(phone.store.device)
                await eventually(lambda: phone.status().alarms)
            phone.add("stays here")
            (warning,) = phone.sync.warnings()
            assert (warning.reason, warning.spaces) == ("revoked", ("personal",))
            assert "by laptop" in warning.text
            assert phone.store.device not in {member.device for member in phone.space("personal").members()}
        (tmp_path / "phone" / KEY_FILE.name).rename(tmp_path / "old.key")
        with memcrdt.open(tmp_path / "phone", embedder=None, device_name="phone") as phone:
            await _pair(laptop, phone, eventually)
            async with Node(laptop, host="127.0.0.1", port=0) as there, Node(phone, host="127.0.0.1", port=0) as here:
                await here.connect(there.addresses[0])
                phone.add("reaches the laptop")
                await eventually(lambda: "reaches the laptop" in {record.text for record in laptop.list()})
                assert phone.sync.warnings() == ()
                assert not any("revoked" in alarm.text for alarm in phone.status().alarms)
