"""Ids by what they say, for music that is spelt by hand."""

from aurl.tokens.vocabulary import NOTE_OFF, NOTE_ON, PART, TIME_SHIFT, VELOCITY


def on(pitch):
    return NOTE_ON.start + pitch


def off(pitch):
    return NOTE_OFF.start + pitch


def shift(steps):
    return TIME_SHIFT.start + steps - 1


def level(value):
    return VELOCITY.start + value


def part(number):
    return PART.start + number
