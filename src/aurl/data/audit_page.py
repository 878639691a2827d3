"""An audit as one HTML page that needs nothing but itself."""

from collections.abc import Mapping
from typing import Any

from aurl import page
from aurl.midi.instruments import instrument_name
from aurl.midi.reasons import RejectReason, next_step
from aurl.page import Section
from aurl.tokens.velocity import BIN_OF_VELOCITY, MAX_VELOCITY
from aurl.tokens.vocabulary import DRUM_PROGRAM

NAME = "audit.html"
MAX_BARS = 24
"""Instruments, keys and meters that are drawn."""
_PITCH_CLASSES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
_HOUR = 3600
Audit = Mapping[str, Any]


def audit_page(audit: Audit, *, title: str) -> str:
    """The page.

    Args:
        audit: as `aurl.data.audit.audit` counts it.
        title: name of the data set.
    """
    sections = [
        Section("Files", _files(audit)),
        Section("Splits", _splits(audit)),
        Section("Pieces", page.charts(_pieces(audit))),
        Section("Notes", page.charts(_notes(audit))),
        Section("Windows", _windows(audit), "What is lost when only the first seq_len tokens of each piece are kept."),
        Section("Rejected", _rejects(audit), "Files that could not be used, by reason."),
        Section(
            "Repaired or changed", _repairs(audit), "What was mended or left out, in how many pieces and how often."
        ),
        Section("Near-duplicates", _near(audit), "The same music in another key, tempo or arrangement."),
    ]
    sections += [
        Section(f"Label: {name}", page.charts([page.ranking("Pieces", values, unit="pieces")]))
        for name, values in audit["labels"].items()
    ]
    counts = f"{audit['prepared']:,} of {audit['files']:,} files prepared"
    return page.page(title, [section for section in sections if section.body], subtitle=counts)


def _files(audit: Audit) -> str:
    return page.cards(
        {
            "files": audit["files"],
            "prepared": audit["prepared"],
            "rejected": audit["rejected"],
            "same bytes": audit["duplicates"],
            "near-duplicates left out": audit["near_duplicates"]["left_out"],
            "pieces": audit["pieces"],
            "notes": audit["notes"],
            "tokens": audit["tokens"],
            "hours": audit["seconds"] / _HOUR,
        }
    )


def _splits(audit: Audit) -> str:
    rows = [(name, split["pieces"], split["notes"], split["tokens"]) for name, split in audit["splits"].items()]
    return page.table(("split", "pieces", "notes", "tokens"), rows)


def _pieces(audit: Audit) -> list[str]:
    found = audit["histograms"]
    titles = {
        "tokens": "Length in tokens, up to",
        "seconds": "Length in seconds, up to",
        "notes": "Notes, up to",
        "tempo": "Tempo in BPM, from",
        "polyphony": "Notes that sound together",
        "complexity": "Complexity, from",
        "meter": "Meter",
    }
    charts = [page.bars(title, _most(found[name]), unit="pieces") for name, title in titles.items()]
    charts.append(page.ranking("Key", _most(found["key"]), unit="pieces"))
    return [*charts, page.ranking("Instruments", _instruments(found["instruments"]), unit="pieces")]


def _notes(audit: Audit) -> list[str]:
    found = audit["histograms"]
    pitches = {_pitch_name(pitch): count for pitch, count in enumerate(found["pitch"])}
    levels = {_velocities(level): count for level, count in enumerate(found["velocity"])}
    pitch = page.bars("Pitch", pitches, unit="notes", every=len(_PITCH_CLASSES))
    return [pitch, page.bars("Velocity, in the six levels of the tokens", levels, unit="notes")]


def _windows(audit: Audit) -> str:
    lost = {seq_len: 100 * facts["tokens_lost"] for seq_len, facts in audit["truncation"].items()}
    longer = {seq_len: facts["pieces"] for seq_len, facts in audit["truncation"].items()}
    title = "Tokens behind the first window in percent, by seq_len"
    return page.charts(
        [page.bars(title, lost, unit="%"), page.bars("Longer pieces, by seq_len", longer, unit="pieces")]
    )


def _rejects(audit: Audit) -> str:
    rows = [
        (reason, facts["files"], facts["examples"], next_step(RejectReason(reason)))
        for reason, facts in audit["rejects"].items()
    ]
    return _table_or_nothing(("reason", "files", "for example", "what to do"), rows)


def _repairs(audit: Audit) -> str:
    rows = [(name, facts["pieces"], facts["count"]) for name, facts in audit["repairs"].items()]
    return _table_or_nothing(("what", "pieces", "times"), rows)


def _near(audit: Audit) -> str:
    near = audit["near_duplicates"]
    facts = page.cards({"groups": near["groups"], "files in them": near["files"], "left out": near["left_out"]})
    rows = [(group["files"], group["examples"]) for group in near["largest"]]
    return facts + page.table(("files", "largest groups, for example"), rows) if rows else ""


def _table_or_nothing(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    return page.table(head, rows) if rows else ""


def _most(values: Mapping[str, int]) -> dict[str, int]:
    """The commonest values if there are too many to draw; numbers stay in their order."""
    if len(values) <= MAX_BARS or all(label.replace(".", "").isdecimal() for label in values):
        return dict(values)
    return dict(sorted(values.items(), key=lambda item: -item[1])[:MAX_BARS])


def _instruments(counts: Mapping[str, int]) -> dict[str, int]:
    """Name → pieces, the commonest first."""
    most = sorted(counts.items(), key=lambda item: (-item[1], int(item[0])))[:MAX_BARS]
    return {_program_name(int(program)): count for program, count in most}


def _program_name(program: int) -> str:
    is_drum = program == DRUM_PROGRAM
    return instrument_name(0 if is_drum else program, is_drum=is_drum)


def _pitch_name(pitch: int) -> str:
    """As "C4" for 60."""
    return f"{_PITCH_CLASSES[pitch % 12]}{pitch // 12 - 1}"


def _velocities(level: int) -> str:
    """As "44–64" for level 2."""
    held = [velocity for velocity in range(1, MAX_VELOCITY + 1) if BIN_OF_VELOCITY[velocity] == level]
    return f"{held[0]}–{held[-1]}"
