"""What this machine has, and what this process takes of it."""

import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def peak_memory_bytes() -> int:
    """Largest resident size of this process so far, in bytes."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return _largest()
    # What getrusage tells on Linux is that of whoever started this process, where that was larger.
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), _largest())


def forget_gpu_peak(device: "torch.device") -> None:
    """Let ``gpu_peak_bytes`` count from here on; nothing happens where ``device`` is no GPU."""
    if device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device)


def gpu_peak_bytes(device: "torch.device") -> int | None:
    """The most memory that torch's tensors held on this GPU at once, in bytes; None where ``device`` is none."""
    if device.type != "cuda":
        return None
    import torch

    return torch.cuda.max_memory_allocated(device)


def _largest() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def resident_bytes() -> int:
    """Resident size of this process now; where the system does not tell, its largest so far."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return peak_memory_bytes()
    return pages * os.sysconf("SC_PAGE_SIZE")


def free_bytes() -> int:
    """Memory that a new process could fill: what the system calls available, within the limit of its container.

    Where the system does not tell, all the memory that is built in.
    """
    return min(_available(), _left_in_container())


def _available() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields["MemAvailable"].split()[0]) * 1024


def _left_in_container() -> int:
    folder = Path("/sys/fs/cgroup")
    try:
        most = int((folder / "memory.max").read_text())
        return most - int((folder / "memory.current").read_text())
    except (OSError, ValueError):  # no container, or one without a limit
        return sys.maxsize
