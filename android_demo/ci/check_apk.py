"""Checks an APK for what Android's installer and class loader would refuse.

`ci/apk.sh` runs it with an interpreter that has androguard. It prints a row for each check and
fails if one of them does. It does not show that the APK runs.
"""

import argparse
import hashlib
import re
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Set
from pathlib import Path
from typing import IO, Any, NamedTuple

ACC_NATIVE = 0x100
ELF_MACHINES = {"arm64-v8a": 183, "x86_64": 62}
PAGE = 4096
ANDROID = "{http://schemas.android.com/apk/res/android}"
# Classes that must be found in the framework or in the dex. The framework's jar has no java.*.
CHECKED_PACKAGES = ("android/", "dalvik/", "org/", "kotlin/", "com/google/", "dev/tfi2i/")


class Row(NamedTuple):
    """One check: its name, whether it passed, and what was found."""

    check: str
    passed: bool
    found: str


class Manifest(NamedTuple):
    """Reads the manifest.

    Classes are written as `dev/tfi2i/demo/MainActivity`, a permission that ends with an API level
    as `android.permission.WRITE_EXTERNAL_STORAGE@28`.
    """

    package: str
    version: str
    launcher: str | None
    components: frozenset[str]
    permissions: frozenset[str]
    min_sdk: int
    target_sdk: int


class Code(NamedTuple):
    """Reads what the dex files define, refer to and leave to native libraries."""

    defined: frozenset[str]
    referred: frozenset[str]
    native: frozenset[tuple[str, str]]  # class and method


def shown(names: Iterable[str]) -> str:
    """Names on one line; "none" where there are none."""
    return ", ".join(sorted(names)) or "none"


def data_offset(stream: IO[bytes], entry: zipfile.ZipInfo) -> int:
    """Returns where an entry's bytes begin; its local header's extra field has its own length."""
    stream.seek(entry.header_offset)
    header = stream.read(30)
    name_length, extra_length = struct.unpack("<HH", header[26:30])
    return entry.header_offset + len(header) + int(name_length) + int(extra_length)


def is_native(name: str) -> bool:
    """Tells whether the name of an entry is a native library's."""
    return name.startswith("lib/") and name.endswith(".so")


def stored_row(archive: zipfile.ZipFile) -> Row:
    """Models, resource tables and native libraries are mapped as they lie: not compressed."""
    mapped = [
        entry
        for entry in archive.infolist()
        if entry.filename.endswith((".tflite", ".arsc")) or is_native(entry.filename)
    ]
    packed = [e.filename for e in mapped if e.compress_type != zipfile.ZIP_STORED]
    found = f"compressed: {shown(packed)}" if packed else f"{len(mapped)} files"
    return Row("stored: models, .arsc, .so", bool(mapped) and not packed, found)


def aligned_row(archive: zipfile.ZipFile, stream: IO[bytes]) -> Row:
    """Stored entries begin at a multiple of 4 bytes, native libraries at a page."""
    crooked = []
    stored = [e for e in archive.infolist() if e.compress_type == zipfile.ZIP_STORED]
    for entry in stored:
        if data_offset(stream, entry) % (PAGE if is_native(entry.filename) else 4):
            crooked.append(entry.filename)
    found = f"not aligned: {shown(crooked)}" if crooked else f"{len(stored)} stored entries"
    return Row(f"aligned: 4, .so {PAGE}", bool(stored) and not crooked, found)


def native_rows(archive: zipfile.ZipFile, abis: Iterable[str]) -> list[Row]:
    """Checks that just these ABIs have equal lists of libraries, each built for its processor."""
    libraries: dict[str, set[str]] = {abi: set() for abi in abis}
    wanted = set(libraries)
    foreign = []
    for name in filter(is_native, archive.namelist()):
        _, abi, library = name.split("/", 2)
        libraries.setdefault(abi, set()).add(library)
        with archive.open(name) as elf:
            head = elf.read(20)
        machine = struct.unpack("<H", head[18:20])[0] if head[:4] == b"\x7fELF" else None
        if machine != ELF_MACHINES.get(abi):
            foreign.append(name)
    same = len({frozenset(names) for names in libraries.values()}) == 1 and all(libraries.values())
    found = "; ".join(f"{abi}: {shown(names)}" for abi, names in sorted(libraries.items()))
    return [
        Row("native libraries", same and set(libraries) == wanted, found),
        Row("built for their processor", not foreign, shown(foreign) if foreign else "all"),
    ]


def symbol(name: str, method: str) -> bytes:
    """The function that a native method is bound to, by the Java Native Interface's mangling."""
    mangled = [part.replace("_", "_1").replace("/", "_") for part in (name, method)]
    return "_".join(["Java", *mangled]).encode()


