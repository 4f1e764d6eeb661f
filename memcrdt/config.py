"""The settings of a home: `config.toml` beside the store, all of them optional. docs/config.md explains each."""

from __future__ import annotations

import json
import os
import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from memcrdt.errors import InputError, StoreError
from memcrdt.model.checks import check_label, check_name

FILE: Final = "config.toml"
FILE_BYTES: Final = 64 * 1024
NUMBER_MAX: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """`budget_mb`: what the store's file may take, in MiB, 0 for no limit. `forget_expired_days`: after how many days a
    memory that has expired is forgotten by the device it comes from, 0 for never. `device_name`: what others see.
    `mdns` and `tailscale`: whether other devices are looked for, and found, by these."""

    budget_mb: int = 4_096
    forget_expired_days: int = 30
    embedder: str = "static"
    device_name: str | None = None
    mdns: bool = True
    tailscale: bool = True


def load(home: Path) -> Config:
    """The settings of a home; the defaults where nothing is said. Raises InputError that names file and setting."""
    return Config(**written(home))


def written(home: Path) -> dict[str, Any]:
    """What the file of a home says, checked; nothing if there is no file. Raises as load() does."""
    path = home / FILE
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):  # that the home is no folder is said when it is opened
        return {}
    except OSError as exc:
        raise InputError(f"{path} can't be read ({exc.strerror}); check its owner and mode") from exc
    if len(data) > FILE_BYTES:
        raise InputError(f"{path} has {len(data):,} bytes; a configuration takes {FILE_BYTES:,}")
    try:
        found = tomllib.loads(data.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise InputError(f"{path} is no TOML: {exc}") from exc
    return _checked(found, path)


def change(home: Path, name: str, value: str | int) -> Config:
    """Writes one setting into the file, and leaves the rest of it as it is. Raises InputError, StoreError."""
    path = home / FILE
    config = Config(**_checked({**written(home), name: value}, path))
    lines = path.read_text("utf-8-sig").splitlines() if path.exists() else []
    line = f"{name} = {json.dumps(value, ensure_ascii=False)}"
    setting = re.compile(rf"\s*{name}\s*=")
    places = [n for n, text in enumerate(lines) if setting.match(text)]
    if places:
        lines[places[0]] = line
    else:
        lines.insert(0, line)  # before the first table, if there is one
    temporary = path.with_suffix(".new")
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary.write_text("\n".join(lines) + "\n", "utf-8")
        os.replace(temporary, path)  # noqa: PTH105 - atomic on every platform
    except OSError as exc:
        raise StoreError(f"{path} can't be written ({exc.strerror or exc}); check the folder and its mode") from exc
    return config


def _checked(found: dict[str, Any], path: Path) -> dict[str, Any]:
    known = {f.name for f in fields(Config)}
    if unknown := sorted(set(found) - known):
        raise InputError(f"{path}: there is no setting {unknown[0]!r}; the settings are {', '.join(sorted(known))}")
    for name in ("budget_mb", "forget_expired_days"):
        value = found.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= NUMBER_MAX:
            raise InputError(f"{path}: {name} is {value!r}; give a whole number, or 0 to switch it off")
    for name in ("mdns", "tailscale"):
        if not isinstance(found.get(name, True), bool):
            raise InputError(f"{path}: {name} is {found[name]!r}; write true or false")
    if "embedder" in found:
        check_label(found["embedder"], f"{path}: embedder")
    if "device_name" in found:
        check_name(found["device_name"], f"{path}: device_name")
    return found
