import pytest
import torch

from aurl.errors import UsageError
from aurl.model.discriminator import Discriminator

VOCABULARY, D_EMBEDDING, LATENT_SIZE = 779, 24, 16
STAGES = {
    1: ["scale_32"],
    2: ["scale_32", "scale_128"],
    3: ["scale_32", "scale_128", "scale_256", "music", "latent"],
    4: ["scale_32", "scale_128", "scale_256", "music", "latent"],
}


def build(**options):
    torch.manual_seed(0)
    return Discriminator(D_EMBEDDING, **{"d_model": 16, "n_layers": 2, "latent_size": LATENT_SIZE, **options})


def table(seed=0):
    return torch.randn(VOCABULARY, D_EMBEDDING, generator=torch.Generator().manual_seed(seed))


def random_ids(batch, length, seed=0):
    return torch.randint(774, (batch, length), generator=torch.Generator().manual_seed(seed))


def one_hots_of(ids):
    return torch.nn.functional.one_hot(ids, VOCABULARY).float()


def random_latents(batch, n, seed=0):
    return torch.randn(batch, n, LATENT_SIZE, generator=torch.Generator().manual_seed(seed))


def everything_real(ids):
    return torch.ones_like(ids, dtype=torch.bool)


def hear(discriminator, ids, **options):
    options = {"real": everything_real(ids), "locals_": random_latents(len(ids), 3), **options}
    return discriminator(ids, table(), **options)


@pytest.mark.parametrize("length", [1, 31, 32, 33, 128, 300, 600])
@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_hears_its_parts_and_gives_a_score_for_each_row(stage, length):
    discriminator, ids = build(), random_ids(3, length)
    from_ids = hear(discriminator, ids, stage=stage)
    from_one_hots = hear(discriminator.eval(), one_hots_of(ids), stage=stage, real=everything_real(ids))
    assert [view.name for view in from_ids] == STAGES[stage]
    for view, same in zip(from_ids, from_one_hots, strict=True):
        assert view.score.shape == same.score.shape == (3, 1)
        assert view.score.dtype == torch.float32
        assert view.score.isfinite().all()
        assert [feature.shape for feature in view.features] == [feature.shape for feature in same.features]
        assert len(view.features) == 3


def test_scales_must_be_even():
    with pytest.raises(UsageError, match="33"):
        build(scales=(33,))
