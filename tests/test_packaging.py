"""The wheel is whole: it works wherever it is installed, without the checkout."""

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email.parser import BytesParser
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
TRAIN, DEMO = "train nice_gan/scenes --smoke", "demo --smoke"  # 30 and 80 s of a processor

# Runs commands in one process, then prints which files of ours were imported.
USE = """
import sys
from tfi2i.cli import main
for command in sys.argv[1:]:
    assert main(command.split()) == 0, command
ours = [m for name, m in sys.modules.items() if name.split(".")[0] in ("tfi2i", "tfi2i_export")]
print("imported", *sorted(m.__file__ for m in ours), sep="\\n")
"""


def run(*command: object, cwd: Path, **environment: str) -> str:
    """Returns the output of a command that ends well, without the tests' own search path."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=CHECKOUT)
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def wheel(sdist):
    """A wheel of the sdist, so that whatever building needs is known to be in that."""
    options = ("--no-deps", "--no-index", "--no-build-isolation", "--no-cache-dir")
    wheels = sdist.parent / "wheels"
    run(sys.executable, "-m", "pip", "wheel", *options, "-w", wheels, sdist, cwd=sdist.parent)
    (path,) = wheels.iterdir()
    return path


@pytest.fixture
def python(tmp_path):
    """An interpreter with the dependencies of the tests' own, but no tfi2i."""
    home = tmp_path / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    purelib = run(
        python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path
    ).strip()
    paths = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    Path(purelib, "dependencies.pth").write_text("\n".join(paths), encoding="utf-8")
    return python


def install(wheel: Path, *where: object, python: Path | str = sys.executable) -> None:
    pip = (sys.executable, "-m", "pip", "--python", python, "install")
    run(*pip, "--no-deps", "--no-index", *where, wheel, cwd=wheel.parent)


def use(
    python: Path, script: Path, home: Path, cwd: Path, *commands: str, **environment: str
) -> None:
    """Uses the program installed in `home` from a folder outside of the checkout."""
    cwd.mkdir()
    assert "nice_gan/scenes" in run(python, script, "list", cwd=cwd, **environment)
    imported = run(python, "-c", USE, *commands, cwd=cwd, **environment).partition("\nimported\n")[
        2
    ]
    files = imported.splitlines()
    assert len(files) > 30
    assert [path for path in files if not Path(path).is_relative_to(home)] == []


@pytest.mark.slow
def test_the_wheel_works_from_a_folder(wheel, python, tmp_path):
    home = tmp_path / "target"
    install(wheel, "--target", home)
    script = home / "bin" / "tfi2i"
    use(python, script, home, tmp_path / "work", TRAIN, DEMO, PYTHONPATH=str(home))


@pytest.mark.slow
def test_the_wheel_works_from_an_environment(wheel, python, tmp_path):
    install(wheel, python=python)
    use(python, python.parent / "tfi2i", python.parent.parent, tmp_path / "work", TRAIN, DEMO)


def test_the_wheel_holds_what_the_checkout_has(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {"tfi2i/py.typed", "tfi2i_export/py.typed"} <= names
    configs = {path.relative_to(CHECKOUT) for path in (CHECKOUT / "configs").rglob("*.*")}
    assert {f"tfi2i/{path.as_posix()}" for path in configs} <= names
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"tfi2i", "tfi2i_export"}


def test_the_description_has_no_link_into_the_repository(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        text = BytesParser().parsebytes(archive.read(name)).get_payload()
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links and [link for link in links if not link.startswith("https://")] == []


@pytest.mark.skipif(not (CHECKOUT / ".git").exists(), reason="not a checkout")
def test_the_sdist_is_the_checkout_without_what_git_ignores(sdist):
    with tarfile.open(sdist) as archive:
        packed = {member.name.partition("/")[2] for member in archive if member.isfile()}
    listed = run(
        *("git", "ls-files", "--cached", "--others", "--exclude-standard"), cwd=CHECKOUT
    ).splitlines()
    assert packed - {"PKG-INFO"} == {path for path in listed if (CHECKOUT / path).is_file()}
