"""The precision a network computes in."""

from __future__ import annotations

import torch

from d3s2bench import ConfigError, Json


def autocast(protocol: Json, device: str) -> torch.autocast:
    """``fp32``, or ``bf16`` where torch deems it safe. Raises ConfigError for another."""
    if protocol["precision"] not in ("fp32", "bf16"):
        raise ConfigError(f"protocol: precision is '{protocol['precision']}', must be 'fp32' or 'bf16'")
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=protocol["precision"] == "bf16")
