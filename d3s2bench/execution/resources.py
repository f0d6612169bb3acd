"""What a process uses."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path


def reset_peak_memory() -> None:
    """Starts a new measurement where the system can (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # elsewhere the peak is that of the whole process


def peak_memory() -> int:
    """Most resident memory since the last reset, in bytes."""
    try:
        status = Path("/proc/self/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus() -> list[str]:
    """Those that this process sees, as ``CUDA_VISIBLE_DEVICES`` names them."""
    import torch

    found, named = torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES")
    return (named.split(",") if named else [str(i) for i in range(found)])[:found]


def places(threads: int, device: str = "cpu") -> int:
    """How many stages of so many threads this machine takes at once; one where they would share a device."""
    return max(1, cores() // threads) if device == "cpu" else 1
