import pytest
import torch
from torch.distributions import Independent, Normal

from aurl.model.prior.normal import FromContext, bounded, log_density


def test_numbers_from_a_context_begin_alike_and_are_linear():
    numbers, context = FromContext(3, torch.arange(5.0)), torch.randn(4, 2, 3)
    assert numbers(context).shape == (4, 2, 5)
    torch.testing.assert_close(numbers(context), torch.arange(5.0).expand(4, 2, 5))
    torch.nn.init.normal_(numbers.weight)
    change = numbers(context) - torch.arange(5.0)
    torch.testing.assert_close(numbers(2 * context) - torch.arange(5.0), 2 * change)
    assert change.abs().min() > 0


def test_a_missing_context_is_an_error_only_where_one_is_needed():
    assert FromContext(0, torch.ones(2))(None).tolist() == [1, 1]
    with pytest.raises(ValueError, match="context"):
        FromContext(3, torch.ones(2))(None)


def test_bounds():
    x = torch.tensor([-1e9, -0.1, 0, 0.1, 1e9])
    torch.testing.assert_close(bounded(x, 12.0), torch.tensor([-12, -0.1, 0, 0.1, 12]), atol=1e-4, rtol=0)


def test_log_density_is_that_of_torch():
    z, mean, log_variance = torch.randn(3, 6, 4)
    expected = Independent(Normal(mean, (0.5 * log_variance).exp()), 1).log_prob(z)
    torch.testing.assert_close(log_density(z, mean, log_variance), expected)
