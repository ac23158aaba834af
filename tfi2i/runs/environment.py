"""What a run depends on outside its settings, for its record."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any


def describe() -> dict[str, Any]:
    """Versions, commit, platform and devices, as plain values; starts TensorFlow."""
    import tensorflow as tf

    devices = []
    for device in tf.config.list_physical_devices():
        details = tf.config.experimental.get_device_details(device)
        devices.append(
            {"name": device.name, "kind": details.get("device_name", device.device_type)}
        )
    packages = ("tfi2i", "tensorflow", "keras", "numpy", "pillow", "tensorflow-datasets")
    return {
        "versions": {"python": platform.python_version()}
        | {name: _version(name) for name in packages},
        "commit": _commit(Path(__file__).parent.parent),
        "platform": platform.platform(),
        "machine": platform.node(),
        "cpus": os.cpu_count(),
        "devices": devices,
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit(checkout: Path) -> str | None:
    """The checkout's commit, `+changes` behind it if files differ from it; None outside of one."""
    if not (checkout / ".git").exists():
        return None
    answers = []
    for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"]):
        try:
            answer = subprocess.run(
                ["git", "-C", str(checkout), *command], capture_output=True, text=True, timeout=20
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        if answer.returncode:
            return None
        answers.append(answer.stdout.strip())
    commit, changes = answers
    return f"{commit}+changes" if changes else commit


def fast_precision() -> str:
    """bfloat16 where the processor multiplies it natively, else float32, which is faster then."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        native = details.get("compute_capability", (0, 0)) >= (8, 0)
    else:
        cpuinfo = Path("/proc/cpuinfo")
        flags = cpuinfo.read_text().split() if cpuinfo.is_file() else []
        native = "amx_bf16" in flags or "avx512_bf16" in flags
    return "mixed_bfloat16" if native else "float32"
