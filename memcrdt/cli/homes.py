"""`memcrdt init` and `memcrdt path`."""

from __future__ import annotations

from memcrdt.cli.face import Face, command, pass_face
from memcrdt.cli.output import readable


@command("init")
@pass_face
def init_command(face: Face) -> None:
    """Make the memory and the key of this device.

    Every other command does it too when it is the first. A second time, this only shows what is there.
    """
    with face.open() as memory:
        device = memory.store.device if face.json else readable(memory.store.device)
        face.printer.record({"home": str(memory.home), "device": device})


@command("path")
@pass_face
def path_command(face: Face) -> None:
    """Print the folder that holds the memory, which need not be there yet."""
    from memcrdt._open import home_folder

    face.printer.value("home", str(home_folder(face.home)))
