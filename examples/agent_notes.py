"""An agent that remembers between runs.

    python examples/agent_notes.py [HOME]

Run it several times. Each run is a session: the agent first searches its memory for the task, then works and
remembers the lessons. HOME is the folder of the memory. The default is a folder for temporary files, so that your
own memory stays unchanged.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import memcrdt

PROJECT = "project/greenhouse"

# The task of each session, and the lessons from it. After three sessions it starts again.
SESSIONS = [
    (
        "why did the irrigation valve of bed 4 stay shut?",
        [
            ("The controller of bed 4 drops its first command after a restart; send every command twice.", "hardware"),
            ("Valves are tested by opening them for two seconds, never longer while the pump is off.", "procedure"),
        ],
    ),
    (
        "write a script that waters the tomatoes in bed 4",
        [
            ("Tomatoes get four minutes of water at six in the morning, and none above 85 % humidity.", "plants"),
            ("The humidity sensor by the door reads about five points too high in the afternoon.", "hardware"),
        ],
    ),
    (
        "the humidity alarm rang at three in the afternoon: is it real?",
        [("An alarm counts as real when two sensors agree for ten minutes.", "procedure")],
    ),
]


def session(memory: memcrdt.Memory) -> None:
    """Run the agent once."""
    number = sum(1 for _ in memory.list(scope=PROJECT, kind="session"))
    task, lessons = SESSIONS[number % len(SESSIONS)]
    print(f"Session {number + 1}: {task}")

    known = memory.search(task, limit=3, scope=PROJECT, kind="lesson")
    print("What I remember:" if known else "I remember nothing about this.")
    for hit in known:
        print(f"  {hit.score:.2f}  {hit.memory.text}")

    for text, tag in lessons:
        # A lesson that is learned twice is one memory.
        memory.add(text, scope=PROJECT, kind="lesson", tags=[tag], author="greenhouse-agent", dedupe=True)
    memory.add(task, scope=PROJECT, kind="session", author="greenhouse-agent", metadata={"lessons": len(lessons)})
    print("What I learned:")
    for text, _ in lessons:
        print(f"        {text}")


def main() -> None:
    home = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.gettempdir()) / "memcrdt-agent-notes"
    with memcrdt.open(home) as memory:
        session(memory)


if __name__ == "__main__":
    main()
