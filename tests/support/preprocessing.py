"""Every registered kind of preprocessing, with its defaults and with each of its modes."""

MODES = {
    "density": [{"least": 0.5, "per": "second"}, {"most": 3}],
    "instruments": [
        {"mode": "merge"},
        {"mode": "merge", "together": "family"},
        {"mode": "merge", "together": "all"},
        {"mode": "select", "families": ["drums", "piano", "strings"], "programs": ["Violin", 7]},
    ],
    "key": [{"least_correlation": -1}],
    "length": [{"least": 2, "unit": unit} for unit in ("seconds", "beats", "bars", "notes")],
    "pedal": [{"mode": "ignore"}],
    "pitch_range": [{"lowest": 60, "tolerance": 0.5}],
    "polyphony": [{"voices": 1}, {"voices": 2}, {"voices": 3}],
    "quantize": [
        {"grid": ["1/16", "1/16t"]},
        {"grid": "1/4t"},
        {"grid": "1/4t", "strength": 0.3},
        {"mode": "groove"},
        {"mode": "groove", "grid": ["1/8", "1/8t"]},
        {"mode": "adaptive", "grid": "1/32t"},
        {"mode": "adaptive", "strength": 0.7},
    ],
    "segment": [{"bars": 2, "min_bars": 1}, {"by": "phrases", "bars": 2, "min_bars": 1}, {"by": "phrases"}],
    "tracks": [{"least": 1, "most": 3}],
    "velocity": [
        {"curve": "soft", "drums": False},
        {"curve": "hard", "mean": 120, "spread": 64},
        {"curve": "s_curve", "phrase_beats": 0.5},
        {"curve": "histogram"},
    ],
}
STEPS = [(kind, options) for kind, modes in MODES.items() for options in ({}, *modes)]
