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


def test_init_makes_the_home_once(cli: Cli, home: Path) -> None:
    """Store and key are there afterwards; a second time shows the same device."""
    first = cli("init", "--json")
    assert first.code == 0
    assert first.json[0]["home"] == str(home)
    assert f"device\t{shown(first.json[0]['device'])}\n" in cli("init").out
    assert (home / "memories.db").is_file()
    assert (home / "device.key").is_file()
    assert cli("init", "--json").json == first.json


def test_path_makes_nothing(cli: Cli, home: Path) -> None:
    """The folder's name is printed, whether it is there or not."""
    assert cli("path").out == f"{home}\n"
    assert cli("path", "--json").json == [{"home": str(home)}]
    assert not home.exists()


def test_home_may_stand_before_or_behind_the_command(cli: Cli, tmp_path: Path) -> None:
    """`--home` names another folder than the environment does, in either place; the nearer one counts."""
    other = str(tmp_path / "other")
    assert cli("--home", other, "path").out == f"{other}\n"
    assert cli("path", "--home", other).out == f"{other}\n"
    assert cli("--home", "/elsewhere", "path", "--home", other).out == f"{other}\n"


def test_config_says_where_each_setting_comes_from(cli: Cli, home: Path) -> None:
    """The file or the default; what equals the default but stands in the file comes from the file."""
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
    """With the file it stands in."""
    home.mkdir()
    (home / "config.toml").write_text("budget_mb = 'much'\n")
    cli("config").failed(2, "config.toml", "budget_mb")


PAGE = 4096


def texts(cli: Cli) -> set[str]:
    return {memory["text"] for memory in cli("list", "--json").json}


def whats(ran: Ran) -> list[Any]:
    """The kinds of findings that doctor printed."""
    return [finding["what"] for finding in ran.json]


def harm(home: Path, sql: str) -> None:
    with memcrdt.open(home, embedder=None) as memory, memory.store.writing() as db:
        db.execute(sql)


@pytest.fixture
def added(cli: Cli) -> str:
    """The id of the only memory that is there."""
    return cli("add", "Deploys go out on Tuesdays", "--kind", "fact").out.strip()


def test_stats_counts(cli: Cli, added: str) -> None:
    """By space, category and kind; forgotten ones apart."""
    cli("forget", cli("add", "gone").out.strip())
    (stats,) = cli("stats", "--json").json
    assert (stats["memories"], stats["forgotten"]) == (1, 1)
    assert (stats["by_space"], stats["by_category"], stats["by_kind"]) == ({"personal": 1}, {"global": 1}, {"fact": 1})


def test_compact_says_what_it_did(cli: Cli, added: str) -> None:
    """And folds nothing when there is nothing to fold."""
    assert cli("compact", "--json").json[0]["shards"] == 1
    assert cli("compact", "--json").json[0]["shards"] == 0


def test_restore_goes_back_to_the_backup(cli: Cli, added: str, tmp_path: Path) -> None:
    """What was added since is gone, what was forgotten since is back; the status says that this happened."""
    file = tmp_path / "backup.db"
    ran = cli("backup", str(file), "--json")
    assert (ran.code, ran.json) == (0, [{"size": file.stat().st_size}])
    cli("add", "since then")
    cli("forget", added)
    assert cli("restore", str(file), "--yes", "--json").json == [{"memories": 1}]
    assert texts(cli) == {"Deploys go out on Tuesdays"}
    assert "restored" in cli("status", "--json").json[0]["alarms"][0]["text"]


def test_a_backup_restores_into_an_empty_home_without_a_question(cli: Cli, added: str, tmp_path: Path) -> None:
    """After the loss of a machine there is nothing that could be overwritten."""
    cli("backup", str(tmp_path / "backup.db"))
    other = str(tmp_path / "other")
    assert cli("restore", str(tmp_path / "backup.db"), "--home", other).code == 0
    assert cli("get", added, "--home", other).code == 0


def test_restore_asks_first(cli: Cli, added: str, tmp_path: Path) -> None:
    """The question names the count; any answer but yes, and none, changes nothing."""
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
    """No file is overwritten, and what is no backup takes no store's place."""
    mine = tmp_path / "mine.txt"
    mine.write_text("mine " * 2_000)
    cli("backup", str(mine)).failed(2, "already")
    cli("restore", str(mine), "--yes").failed(1, "no backup", "memcrdt backup")
    cli("restore", str(tmp_path / "nowhere")).failed(2, "nowhere")
    assert mine.read_text() == "mine " * 2_000
    assert texts(cli) == {"Deploys go out on Tuesdays"}


def test_a_healthy_store_has_no_findings(cli: Cli, added: str) -> None:
    """Nothing on stdout, exit code 0, with and without --repair."""
    for arguments in (["doctor"], ["doctor", "--repair"]):
        ran = cli(*arguments)
        assert (ran.code, ran.out, ran.err) == (0, "", "memcrdt: no problems\n")


def test_doctor_only_looks_until_told_to_repair(cli: Cli, home: Path, added: str) -> None:
    """Exit code 1 as long as something is wrong; the repair is told line by line, and 0 when all is well again."""
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
    """Such as the extension that is missing: it is told, and all is well, without `again`."""
    monkeypatch.setattr("memcrdt.store.recovery.doctor.load_vector_functions", lambda db: False)
    ran = cli("doctor", "--json")
    assert (ran.code, [finding["what"] for finding in ran.json]) == (0, ["note"])
    assert ran.err == "memcrdt: no problems\n"


def test_doctor_says_what_is_left_wrong(cli: Cli, home: Path, added: str) -> None:
    """A row that others build on is lost: what waits for other devices stays a problem, until it is given up."""
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
    """When only its first page is left, no repair helps: it says so, and the backup does."""
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
    """Where there is none, there is nothing to look at: exit code 3."""
    cli("doctor").failed(3, str(home))
    assert not home.exists()
