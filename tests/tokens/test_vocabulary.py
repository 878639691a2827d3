from aurl.tokens.vocabulary import EVENT_COUNT, GROUPS, VOCABULARY_SIZE, name_of


def test_the_774_event_ids_never_move():
    ranges = {name: (group.start, group.stop) for name, group in GROUPS.items()}
    assert ranges["note_on"] == (0, 128)
    assert ranges["note_off"] == (128, 256)
    assert ranges["time_shift"] == (256, 768)
    assert ranges["velocity"] == (768, 774)
    assert EVENT_COUNT == 774


def test_groups_follow_each_other_without_gaps():
    groups = list(GROUPS.values())
    assert [a.stop for a in groups[:-1]] == [b.start for b in groups[1:]]
    assert groups[-1].stop == VOCABULARY_SIZE < 2**16 - 1


def test_ids_have_names():
    names = {
        60: "NOTE_ON 60",
        188: "NOTE_OFF 60",
        256: "TIME_SHIFT 1",
        773: "VELOCITY 5",
        776: "EOS",
        9999: "no id (9999)",
    }
    assert {token: name_of(token) for token in names} == names
