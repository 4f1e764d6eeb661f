"""An agent that remembers between runs.

    python examples/agent_notes.py [HOME]

Run it several times: each run is a session in which the agent first asks its memory what it knows about the task,
then works, and notes what it learned. HOME is the folder that holds the memory; without one, it is a folder for
temporary files, so that your own memory stays as it is.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import memcrdt

PROJECT = "project/greenhouse"

# What the agent is asked to do, and what it learns while it does it: three sessions, then it starts again.
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
    """One run of the agent."""
    number = sum(1 for _ in memory.list(scope=PROJECT, kind="session"))
    task, lessons = SESSIONS[number % len(SESSIONS)]
    print(f"Session {number + 1}: {task}")

    known = memory.search(task, limit=3, scope=PROJECT, kind="lesson")
    print("What I remember:" if known else "I remember nothing about this.")
    for hit in known:
        print(f"  {hit.score:.2f}  {hit.memory.text}")

    for text, tag in lessons:
        # The same lesson learned twice is one memory.
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
