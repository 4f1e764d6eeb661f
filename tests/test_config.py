"""The settings of a home."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

import memcrdt
from memcrdt import config
from memcrdt.config import Config
from memcrdt.errors import InputError, StoreError

DOCS = Path(__file__).parent.parent / "docs" / "config.md"


def test_a_home_without_settings_has_the_defaults(tmp_path: Path) -> None:
    """No setting is required."""
    assert config.load(tmp_path) == Config()


def test_settings_are_read(tmp_path: Path) -> None:
    """By open()."""
    (tmp_path / config.FILE).write_text(
        'budget_mb = 10\nforget_expired_days = 0\nembedder = "none"\ndevice_name = "büro"\n', "utf-8"
    )
    expected = Config(budget_mb=10, forget_expired_days=0, embedder="none", device_name="büro")
    assert config.load(tmp_path) == expected
    with memcrdt.open(tmp_path) as memory:
        assert memory.config == expected
    with memcrdt.open(tmp_path, device_name="desk") as memory:
        assert memory.config.device_name == "desk"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("budget = 5", "budget"),
        ("budget_mb = -1", "budget_mb"),
        ("budget_mb = true", "budget_mb"),
        ('budget_mb = "5"', "budget_mb"),
        ("forget_expired_days = 1.5", "forget_expired_days"),
        ('device_name = ""', "device_name"),
        ('device_name = "two\\nlines"', "cannot be typed"),
        (f'device_name = "{"x" * 201}"', "200"),
        ("embedder = 5", "embedder"),
        ('relays = "relay.example"', "relays"),
        ('relays = ["relay.example:port"]', "relays"),
        ("relays = [5]", "relays"),
        (f"relays = {['r'] * 5}", "up to 4"),
        ("budget_mb =", "not valid TOML"),
        ("a = " + "[" * 30_000, "nested too deeply"),
        ("# " + "x" * config.FILE_BYTES, "bytes"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, named: str) -> None:
    """The error names the file."""
    (tmp_path / config.FILE).write_text(text)
    with pytest.raises(InputError, match=named) as caught:
        config.load(tmp_path)
    assert config.FILE in str(caught.value)


def test_relays_are_addresses(tmp_path: Path) -> None:
    """Names and addresses, with and without a port. They are read in one form."""
    relays = ("relay.example:27392", "192.0.2.1:27392", "[2001:db8::1]:443")
    assert config.change(tmp_path, "relays", ["Relay.example", *relays[1:]]).relays == relays
    assert config.load(tmp_path).relays == relays


def test_changing_one_setting_leaves_the_rest(tmp_path: Path) -> None:
    """Including comments and other lines."""
    path = tmp_path / config.FILE
    path.write_text("# mine\nbudget_mb = 10  # small\nforget_expired_days = 7\n")
    assert config.change(tmp_path, "budget_mb", 20) == Config(budget_mb=20, forget_expired_days=7)
    config.change(tmp_path, "device_name", 'the "big" one')
    assert config.load(tmp_path) == Config(budget_mb=20, forget_expired_days=7, device_name='the "big" one')
    assert "# mine" in path.read_text()
    with pytest.raises(InputError):
        config.change(tmp_path, "budget_mb", -5)
    assert config.load(tmp_path).budget_mb == 20


def test_every_setting_is_documented_with_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """In docs/config.md."""
    monkeypatch.delenv(config.EMBEDDER_VARIABLE)
    text, settings = DOCS.read_text("utf-8"), Config()
    for setting in fields(Config):
        value = getattr(settings, setting.name)
        default = "unset" if value in (None, ()) else str(value).lower()
        assert f"| `{setting.name}` | {default} |" in text


def test_an_environment_variable_is_the_default_of_the_embedder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting in the file goes before it."""
    monkeypatch.setenv(config.EMBEDDER_VARIABLE, "none")
    assert config.load(tmp_path).embedder == "none"
    config.change(tmp_path, "embedder", "static")
    assert config.load(tmp_path).embedder == "static"


@pytest.mark.parametrize("wrong", ["0", "65", "true", '"2"'])
def test_the_number_of_embedding_threads_has_limits(tmp_path: Path, wrong: str) -> None:
    """From 1 to 64."""
    config.change(tmp_path, "embed_threads", 64)
    (tmp_path / config.FILE).write_text(f"embed_threads = {wrong}\n")
    with pytest.raises(InputError, match="embed_threads"):
        config.load(tmp_path)


def test_what_is_written_is_told_from_the_defaults(tmp_path: Path) -> None:
    """A caller can see which settings the file has."""
    assert config.written(tmp_path) == {}
    config.change(tmp_path, "budget_mb", 4096)
    assert config.written(tmp_path) == {"budget_mb": 4096}


def test_a_byte_order_mark_is_no_setting(tmp_path: Path) -> None:
    """Editors on Windows write one."""
    (tmp_path / config.FILE).write_text("budget_mb = 10\n", "utf-8-sig")
    assert config.load(tmp_path).budget_mb == 10
    assert config.change(tmp_path, "forget_expired_days", 7) == Config(budget_mb=10, forget_expired_days=7)
    assert config.load(tmp_path) == Config(budget_mb=10, forget_expired_days=7)


def test_a_setting_that_cannot_be_written_is_an_error_of_ours(tmp_path: Path) -> None:
    """The file stays unchanged."""
    (tmp_path / "config.new").mkdir()
    with pytest.raises(StoreError, match=r"config.toml cannot be written"):
        config.change(tmp_path, "budget_mb", 20)
    assert config.load(tmp_path) == Config()
