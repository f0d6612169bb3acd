"""A GPU for machines that have none: tensors that say they lie on ``cuda:0`` and are computed on the CPU.

As with a real one, ``.to("cuda")`` moves tensors there, what is made there stays there, and neither numpy nor the CPU's
own tensors mix with them. It knows nothing of speed, of kernels or of memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map

GPU = torch.device("cuda:0")
MIXES = {Tensor.copy_, Tensor.__getitem__, Tensor.__setitem__, Tensor.index_put_, Tensor.index_put}
"""What takes tensors of the CPU beside those of a GPU: copies, and indices."""
ARRAYS = {Tensor.numpy, Tensor.__array__}
PLAIN = {torch.device, torch._C._nn._parse_to, torch._has_compatible_shallow_copy_type}
"""What neither computes nor moves."""


class OnGpu(Tensor):
    """A tensor there."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        memo[id(self)] = made = self.detach().clone().requires_grad_(self.requires_grad)
        return torch.nn.Parameter(made, self.requires_grad) if isinstance(self, torch.nn.Parameter) else made

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            return _computed(func, args, kwargs or {})


class PretendGpu(TorchFunctionMode):
    """While it is on, what is asked for on ``cuda`` is made there."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            return _computed(func, args, kwargs or {})


def _computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    there = [isinstance(each, OnGpu) for each in tree_flatten((args, kwargs))[0] if isinstance(each, Tensor)]
    if func == Tensor.device.__get__:  # type: ignore[attr-defined]
        return GPU if any(there) else func(*args)
    if func == Tensor.is_cuda.__get__:  # type: ignore[attr-defined]
        return any(there)
    if func in PLAIN:
        return func(*args, **kwargs)
    if func in ARRAYS and any(there):
        raise TypeError("can't convert cuda:0 device type tensor to numpy: use Tensor.cpu()")
    _refuse_mixtures(func, (args, kwargs))
    stays = isinstance(args[0], OnGpu) if func is Tensor.copy_ else any(there)
    if func is Tensor.cpu:
        stays = False
    for device in filter(_is_device, tree_flatten((args, kwargs))[0]):
        stays = torch.device(device).type == "cuda"
    if func is Tensor.to and len(args) > 1 and isinstance(args[1], Tensor):
        stays = isinstance(args[1], OnGpu)
    args, kwargs = tree_map(lambda each: "cpu" if _is_device(each) else each, (args, kwargs))
    made = func(*args, **kwargs)
    kind = OnGpu if stays else Tensor
    return tree_map(lambda each: _as(each, kind) if isinstance(each, Tensor) else each, made)


def _refuse_mixtures(func: Any, given: Any) -> None:
    tensors = [each for each in tree_flatten(given)[0] if isinstance(each, Tensor)]
    apart = {isinstance(each, OnGpu) for each in tensors if each.ndim or isinstance(each, OnGpu)}
    if len(apart) == 2 and (func not in MIXES or _by_gpu(func, tensors)) and func is not Tensor.to:
        raise RuntimeError(f"Expected all tensors to be on the same device, but {func} got some on cuda:0, some on cpu")


def _by_gpu(func: Any, tensors: list[Tensor]) -> bool:
    """Whether a tensor of the CPU is indexed by one of the GPU."""
    return func is not Tensor.copy_ and not isinstance(tensors[0], OnGpu)


def _is_device(value: Any) -> bool:
    """Whether it names the CPU or a GPU."""
    name = value.type if isinstance(value, torch.device) else value
    return isinstance(name, str) and name.split(":")[0] in ("cpu", "cuda")


def _as(tensor: Tensor, kind: type[Tensor]) -> Tensor:
    if isinstance(tensor, OnGpu) == (kind is OnGpu):
        return tensor
    return tensor.as_subclass(kind)


@contextmanager
def pretend_gpu(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within it torch has one GPU."""
    patch.setattr(torch.cuda, "is_available", lambda: True)
    patch.setattr(torch.cuda, "current_device", lambda: 0)
    patch.setattr(torch.cuda, "device_count", lambda: 1)
    patch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    patch.setattr(torch.cuda, "get_device_name", lambda device: "pretended")
    patch.setattr(torch.cuda, "get_rng_state", lambda device: torch.get_rng_state())
    patch.setattr(torch.cuda, "set_rng_state", lambda state, device: torch.set_rng_state(state))
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with PretendGpu():
            yield
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)
