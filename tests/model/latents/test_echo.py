import torch

from aurl.model.latents.echo import EchoHead


def test_some_positions_are_asked_and_in_the_course_of_time_all():
    torch.manual_seed(0)
    head, stream = EchoHead(8, 20), torch.randn(2, 30, 8)
    everywhere = head.out(stream)
    seen = set()
    for _ in range(40):
        logits, positions = head(stream)
        assert len(positions) in (7, 8)
        torch.testing.assert_close(logits, everywhere[:, positions])
        seen |= set(positions.tolist())
    assert seen == set(range(30))


def test_short_windows_are_asked_too():
    for length in (1, 2, 3):
        assert len(EchoHead(8, 20)(torch.randn(1, length, 8)).positions) == 1
