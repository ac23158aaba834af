"""Downloads what the checks of the Android demo need, and prints where it lies.

    fetch.py kotlin-compiler junit     the paths of these, one a line
    fetch.py --use jvm                 those of all that "use" has jvm of

Everything is pinned in downloads.json by its SHA-256, comes through mvn, npm, pip or apt-get as the
machine has them set up, and stays in $TFI2I_ANDROID_CACHE (~/.cache/tfi2i-android). An entry:

    name         what scripts call it
    kind         maven, npm, pypi or debian
    coordinates  group:artifact:version[:packaging], NAME@VERSION, NAME==VERSION or NAME=VERSION
    sha256       of the file that is downloaded
    unpack       what to take out of it, such as jni/*; the path is then that of a folder, or of the
                 file if this names one. A Debian package is unpacked as a whole.
    use          scripts that want it without naming it
"""

import argparse
import fnmatch
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

MAVEN_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
LONGEST = 900  # seconds of one download

Entry = dict[str, Any]


def main() -> None:
    """Prints the paths of the entries that the command line names."""
    parser = argparse.ArgumentParser(description="Downloads what downloads.json names, once.")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--use", help="also all entries with this among their uses")
    asked = parser.parse_args()
    entries = json.loads(Path(__file__).with_name("downloads.json").read_text(encoding="utf-8"))
    by_name = {entry["name"]: entry for entry in entries}
    names = asked.names + [entry["name"] for entry in entries if asked.use in entry.get("use", [])]
    for name in dict.fromkeys(names):
        if name not in by_name:
            sys.exit(f"downloads.json has no {name}; it has {', '.join(by_name)}.")
        print(fetched(by_name[name], cache()), flush=True)


def cache() -> Path:
    """The folder that downloads stay in."""
    given = os.environ.get("TFI2I_ANDROID_CACHE")
    return Path(given).resolve() if given else Path.home() / ".cache" / "tfi2i-android"


def fetched(entry: Entry, folder: Path) -> Path:
    """The path of an entry, downloaded into a folder if it is not there.

    Raises:
        SystemExit: It cannot be downloaded or has another SHA-256; the message says so.
    """
    pattern = entry.get("unpack")
    key = hashlib.sha256(f"{entry['sha256']} {pattern}".encode()).hexdigest()[:16]
    kept = folder / f"{entry['name']}-{key}"
    if not kept.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            _fill(Path(temporary), entry)
            _move(Path(temporary, "kept"), kept)
    if pattern is None:
        (file,) = kept.iterdir()
        _check(file, entry)
        return file
    return kept if set(pattern) & set("*?[") else kept / pattern


def _fill(folder: Path, entry: Entry) -> None:
    """Makes folder/kept as it is to be kept."""
    print(f"Downloading {entry['coordinates']} ({entry['kind']})", file=sys.stderr, flush=True)
    downloads = folder / "downloads"
    downloads.mkdir()
    command = _command(entry["kind"], entry["coordinates"], downloads)
    try:
        done = subprocess.run(
            command, cwd=downloads, text=True, capture_output=True, timeout=LONGEST
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        sys.exit(f"{entry['name']} cannot be downloaded: {error}.")
    files = list(downloads.iterdir())
    if done.returncode or len(files) != 1:
        sys.exit(f"{entry['name']} cannot be downloaded: {(done.stderr + done.stdout)[:1000]}")
    _check(files[0], entry)
    if "unpack" in entry:
        _unpack(files[0], entry["unpack"], folder / "kept")
    else:
        downloads.rename(folder / "kept")


def _command(kind: str, coordinates: str, folder: Path) -> list[str]:
    if kind == "maven":
        target = f"-DoutputDirectory={folder}"
        return ["mvn", "-B", "-q", MAVEN_COPY, f"-Dartifact={coordinates}", target]
    if kind == "npm":
        return ["npm", "pack", "--loglevel=error", coordinates]
    if kind == "pypi":
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        return [*pip, "--quiet", coordinates]
    if kind == "debian":
        return ["apt-get", "download", "-qq", coordinates]
    sys.exit(f"downloads.json: {kind} is none of maven, npm, pypi and debian.")


def _check(file: Path, entry: Entry) -> None:
    with file.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    if sha256 != entry["sha256"]:
        sys.exit(f"{file} has the SHA-256 {sha256}, and downloads.json says {entry['sha256']}.")


def _unpack(file: Path, pattern: str, folder: Path) -> None:
    folder.mkdir()
    if file.suffix == ".deb":
        subprocess.run(["dpkg-deb", "-x", file, folder], check=True)
    elif file.suffix == ".tgz":
        with tarfile.open(file) as archive:
            names = fnmatch.filter(archive.getnames(), pattern)
            archive.extractall(folder, [archive.getmember(name) for name in names], filter="data")
    else:
        with zipfile.ZipFile(file) as archive:
            archive.extractall(folder, fnmatch.filter(archive.namelist(), pattern))
    if not any(folder.iterdir()):
        sys.exit(f"{file.name} has nothing like {pattern}.")


def _move(made: Path, kept: Path) -> None:
    try:
        made.rename(kept)
    except OSError:
        if not kept.is_dir():  # else another process was quicker
            raise
        shutil.rmtree(made)


if __name__ == "__main__":
    main()
