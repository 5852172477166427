"""Published models give what PyTorch gives, forward and backward, with the same parameters."""

import numpy as np
import pytest
from trees import leaves

torch = pytest.importorskip("torch")

from published_models import PUBLISHED, Their, sample  # noqa: E402 - needs torch

# The norm of what is wrong, relative to that of the array: of outputs, and of gradients. Batch normalisations of few
# rows, one after another, enlarge rounding errors; and in float32 a number or two are on the other side of a ReLU's
# zero, in PyTorch as often as here.
OUTPUTS = {"float64": 1e-9, "float32": 1e-4}
GRADIENTS = {"float64": 1e-9, "float32": 5e-2}


def built(model, dtype):
    """The model, and its modules with parameters in the order in which it names them."""
    modules = []

    def own(module):
        modules.append(module)
        return module

    net = model.build(own)
    for module in modules:  # so that no gradient is zero that need not be
        for name, cell in module._cells.items():
            if type(module).__name__.endswith("BatchNormalization"):
                cell.data[...] = np.linspace(0.6, 1.4, cell.data.size) - (name == "bias")
    return net.type(dtype), modules


def as_list(arrays):
    return list(arrays) if isinstance(arrays, (list, tuple)) else [arrays]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("model", PUBLISHED, ids=lambda model: model.name)
def test_published_model(model, dtype, rng):
    net, modules = built(model, dtype)
    input = sample(model.shapes, rng, dtype)
    their = Their(modules, torch.float64)
    their_input = [
        torch.tensor(leaf) if leaf.dtype.kind == "i" else torch.tensor(leaf, dtype=torch.float64, requires_grad=True)
        for leaf in leaves(input)
    ]

    output = net.forward(input)
    expected = as_list(model.reference(their, *their_input))
    assert len(leaves(output)) == len(expected)
    for found, wanted in zip(leaves(output), expected, strict=True):
        assert_near(found, wanted.detach().numpy(), OUTPUTS, "output")
        assert found.std() > 0 or found.size == 1
    for module, statistics in zip(modules, their.statistics, strict=True):
        for name, wanted in statistics.items():
            assert_near(module._buffers[name].data, wanted.numpy(), OUTPUTS, name)

    grads = [rng.standard_normal(wanted.shape).astype(dtype) for wanted in expected]
    torch.autograd.backward(expected, [torch.tensor(grad, dtype=torch.float64) for grad in grads])
    net.zeroGradParameters()
    grad_input = net.backward(input, grads if isinstance(output, list) else grads[0])
    for found, leaf in zip(leaves(grad_input), their_input, strict=True):
        wanted = np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.numpy()
        assert_near(found, wanted, GRADIENTS, "gradInput")
    largest = max(leaf.grad.abs().max().item() for each in their.leaves for leaf in each.values())
    for place, (module, parameters) in enumerate(zip(modules, their.leaves, strict=True)):
        for name, leaf in parameters.items():
            what = f"gradient of the {name} of {module.label()}, number {place}"
            assert_near(module._cells[name].grad, leaf.grad.numpy(), GRADIENTS, what, 1e-3 * largest)

    net.evaluate()
    with torch.no_grad():
        expected = as_list(model.reference(their.rewound(train=False), *their_input))
    for found, wanted in zip(leaves(net.forward(input)), expected, strict=True):
        assert_near(found, wanted.numpy(), OUTPUTS, "output in evaluation")


def assert_near(found, expected, bounds, what, unit=0.0):
    """Near, by the norm of the array or `unit`: that of a bias before a normalisation is rounding errors only."""
    assert found.shape == expected.shape, what
    wrong, norm = np.linalg.norm(found - expected), max(np.linalg.norm(expected), unit * expected.size**0.5)
    assert wrong <= bounds[str(found.dtype)] * norm, f"{what}: {wrong:.3g} of {norm:.3g}"
