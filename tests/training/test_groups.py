import pytest

from aurl.training.groups import COUNTERS, REST, chart_of, charts, colour_of, group_of

WORDS = """epoch batch windows tokens seconds eta_seconds evaluations_since_best valid/tokens valid/notes train/loss
train/nats_per_token valid/nats_per_token train/nats_per_note valid/nats_per_note valid/elbo_per_token train/kl_global
train/kl_local valid/kl_global valid/kl_per_token beta word_dropout valid/active_units_global valid/active_units_local
valid/shuffled_cost_all train/bag_global train/bag_local train/echo train/nll_note_on train/adversarial
train/adversarial_scale_8 train/adversarial_music train/discriminator train/discriminator_accuracy discriminator_stage
train/feature_matching discriminator_lr discriminator_skipped gradient_norm gradient_norm_max clipped loss_variance lr
tokens_per_second share_of_peak memory_mib sample/polyphony something/else"""
LOGGED = WORDS.split()


def test_every_name_is_in_one_chart():
    found = [name for _, names in charts(LOGGED) for chart in names for name in chart]
    assert sorted(found) == sorted(LOGGED)


def test_groups_come_in_their_order_with_what_is_left_and_the_course_last():
    titles = [title for title, _ in charts(reversed(LOGGED))]
    assert titles[0] == "Likelihood"
    assert titles[-2:] == [REST, COUNTERS]
    assert len(titles) == len(set(titles))


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("train/nats_per_token", "Likelihood"),
        ("valid/elbo_per_note", "Likelihood"),
        ("train/kl_fine", "KL divergence"),
        ("beta", "KL divergence"),
        ("valid/shuffled_cost_all", "Latents"),
        ("train/discriminator_accuracy", "Adversary"),
        ("discriminator_lr", "Adversary"),
        ("train/echo", "Terms"),
        ("gradient_norm", "Gradients and rates"),
        ("lr", "Gradients and rates"),
        ("weight_norm", "Gradients and rates"),
        ("broken_updates", "Gradients and rates"),
        ("memory_mib", "Pace and memory"),
        ("cuda_mib", "Pace and memory"),
        ("weight/leaps", "Terms"),
        ("adversarial_factor", "Adversary"),
        ("stage", COUNTERS),
        ("valid/tokens", COUNTERS),
        ("novel", REST),
    ],
)
def test_groups(name, group):
    assert group_of(name) == group


def test_train_and_valid_share_a_chart_and_so_do_levels():
    assert chart_of("train/kl_fine") == chart_of("valid/kl_fine") != chart_of("train/kl_local")
    assert chart_of("valid/active_units_fine") == chart_of("valid/active_units_global")
    assert chart_of("train/adversarial_scale_8") == chart_of("train/adversarial_music") != chart_of("train/adversarial")
    assert chart_of("sample/polyphony_overlap") == chart_of("sample/note_density_overlap") != chart_of("sample/overlap")
    assert chart_of("lr") != chart_of("discriminator_lr")
    assert chart_of("tokens") != chart_of("valid/tokens") == chart_of("train/tokens")


def test_train_has_one_colour_and_valid_another_and_levels_are_told_apart():
    pair = ["train/x", "valid/x"]
    assert [colour_of(name, pair) for name in pair] == [0, 1]
    assert [colour_of(name, pair[1:]) for name in pair[1:]] == [1]
    levels = ["valid/active_units_global", "valid/active_units_local", "valid/active_units_fine"]
    assert [colour_of(name, levels) for name in levels] == [0, 1, 2]
