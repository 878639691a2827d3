"""Curvature against bowls whose Hessian is known, and against dense Hessians of real models."""

import math

import pytest
import torch
from torch import nn

from aurl.training.landscape.sharpness import (
    ascent_sharpness,
    gradient,
    hessian_product,
    largest_eigenvalue,
    loss_of,
)


def bowl(eigenvalues, at, parts=2):
    """x ↦ ½ xᵀHx with the given spectrum in a random basis, as a sum of equal parts; x in two tensors."""
    generator = torch.Generator().manual_seed(1)
    basis, _ = torch.linalg.qr(torch.randn(len(at), len(at), generator=generator, dtype=torch.float64))
    hessian = basis @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ basis.T
    point = torch.tensor(at, dtype=torch.float64)
    parameters = [nn.Parameter(point[:2].clone()), nn.Parameter(point[2:].clone())]

    def loss():
        x = torch.cat(parameters)
        return [0.5 * x @ hessian @ x / parts for _ in range(parts)]

    return loss, parameters, hessian


def test_product_is_that_of_the_hessian():
    loss, parameters, hessian = bowl([5.0, 2.0, 1.0, -0.5], [1.0, -2.0, 0.5, 3.0])
    vector = [torch.tensor([1.0, 2.0], dtype=torch.float64), torch.tensor([-1.0, 0.5], dtype=torch.float64)]
    product = torch.cat(hessian_product(loss, parameters, vector))
    torch.testing.assert_close(product, hessian @ torch.cat(vector))


@pytest.mark.parametrize(
    ("spectrum", "largest"),
    [([5.0, 2.0, 1.0, 0.0], 5.0), ([5.0, 2.0, 1.0, -9.0], 5.0), ([-1.0, -2.0, -3.0, -8.0], -1.0)],
)
def test_largest_eigenvalue_of_a_known_spectrum(spectrum, largest):
    """Also where the one of largest magnitude is negative."""
    loss, parameters, _ = bowl(spectrum, [1.0, -2.0, 0.5, 3.0])
    found = largest_eigenvalue(loss, parameters, max_products=500, tolerance=1e-9)
    assert found.converged
    assert found.value == pytest.approx(largest, abs=1e-4)


def test_an_iteration_that_is_cut_short_says_so():
    loss, parameters, _ = bowl([5.0, 4.9, 4.8, 4.7], [1.0, -2.0, 0.5, 3.0])
    found = largest_eigenvalue(loss, parameters, max_products=2, tolerance=1e-12)
    assert (found.products, found.converged) == (2, False)


def test_a_plane_has_no_curvature():
    parameter = nn.Parameter(torch.ones(3))
    found = largest_eigenvalue(lambda: [parameter.sum()], [parameter])
    assert (found.value, found.converged) == (0.0, True)


def test_step_up_the_gradient_of_a_bowl_rises_as_it_must():
    """For ½ xᵀHx a step ρ g/|g| from x rises by ρ |g| + ½ ρ² gᵀHg / |g|²."""
    loss, parameters, hessian = bowl([5.0, 2.0, 1.0, 0.5], [1.0, -2.0, 0.5, 3.0])
    before = [parameter.detach().clone() for parameter in parameters]
    slope = hessian @ torch.cat(before)
    expected = 0.3 * slope.norm() + 0.5 * 0.09 * (slope @ hessian @ slope) / (slope @ slope)
    assert ascent_sharpness(loss, parameters, rho=0.3) == pytest.approx(float(expected), rel=1e-12)
    assert all(torch.equal(now.detach(), then) for now, then in zip(parameters, before, strict=True))


def test_without_a_slope_there_is_no_step():
    loss, parameters, _ = bowl([5.0, 2.0, 1.0, 0.5], [0.0, 0.0, 0.0, 0.0])
    assert ascent_sharpness(loss, parameters) == 0.0


def test_parts_add_up_and_what_is_not_used_has_no_gradient():
    loss, parameters, hessian = bowl([5.0, 2.0, 1.0, 0.5], [1.0, -2.0, 0.5, 3.0], parts=5)
    unused = nn.Parameter(torch.ones(3, dtype=torch.float64))
    *used, nothing = gradient(loss, [*parameters, unused])
    torch.testing.assert_close(torch.cat(used), hessian @ torch.cat(parameters).detach())
    assert not nothing.any()
    x = torch.cat(parameters).detach()
    assert loss_of(loss) == pytest.approx(float(0.5 * x @ hessian @ x))
    assert math.isfinite(largest_eigenvalue(loss, [*parameters, unused]).value)
