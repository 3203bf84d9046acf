"""The autoencoder's network in torch: a window goes through a narrow code and comes out as what is usual.

Loaded only where it is used: this is the one module of the background that imports torch. Parameters are drawn from a
generator of their own, so that on a CPU the same seed and the same calls give the same bits.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from detectors.block import State

Float32Array = NDArray[np.float32]
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8  # Adam's customary values


@contextmanager
def _one_thread() -> Iterator[None]:
    """torch on one thread, that it may not starve the vote path, nor sum in an order that depends on the machine.

    torch has no setting for one call: others that use torch meanwhile get one thread, too.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Network:
    """Fully connected, inputs - hidden - code - hidden - inputs, tanh between; squared error, Adam."""

    def __init__(self, inputs: int, hidden: int, code: int, learning_rate: float, *, seed: int, device: str) -> None:
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)
        self._learning_rate = learning_rate
        widths = (inputs, hidden, code, hidden, inputs)
        self._shapes = [shape for n, m in pairwise(widths) for shape in ((m, n), (m,))]
        size = sum(int(np.prod(shape)) for shape in self._shapes)
        self._flat = torch.zeros(size, device=self.device)  # all parameters
        self._mean, self._square = torch.zeros_like(self._flat), torch.zeros_like(self._flat)
        self.steps = 0  # of training, so far
        self._draw(seed)

    def _draw(self, seed: int) -> None:
        """Uniform within 1 / sqrt(inputs of the layer), as torch does."""
        generator = torch.Generator().manual_seed(seed)
        drawn: list[torch.Tensor] = []
        for shape in self._shapes:
            limit = (shape[1] if len(shape) == 2 else drawn[-1].shape[0]) ** -0.5
            drawn.append((2 * torch.rand(shape, generator=generator) - 1) * limit)
        self._flat.copy_(torch.cat([part.flatten() for part in drawn]))

    def _forward(self, flat: torch.Tensor, windows: torch.Tensor) -> torch.Tensor:
        layers = flat.split([int(np.prod(shape)) for shape in self._shapes])
        parts = [layer.view(shape) for layer, shape in zip(layers, self._shapes, strict=True)]
        x = windows
        for i in range(0, len(parts), 2):
            x = torch.nn.functional.linear(x, parts[i], parts[i + 1])
            if i + 2 < len(parts):
                x = torch.tanh(x)
        return x

    def reconstruct(self, windows: Float32Array) -> Float32Array:
        """(B, inputs) what the network makes of windows (B, inputs). The bits may depend on B."""
        with torch.no_grad(), _one_thread():
            out = self._forward(self._flat, torch.from_numpy(windows).to(self.device))
            result: Float32Array = out.cpu().numpy()
        return result

    def train(self, windows: Float32Array, counts: Float32Array) -> None:
        """One step of Adam on each of S minibatches (S, B, inputs); counts: (S, B, inputs) 1 where a value counts."""
        with _one_thread():
            for batch, mask in zip(torch.from_numpy(windows), torch.from_numpy(counts), strict=True):
                self._step(batch.to(self.device), mask.to(self.device))

    def _step(self, windows: torch.Tensor, mask: torch.Tensor) -> None:
        flat = self._flat.detach().requires_grad_()
        loss = ((self._forward(flat, windows) - windows).square() * mask).sum() / mask.sum().clamp(min=1.0)
        (gradient,) = torch.autograd.grad(loss, flat)
        self.steps += 1
        self._mean.lerp_(gradient, 1 - _BETA1)
        self._square.mul_(_BETA2).addcmul_(gradient, gradient, value=1 - _BETA2)
        root = (self._square / (1 - _BETA2**self.steps)).sqrt_().add_(_EPSILON)
        self._flat.addcdiv_(self._mean, root, value=-self._learning_rate / (1 - _BETA1**self.steps))

    def state(self) -> State:
        return {
            "parameters": self._flat.cpu().numpy().copy(),
            "mean": self._mean.cpu().numpy().copy(),
            "square": self._square.cpu().numpy().copy(),
            "steps": np.array(self.steps),
        }

    def load_state(self, state: State) -> None:
        for tensor, name in ((self._flat, "parameters"), (self._mean, "mean"), (self._square, "square")):
            tensor.copy_(torch.from_numpy(state[name].copy()))
        self.steps = int(state["steps"])
