"""`memcrdt init`, `path`, `config`, `stats`, `compact`, `backup`, `restore` and `doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import memcrdt
from memcrdt import config
from memcrdt.model.device_ids import shown

if TYPE_CHECKING:
    from tests.cli.conftest import Cli, Ran

ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def test_init_makes_the_home_once(cli: Cli, home: Path) -> None:
    """Store and key exist afterwards. A second run shows the same device."""
    first = cli("init", "--json")
    assert first.code == 0
    assert first.json[0]["home"] == str(home)
    assert f"device\t{shown(first.json[0]['device'])}\n" in cli("init").out
    assert (home / "memories.db").is_file()
    assert (home / "device.key").is_file()
    assert cli("init", "--json").json == first.json


@pytest.mark.parametrize(
    "command",
    [
        *("list", "search words", f"get {ID}", f"history {ID}", f"related {ID}", f"similar {ID}", "conflicts", "stats"),
        *("status", "status --ack", "peers", "space list", "space members", "token list", "relays list", "mirror list"),
        *("model status", "export -", "backup new", "doctor", "doctor --repair", "compact", "sync", "forget-expired"),
        *(f"update {ID} text", f"link {ID} causes {ID}", f"unlink {ID} causes {ID}", f"move {ID} --space local"),
        *("rename-scope global project/acme", f"resolve {ID} --text one", f"forget {ID}", "forget --status"),
        *("space leave acme", "token revoke acme", "mirror remove acme", "relays remove host", "revoke laptop --yes"),
    ],
)
def test_a_mistyped_home_is_not_created(cli: Cli, tmp_path: Path, command: str) -> None:
    """A command that needs a memory says that there is none, and how to begin one."""
    mistyped = tmp_path / "mistyped"
    cli(*command.split(), "--home", str(mistyped)).failed(3, f"no memory in {mistyped}", "memcrdt add TEXT")
    assert list(tmp_path.iterdir()) == []


def test_path_makes_nothing(cli: Cli, home: Path) -> None:
    """It prints the folder, whether or not it exists."""
    assert cli("path").out == f"{home}\n"
    assert cli("path", "--json").json == [{"home": str(home)}]
    assert not home.exists()


def test_home_may_stand_before_or_behind_the_command(cli: Cli, tmp_path: Path) -> None:
    """`--home` overrides the environment before and after the command. The later one counts."""
    other = str(tmp_path / "other")
    assert cli("--home", other, "path").out == f"{other}\n"
    assert cli("path", "--home", other).out == f"{other}\n"
    assert cli("--home", "/elsewhere", "path", "--home", other).out == f"{other}\n"


def test_config_says_where_each_setting_comes_from(cli: Cli, home: Path) -> None:
    """The file or the default. A value in the file that equals the default comes from the file."""
    config.change(home, "device_name", "laptop")
    config.change(home, "budget_mb", 4096)
    lines = {line["name"]: line for line in cli("config", "--json").json}
    file = str(home / "config.toml")
    assert set(lines) == set(config.Config.__dataclass_fields__)
    assert (lines["device_name"]["value"], lines["device_name"]["origin"]) == ("laptop", file)
    assert (lines["budget_mb"]["value"], lines["budget_mb"]["origin"]) == (4096, file)
    assert (lines["mdns"]["value"], lines["mdns"]["origin"]) == (True, "default")
    assert f"device_name\tlaptop\t{file}\n" in cli("config").out


def test_config_makes_nothing(cli: Cli, home: Path) -> None:
    """Neither a home nor a file."""
    assert cli("config").code == 0
    assert not home.exists()


def test_a_setting_that_makes_no_sense_is_named(cli: Cli, home: Path) -> None:
    """With its file."""
    home.mkdir()
    (home / "config.toml").write_text("budget_mb = 'much'\n")
    cli("config").failed(2, "config.toml", "budget_mb")


PAGE = 4096


def texts(cli: Cli) -> set[str]:
    return {memory["text"] for memory in cli("list", "--json").json}


def whats(ran: Ran) -> list[Any]:
    """Return the kinds of findings that the doctor printed."""
    return [finding["what"] for finding in ran.json]


def harm(home: Path, sql: str) -> None:
    with memcrdt.open(home, embedder=None) as memory, memory.store.writing() as db:
        db.execute(sql)


@pytest.fixture
def added(cli: Cli) -> str:
    """Return the id of the only memory."""
    return cli("add", "Deploys go out on Tuesdays", "--kind", "fact").out.strip()


def test_stats_counts(cli: Cli, added: str) -> None:
    """By space, category and kind. Forgotten memories are counted separately."""
    cli("forget", cli("add", "gone").out.strip())
    (stats,) = cli("stats", "--json").json
    assert (stats["memories"], stats["forgotten"]) == (1, 1)
    assert (stats["by_space"], stats["by_category"], stats["by_kind"]) == ({"personal": 1}, {"global": 1}, {"fact": 1})


def test_compact_says_what_it_did(cli: Cli, added: str) -> None:
    """Without work, it folds nothing."""
    assert cli("compact", "--json").json[0]["shards"] == 1
    assert cli("compact", "--json").json[0]["shards"] == 0


def test_restore_goes_back_to_the_backup(cli: Cli, added: str, tmp_path: Path) -> None:
    """Later additions are gone, later forgets are undone, and the status reports the restore."""
    file = tmp_path / "backup.db"
    ran = cli("backup", str(file), "--json")
    assert (ran.code, ran.json) == (0, [{"size": file.stat().st_size}])
    cli("add", "since then")
    cli("forget", added)
    assert cli("restore", str(file), "--yes", "--json").json == [{"memories": 1}]
    assert texts(cli) == {"Deploys go out on Tuesdays"}
    assert "restored" in cli("status", "--json").json[0]["alarms"][0]["text"]


def test_a_backup_restores_into_an_empty_home_without_a_question(cli: Cli, added: str, tmp_path: Path) -> None:
    """After the loss of a machine, there is no memory to replace."""
    cli("backup", str(tmp_path / "backup.db"))
    other = str(tmp_path / "other")
    assert cli("restore", str(tmp_path / "backup.db"), "--home", other).code == 0
    assert cli("get", added, "--home", other).code == 0


def test_restore_asks_first(cli: Cli, added: str, tmp_path: Path) -> None:
    """The question has the count. Any answer but yes, and no answer, changes nothing."""
    file = str(tmp_path / "backup.db")
    cli("backup", file)
    cli("add", "since then")
    refused = cli("restore", file, stdin=b"n\n")
    assert (refused.code, refused.out) == (1, "")
    assert "2 memories" in refused.err
    assert cli("restore", file).code == 1
    assert len(texts(cli)) == 2
    assert cli("restore", file, stdin=b"y\n").code == 0
    assert len(texts(cli)) == 1


def test_backup_and_restore_refuse_the_wrong_files(cli: Cli, added: str, tmp_path: Path) -> None:
    """No file is overwritten, and a file that is not a backup replaces no store."""
    mine = tmp_path / "mine.txt"
    mine.write_text("mine " * 2_000)
    cli("backup", str(mine)).failed(2, "already")
    cli("restore", str(mine), "--yes").failed(1, "not a backup", "memcrdt backup")
    cli("restore", str(mine), stdin=b"y\n").failed(1, "not a backup")  # and it does not ask before
    cli("restore", str(tmp_path / "nowhere")).failed(2, "nowhere")
    assert mine.read_text() == "mine " * 2_000
    assert texts(cli) == {"Deploys go out on Tuesdays"}


def test_a_healthy_store_has_no_findings(cli: Cli, added: str) -> None:
    """Stdout is empty and the exit code is 0, with and without --repair."""
    for arguments in (["doctor"], ["doctor", "--repair"]):
        ran = cli(*arguments)
        assert (ran.code, ran.out, ran.err) == (0, "", "memcrdt: no problems found\n")


def test_doctor_only_looks_until_told_to_repair(cli: Cli, home: Path, added: str) -> None:
    """The exit code is 1 while a problem remains. The repair is printed line by line, and then the exit code is 0."""
    harm(home, "UPDATE memories SET text = 'a false text'")
    found = cli("doctor", "--json")
    assert (found.code, set(whats(found))) == (1, {"problem"})
    assert "doctor --repair" in found.err
    assert texts(cli) == {"a false text"}
    repaired = cli("doctor", "--repair", "--json")
    assert (repaired.code, set(whats(repaired))) == (0, {"problem", "done"})
    assert repaired.err == "memcrdt: all problems are repaired\n"
    assert texts(cli) == {"Deploys go out on Tuesdays"}
    assert cli("doctor").code == 0


def test_what_is_no_damage_is_a_note(cli: Cli, added: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a missing extension. It is printed, and no problem is reported."""
    monkeypatch.setattr("memcrdt.store.recovery.doctor.load_vector_functions", lambda db: False)
    ran = cli("doctor", "--json")
    assert (ran.code, [finding["what"] for finding in ran.json]) == (0, ["note"])
    assert ran.err == "memcrdt: no problems found\n"


