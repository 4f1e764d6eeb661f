"""`memcrdt config`."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from memcrdt.cli.face import Face, command, pass_face
from memcrdt.cli.output import Column


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingLine:
    """A setting as it is printed. `origin` is the file that says so, or `default`."""

    name: str
    value: str | int | bool | None
    origin: str


_SETTINGS: tuple[Column[SettingLine], ...] = (
    Column("setting", lambda line: line.name),
    Column("value", lambda line: line.value),
    Column("from", lambda line: line.origin),
)


@command("config")
@pass_face
def config_command(face: Face) -> None:
    """Show the settings of this home, and where each comes from. They are changed in its config.toml."""
    from memcrdt import config
    from memcrdt._open import home_folder

    home = home_folder(face.home)
    said = config.written(home)
    origins = dict.fromkeys(said, str(home / config.FILE))
    settings = asdict(config.Config(**said))
    lines = [SettingLine(name=k, value=v, origin=origins.get(k, "default")) for k, v in settings.items()]
    face.printer.table(lines, _SETTINGS)
