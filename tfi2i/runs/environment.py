"""Circumstances that a run depends on outside its settings, for its record."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from tfi2i.processes import answer_of

GIT_SECONDS = 20


def describe() -> dict[str, Any]:
    """Versions, commit, platform and devices, as plain values; starts TensorFlow."""
    import tensorflow as tf

    details = tf.config.experimental.get_device_details
    devices = [
        {"name": device.name, "kind": details(device).get("device_name", device.device_type)}
        for device in tf.config.list_physical_devices()
    ]
    packages = ("tfi2i", "tensorflow", "keras", "numpy", "pillow", "tensorflow-datasets")
    return {
        "versions": {"python": platform.python_version()} | {p: _version(p) for p in packages},
        "commit": _commit(Path(__file__).parents[2]),
        "platform": platform.platform(),
        "machine": platform.node(),
        "cpus": os.cpu_count(),
        "devices": devices,
    }


def processor() -> str | None:
    """The CPU's name, as Linux has it; elsewhere what Python knows, or None."""
    known = _fields(Path("/proc/cpuinfo"))
    return known.get("model name") or known.get("Model") or platform.processor() or None


def memory_mb(*, peak: bool) -> float | None:
    """Memory of this process, now or at its peak; None where the system is not Linux.

    Not getrusage's ru_maxrss: to that a new process inherits what its parent had.
    """
    value = _fields(Path("/proc/self/status")).get("VmHWM" if peak else "VmRSS")
    return None if value is None else int(value.split()[0]) * 1024 / 1e6


def _fields(file: Path) -> dict[str, str]:
    """The lines `key: value` of a file of Linux, the last one of each key; none elsewhere."""
    lines = file.read_text(errors="replace").splitlines() if file.is_file() else []
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit(checkout: Path) -> str | None:
    """The checkout's commit, `+changes` behind it if files differ from it; None outside of one."""
    if not (checkout / ".git").exists():
        return None
    git = ("git", "-C", str(checkout))
    commit = answer_of(*git, "rev-parse", "HEAD", seconds=GIT_SECONDS)
    changes = answer_of(*git, "status", "--porcelain", "--untracked-files=no", seconds=GIT_SECONDS)
    if commit is None or changes is None:
        return None
    return f"{commit.strip()}+changes" if changes else commit.strip()


def fast_precision() -> str:
    """bfloat16 where the processor multiplies it natively, else float32, which is faster then."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        native = details.get("compute_capability", (0, 0)) >= (8, 0)
    else:
        flags = _fields(Path("/proc/cpuinfo")).get("flags", "").split()
        native = "amx_bf16" in flags or "avx512_bf16" in flags
    return "mixed_bfloat16" if native else "float32"