def bound_row(archive: zipfile.ZipFile, native: Iterable[tuple[str, str]]) -> Row:
    """Every native method has its function in the libraries of every ABI."""
    symbols = {method: symbol(*method) for method in native}
    contents: dict[str, bytes] = {}
    for name in filter(is_native, archive.namelist()):
        abi = name.split("/")[1]
        contents[abi] = contents.get(abi, b"") + archive.read(name)
    unbound = {
        f"{abi}: {'.'.join(method)}"
        for method, wanted in symbols.items()
        for abi, content in contents.items()
        if wanted not in content
    }
    found = f"not in {shown(unbound)}" if unbound else f"{len(symbols)} methods"
    return Row("native methods", bool(contents) and not unbound, found)


def models_row(archive: zipfile.ZipFile) -> Row:
    """Every model is a TFLite file and the one that the sidecar beside it describes."""
    names = set(archive.namelist())
    files = [n for n in names if n.startswith("assets/models/") and n.endswith(".tflite")]
    models = [n for n in files if not n.endswith("-encoder.tflite")]  # which no app opens
    wrong = []
    for name in models:
        content = archive.read(name)
        sidecar = name.removesuffix(".tflite") + ".json"
        told = archive.read(sidecar) if sidecar in names else b""
        digest = hashlib.sha256(content).hexdigest().encode()
        if content[4:8] != b"TFL3" or digest not in told:
            wrong.append(name)
    found = f"not the sidecar's: {shown(wrong)}" if wrong else shown(Path(n).name for n in models)
    return Row("models with their sidecars", bool(models) and not wrong, found)


def manifest_rows(manifest: Manifest, wanted: argparse.Namespace, defined: Set[str]) -> list[Row]:
    """The package, permissions and API levels are as wanted, and the dex has the components."""
    missing = manifest.components - defined
    components = f"missing: {shown(missing)}" if missing else shown(manifest.components)
    sdk = f"min {manifest.min_sdk}, target {manifest.target_sdk}"
    sdk_as_wanted = (manifest.min_sdk, manifest.target_sdk) == (wanted.min_sdk, wanted.target_sdk)
    as_wanted = manifest.permissions == set(wanted.permission)
    offline = not any("INTERNET" in name for name in manifest.permissions)
    return [
        Row("package", manifest.package == wanted.package, manifest.package),
        Row("launcher", manifest.launcher in defined, manifest.launcher or "none"),
        Row("components", not missing, components),
        Row("permissions", as_wanted, shown(manifest.permissions)),
        Row("offline", offline, "no INTERNET" if offline else "INTERNET"),
        Row("API levels", sdk_as_wanted, sdk),
    ]


def references_rows(code: Code, framework: Set[str], absent: Iterable[str]) -> list[Row]:
    """Every class referred to exists, but in the packages that are left out on purpose."""
    checked = {name for name in code.referred if name.startswith(CHECKED_PACKAGES)}
    unknown = checked - code.defined - framework
    prefixes = tuple(package.replace(".", "/") + "/" for package in absent)
    left_out = {name for name in unknown if name.startswith(prefixes)}
    missing = unknown - left_out
    found = f"missing: {shown(missing)}" if missing else f"{len(checked)} classes"
    rows = [Row("classes referred to", bool(checked) and not missing, found)]
    if prefixes:
        rows.append(Row("left out on purpose", bool(left_out), shown(left_out)))
    return rows


def views_row(tags: set[str], known: Set[str]) -> Row:
    """Views that layouts name in full exist."""
    own = {tag.replace(".", "/") for tag in tags if "." in tag}
    missing = own - known
    found = f"missing: {shown(missing)}" if missing else shown(own)
    return Row("views of the layouts", not missing, found)


def schemes(report: str) -> set[str]:
    """The signature schemes that `apksigner verify --verbose` says hold: {"v2", "v3"}."""
    return set(re.findall(r"^Verified using (v\d) scheme.*: true$", report, flags=re.MULTILINE))


