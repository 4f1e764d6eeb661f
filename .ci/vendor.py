"""Get the libraries of the dashboard's page from npm, as memcrdt/server/static/vendor/lock.json names them.

`python .ci/vendor.py` writes the files and their hashes. To take another version, change the lock and run it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VENDOR = Path(__file__).parents[1] / "memcrdt" / "server" / "static" / "vendor"


def packed(name: str, version: str) -> dict[str, bytes]:
    """Return the files of a package by their path in it."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", f"{name}@{version}", "--silent"]
        subprocess.run(command, cwd=folder, check=True, stdout=sys.stderr)  # noqa: S603 - names from the lock
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as tar:
            files = {member.name: tar.extractfile(member) for member in tar.getmembers() if member.isfile()}
            return {path.partition("/")[2]: file.read() for path, file in files.items() if file is not None}


def main() -> None:
    """Write the files, their licences and the lock."""
    lock = json.loads((VENDOR / "lock.json").read_text("utf-8"))
    licences = []
    for package in lock:
        files = packed(package["name"], package["version"])
        licences.append(f"{package['name']} {package['version']}, {package['licence']}\n\n")
        licences.append(files[package["licence_file"]].decode("utf-8").strip() + "\n\n\n")
        content = files[package["path"]].decode("utf-8")
        for old, new in package.get("replace", {}).items():
            assert old in content, f"{package['name']} does not contain {old}"
            content = content.replace(old, new)
        (VENDOR / package["file"]).write_text(content, encoding="utf-8", newline="\n")
        package["sha256"] = hashlib.sha256(content.encode()).hexdigest()
    (VENDOR / "licences.txt").write_text("".join(licences).rstrip() + "\n", encoding="utf-8", newline="\n")
    (VENDOR / "lock.json").write_text(json.dumps(lock, indent=2) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
