from aurl.midi.instruments import FAMILIES, PROGRAM_NAMES, family, instrument_name


def test_families_of_general_midi():
    assert [family(program) for program in (0, 7, 8, 24, 39, 40, 127)] == [
        *("piano", "piano", "chromatic_percussion", "guitar", "bass", "strings", "sound_effects")
    ]
    assert family(0, is_drum=True) == "drums"
    assert len(FAMILIES) == len(PROGRAM_NAMES) // 8 + 1


def test_names_of_general_midi():
    assert [instrument_name(program) for program in (0, 40, 127)] == ["Acoustic Grand Piano", "Violin", "Gunshot"]
    assert instrument_name(0, is_drum=True) == "Drums"