def signature_row(apk: Path, min_sdk: int) -> Row:
    """Signed with schemes v2 and v3."""
    command = ["apksigner", "verify", "--verbose", "--min-sdk-version", str(min_sdk), str(apk)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    held = schemes(run.stdout)
    found = shown(held) if run.returncode == 0 else run.stderr.strip().splitlines()[-1]
    return Row("signatures", run.returncode == 0 and {"v2", "v3"} <= held, found)


def framework_classes(jar: Path) -> set[str]:
    """The classes of the framework, as `android/app/Activity`."""
    with zipfile.ZipFile(jar) as archive:
        names = (n for n in archive.namelist() if n.endswith(".class"))
        return {name.removesuffix(".class") for name in names}


def read_code(apk: Any) -> Code:
    """The dex files of an androguard APK."""
    from androguard.core.dex import DEX, TypeMapItem  # type: ignore[import-not-found]

    defined, referred, native = set(), set(), set()
    for content in apk.get_all_dex():
        dex = DEX(content)
        defined |= {item.get_name()[1:-1] for item in dex.get_classes()}
        for item in dex.map_list.get_item_type(TypeMapItem.TYPE_ID_ITEM).get_type():
            descriptor = item.descriptor_idx_value.lstrip("[")
            if descriptor.startswith("L"):
                referred.add(descriptor[1:-1])
        for method in dex.get_encoded_methods():
            if method.get_access_flags() & ACC_NATIVE:
                native.add((method.get_class_name()[1:-1], method.get_name()))
    return Code(frozenset(defined), frozenset(referred), frozenset(native))


def read_manifest(apk: Any) -> Manifest:
    """The manifest of an androguard APK."""
    launcher = apk.get_main_activity()
    components = [
        *apk.get_activities(),
        *apk.get_providers(),
        *apk.get_services(),
        *apk.get_receivers(),
        *filter(None, [apk.get_attribute_value("application", "name", format_value=True)]),
    ]
    permissions = set()
    for element in apk.get_android_manifest_xml().iter():
        if str(element.tag).startswith("uses-permission"):
            last = element.get(f"{ANDROID}maxSdkVersion")
            permissions.add(element.get(f"{ANDROID}name") + (f"@{last}" if last else ""))
    return Manifest(
        package=apk.get_package(),
        version=f"{apk.get_androidversion_name()} ({apk.get_androidversion_code()})",
        launcher=launcher and launcher.replace(".", "/"),
        components=frozenset(name.replace(".", "/") for name in components),
        permissions=frozenset(permissions),
        min_sdk=int(apk.get_min_sdk_version() or 1),
        target_sdk=int(apk.get_target_sdk_version() or 1),
    )


def layout_elements(apk: Any) -> set[str]:
    """The names of all elements of the layouts of an androguard APK."""
    from androguard.core.axml import AXMLPrinter  # type: ignore[import-not-found]

    layouts = [name for name in apk.get_files() if name.startswith("res/layout")]
    trees = [AXMLPrinter(apk.get_file(name)).get_xml_obj() for name in layouts]
    return {element.tag for tree in trees for element in tree.iter()}


def examine(arguments: argparse.Namespace) -> list[Row]:
    """All checks of one APK."""
    from androguard.core.apk import APK  # type: ignore[import-not-found]
    from loguru import logger  # type: ignore[import-not-found]

    logger.remove()
    path = arguments.apk
    apk = APK(str(path))
    manifest = read_manifest(apk)
    code = read_code(apk)
    framework = framework_classes(arguments.framework)
    print(f"{path.name}: {manifest.package} {manifest.version}, {path.stat().st_size:,} bytes")
    with path.open("rb") as stream, zipfile.ZipFile(path) as archive:
        files = [stored_row(archive), aligned_row(archive, stream), models_row(archive)]
        files += [*native_rows(archive, arguments.abi), bound_row(archive, code.native)]
    return [
        signature_row(path, arguments.min_sdk),
        *manifest_rows(manifest, arguments, code.defined),
        *references_rows(code, framework, arguments.absent),
        views_row(layout_elements(apk), code.defined | framework),
        *files,
    ]


def table(rows: list[Row]) -> str:
    """The rows, a line each, and the count that ends them."""
    width = max(len(row.check) for row in rows)
    lines = [
        f"{row.check:{width}}  {'ok  ' if row.passed else 'FAIL'}  {row.found}" for row in rows
    ]
    failed = sum(not row.passed for row in rows)
    return "\n".join([*lines, f"{len(rows) - failed} passed, {failed} failed"])


def main() -> int:
    """Exit status 1 if a check fails."""
    parser = argparse.ArgumentParser(description="Checks an APK.")
    parser.add_argument("apk", type=Path)
    parser.add_argument("--framework", type=Path, required=True, help="the framework's classes")
    parser.add_argument("--package", required=True)
    parser.add_argument("--permission", action="append", default=[], help="all that it may ask for")
    parser.add_argument("--abi", action="append", required=True, choices=sorted(ELF_MACHINES))
    parser.add_argument("--min-sdk", type=int, required=True)
    parser.add_argument("--target-sdk", type=int, required=True)
    parser.add_argument("--absent", action="append", default=[], help="a package left out")
    arguments = parser.parse_args()
    for path in (arguments.apk, arguments.framework):
        if not zipfile.is_zipfile(path):
            parser.error(f"{path} is not there or not a zip file")
    rows = examine(arguments)
    print(table(rows))
    return 0 if all(row.passed for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
