"""What has been played in a growing piece, counted note by note."""

from dataclasses import dataclass, field, replace

OCTAVE = 12


@dataclass(slots=True)
class Tally:
    """Counts since the piece began, or since its prompt ended.

    Args:
        notes: that began, drums and all.
        pitched: of which so many are no drums.
        pitches: sum of their pitches.
        levels: sum of the velocity levels of all notes.
        classes: how many of each pitch class.
        note_steps: steps that notes sounded, each counted by itself.
        active_steps: steps in which any sounded.
    """

    notes: int = 0
    pitched: int = 0
    pitches: int = 0
    levels: int = 0
    classes: list[int] = field(default_factory=lambda: [0] * OCTAVE)
    note_steps: int = 0
    active_steps: int = 0

    def strike(self, pitch: int, level: int, *, is_drum: bool) -> None:
        """Count a note that begins."""
        self.notes += 1
        self.levels += level
        if not is_drum:
            self.pitched += 1
            self.pitches += pitch
            self.classes[pitch % OCTAVE] += 1

    def wait(self, steps: int, sounding: int) -> None:
        """Count time in which so many notes sound."""
        self.note_steps += steps * sounding
        self.active_steps += steps * bool(sounding)

    def copy(self) -> "Tally":
        """An independent copy."""
        return replace(self, classes=list(self.classes))