def test_doctor_says_what_is_left_wrong(cli: Cli, home: Path, added: str) -> None:
    """Other rows build on a lost row.

    Rows that wait for other devices stay a problem until the lost row is given up.
    """
    harm(home, f"INSERT INTO peers(device, state, added_at) VALUES('{'A' * 52}', 'accepted', 0)")
    cli("update", added, "Deploys go out on Wednesdays")
    cli("update", added, "Deploys go out on Thursdays")
    harm(home, "UPDATE updates SET bytes = x'00' WHERE seq = 2")
    repaired = cli("doctor", "--repair", "--json")
    assert (repaired.code, whats(repaired)[-1]) == (1, "left")
    assert "problems left: 1" in repaired.err
    assert cli("doctor", "--repair", "--give-up").code == 0
    assert texts(cli) == {"Deploys go out on Thursdays"}


def test_giving_up_goes_with_repair(cli: Cli, added: str) -> None:
    """Alone it would do nothing, so it is refused."""
    cli("doctor", "--give-up").failed(2, "--repair")


def test_a_file_that_cannot_be_read_is_told_with_what_to_do(cli: Cli, added: str, home: Path) -> None:
    """If only the first page is left, no repair helps. The message says so, and a backup does help."""
    cli("backup", str(home / "backup.db"))
    store = home / "memories.db"
    store.write_bytes(store.read_bytes()[:PAGE])
    assert (found := cli("doctor", "--json")).code == 1
    assert whats(found) == ["problem"]
    cli("doctor", "--repair").failed(1, "no memory can be found", "keep the file", "restore a backup")
    for file in home.glob("memories.db*"):
        file.unlink()
    assert cli("restore", str(home / "backup.db")).code == 0
    assert texts(cli) == {"Deploys go out on Tuesdays"}


def test_doctor_makes_no_store(cli: Cli, home: Path) -> None:
    """Without a store, the exit code is 3."""
    cli("doctor").failed(3, str(home))
    assert not home.exists()
