"""The global state of torch that each stage begins with: what one component leaves must not move the numbers of the
next stage in its process, another method's or a control's."""

from __future__ import annotations


def reset_torch(threads: int, device: str) -> None:
    """Torch's own defaults, but for ``threads``, and no TF32: where a protocol says fp32 it is."""
    import torch

    torch.set_num_threads(threads)
    torch.set_grad_enabled(True)
    torch.set_default_dtype(torch.float32)
    if torch.get_default_device().type != "cpu":
        torch.set_default_device(None)
    torch.set_float32_matmul_precision("highest")
    torch.use_deterministic_algorithms(False)
    torch.set_flush_denormal(False)
    torch.autograd.set_detect_anomaly(False)
    torch.backends.mkldnn.set_flags(_enabled=True, _deterministic=False)  # type: ignore[no-untyped-call]
    for kind in ("cpu", "cuda"):
        torch.set_autocast_enabled(kind, False)
    if device.startswith("cuda"):
        cudnn = torch.backends.cudnn
        cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32 = True, False, False, False
