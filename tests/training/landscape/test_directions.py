import pytest
import torch

from aurl.errors import UsageError
from aurl.training.landscape.directions import filter_normalised, random_plane, trajectory_plane
from aurl.training.landscape.surface import grid_steps, rows_of_surface
from aurl.training.landscape.weights import moving, place


def test_filters_by_hand():
    """Rows (3, 4) of length 5 and (0, 2) of length 2; the direction's rows point along one axis each."""
    weight = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    direction = torch.tensor([[2.0, 0.0], [0.0, -7.0]])
    assert filter_normalised([direction], [weight])[0].tolist() == [[5.0, 0.0], [0.0, -2.0]]


def test_of_a_convolution_each_output_is_a_filter():
    weight, direction = torch.randn(4, 3, 5), torch.randn(4, 3, 5)
    (found,) = filter_normalised([direction], [weight])
    torch.testing.assert_close(found.flatten(1).norm(dim=1), weight.flatten(1).norm(dim=1))
    torch.testing.assert_close(found[2] / found[2].norm(), direction[2] / direction[2].norm())


def test_biases_gains_and_empty_filters_stay():
    weights = [torch.ones(4), torch.zeros(2, 3), torch.tensor(2.0)]
    for part in filter_normalised([torch.randn_like(weight) for weight in weights], weights):
        assert not part.any()


def test_directions_are_those_of_the_seed():
    weights = [torch.randn(5, 6), torch.randn(6)]
    one, again, other = (random_plane(weights, seed) for seed in (3, 3, 4))
    assert torch.equal(one.first[0], again.first[0])
    assert torch.equal(one.second[0], again.second[0])
    assert not torch.equal(one.first[0], other.first[0])
    assert not torch.equal(one.first[0], one.second[0])


def test_trajectory_in_a_plane_is_found_in_it():
    """Checkpoints at 2a, −a + b and −b from the last one: the plane holds all of them."""
    generator = torch.Generator().manual_seed(0)
    basis, _ = torch.linalg.qr(torch.randn(12, 2, generator=generator))
    a, b = 3 * basis[:, 0].view(3, 4), basis[:, 1].view(3, 4)
    middle = torch.randn(3, 4, generator=generator)
    bias = torch.zeros(3)
    moves = {"one": 2 * a, "two": b - a, "three": -b}
    plane = trajectory_plane([middle, bias], {name: [middle + move, bias + 1] for name, move in moves.items()})
    assert sum(plane.explained) == pytest.approx(1)
    assert plane.explained[0] > plane.explained[1]
    assert not plane.first[1].any()
    for name, move in moves.items():
        right, up = plane.places[name]
        torch.testing.assert_close(right * plane.first[0] + up * plane.second[0], move, atol=1e-5, rtol=1e-5)
    for along in zip(*plane.places.values(), strict=True):
        assert max(map(abs, along)) == pytest.approx(1)


def test_checkpoints_on_a_line_span_no_plane():
    weights = [torch.zeros(3, 3)]
    for others in ({}, {"one": [torch.eye(3)]}, {"one": [torch.eye(3)], "two": [2 * torch.eye(3)]}):
        with pytest.raises(UsageError, match="plane needs three"):
            trajectory_plane(weights, others)


def test_grid_has_the_weights_themselves_in_the_middle():
    assert grid_steps(5, 2.0) == [-2.0, -1.0, 0.0, 1.0, 2.0]
    assert grid_steps(21, 0.7)[10] == 0.0


def test_surface_of_a_bowl_and_weights_as_they_were():
    weights = [torch.nn.Parameter(torch.tensor([[0.1, 0.7], [1 / 3, -5.3]]))]
    before = weights[0].detach().clone()
    plane = random_plane(weights, 0)
    steps = grid_steps(3, 1.0)
    rows = []
    rows_of_surface(lambda: [weights[0].square().sum()], weights, plane, steps, take=rows.append)
    for up, row in zip(steps, rows, strict=True):
        for right, loss in zip(steps, row, strict=True):
            moved = before + right * plane.first[0] + up * plane.second[0]
            assert loss == pytest.approx(float(moved.square().sum()), rel=1e-6)
    assert torch.equal(weights[0].detach(), before)
    later = []
    rows_of_surface(lambda: [weights[0].square().sum()], weights, plane, steps, done=2, take=later.append)
    assert later == rows[2:]


def test_whatever_happens_weights_come_back_bit_by_bit():
    weights = [torch.nn.Parameter(torch.randn(7, 5) * 1e-3), torch.nn.Parameter(torch.randn(3))]
    before = [weight.detach().clone() for weight in weights]

    def interrupted():
        with moving(weights) as centre:
            place(weights, centre, (1e6, [torch.randn(7, 5), torch.randn(3)]))
            assert not torch.equal(weights[0].detach(), before[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert all(torch.equal(now.detach(), then) for now, then in zip(weights, before, strict=True))
