"""The settings of a home, read from the optional file `config.toml` beside the store. docs/config.md explains them."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from memcrdt.errors import InputError, StoreError
from memcrdt.model.checks import check_label, check_name, check_port
from memcrdt.model.ports import AUTO
from memcrdt.model.relay_addresses import RELAYS, relay_address
from memcrdt.paths import CONFIG_FILE, make_private

FILE: Final = CONFIG_FILE
FILE_BYTES: Final = 64 * 1024
NUMBER_MAX: Final = 1_000_000_000
EMBEDDER_VARIABLE: Final = "MEMCRDT_EMBEDDER"
THREADS_MAX: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings of a home.

    Attributes:
        budget_mb: Maximum size of the store's file in MiB; 0 for no limit.
        forget_expired_days: Days after its expiry when a memory is forgotten by the device that it comes from; 0 for
            never.
        embedder: The embedder, as `memcrdt.open(embedder=…)` takes it. The default is $MEMCRDT_EMBEDDER, or "auto".
        embed_threads: The number of threads that embed memories with the transformer of `auto`, in the background.
        reranker: The name of a reranker of fastembed, or a folder with a cross-encoder; None for none.
        device_name: The name that other devices see; None for the name of the machine.
        mdns: Whether to announce this device and find other devices by multicast DNS.
        tailscale: Whether to ask the machines of the tailnet for other devices.
        port: The port to listen at; 0 for any free one, "auto" for 27380, or for another one if that is taken.
        relays: The relays for devices that no direct path reaches, each as HOST:PORT, beside those of the spaces.
        capture: Whether the hooks of coding agents turn statements of the user into memories.
    """

    budget_mb: int = 4_096
    forget_expired_days: int = 30
    embedder: str = field(default_factory=lambda: os.environ.get(EMBEDDER_VARIABLE) or "auto")
    embed_threads: int = 1
    reranker: str | None = None
    device_name: str | None = None
    mdns: bool = True
    tailscale: bool = True
    port: int | str = AUTO
    relays: tuple[str, ...] = ()
    capture: bool = False


def load(home: Path) -> Config:
    """Return the settings of a home, with defaults for missing ones.

    Args:
        home: The folder of the home.

    Raises:
        InputError: The file cannot be read, or a setting is invalid. The message names the file and the setting.
    """
    return Config(**written(home))


def written(home: Path) -> dict[str, Any]:
    """Return the checked settings in the file of a home; empty if there is no file. Raises InputError like load()."""
    path = home / FILE
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):  # opening the home reports that it is not a folder
        return {}
    except OSError as exc:
        raise InputError(f"{path} cannot be read ({exc.strerror}); check its owner and permissions") from exc
    if len(data) > FILE_BYTES:
        raise InputError(f"{path} has {len(data):,} bytes; the maximum for a configuration is {FILE_BYTES:,}")
    try:
        found = tomllib.loads(data.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise InputError(f"{path} is not valid TOML: {exc}") from exc
    except RecursionError as exc:
        raise InputError(f"{path} is nested too deeply; a setting is a text, a number, true or false") from exc
    return _checked(found, path)


def change(home: Path, name: str, value: str | int | Sequence[str]) -> Config:
    """Write one setting into the file and leave the rest of the file as it is.

    Args:
        home: The folder of the home. It is created if it is missing.
        name: The name of the setting.
        value: The new value.

    Returns:
        All settings after the change.

    Raises:
        InputError: The setting or another one in the file is invalid.
        StoreError: The file cannot be written.
    """
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
        make_private(home)
        temporary.write_text("\n".join(lines) + "\n", "utf-8")
        os.replace(temporary, path)  # noqa: PTH105 - atomic on every platform
    except OSError as exc:
        raise StoreError(
            f"{path} cannot be written ({exc.strerror or exc}); check the folder and its permissions"
        ) from exc
    return config


def _checked(found: dict[str, Any], path: Path) -> dict[str, Any]:
    known = {f.name for f in fields(Config)}
    if unknown := sorted(set(found) - known):
        raise InputError(f"{path}: there is no setting {unknown[0]!r}; the settings are {', '.join(sorted(known))}")
    for name in ("budget_mb", "forget_expired_days"):
        value = found.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= NUMBER_MAX:
            raise InputError(f"{path}: {name} is {value!r}; give a whole number, or 0 to switch it off")
    threads = found.get("embed_threads", 1)
    if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= THREADS_MAX:
        raise InputError(f"{path}: embed_threads is {threads!r}; give a whole number from 1 to {THREADS_MAX}")
    for name in ("mdns", "tailscale", "capture"):
        if not isinstance(found.get(name, True), bool):
            raise InputError(f"{path}: {name} is {found[name]!r}; write true or false")
    for name in ("embedder", "reranker"):
        if name in found:
            check_label(found[name], f"{path}: {name}")
    if "port" in found:
        check_port(found["port"], f"{path}: port")
    if "relays" in found:
        found = {**found, "relays": _checked_relays(found["relays"], path)}
    if "device_name" in found:
        check_name(found["device_name"], f"{path}: device_name")
    return found


def _checked_relays(value: object, path: Path) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or len(value) > RELAYS:
        raise InputError(
            f'{path}: relays is {value!r}; give a list of up to {RELAYS} addresses, such as ["relay.example:27392"]'
        )
    try:
        return tuple(map(relay_address, value))
    except InputError as exc:
        raise InputError(f"{path}: relays: {exc}") from exc
