"""Any place that holds music → a list of pieces to read, and the bytes of each."""

from aurl.data.inputs.find import find
from aurl.data.inputs.names import ARCHIVE_SUFFIXES, is_remote, suffix_of
from aurl.data.inputs.read import read_source
from aurl.data.inputs.source import UNKNOWN, Found, Refused, Source, listing_digest
from aurl.data.inputs.spool import default_spool

__all__ = [
    "ARCHIVE_SUFFIXES",
    "UNKNOWN",
    "Found",
    "Refused",
    "Source",
    "default_spool",
    "find",
    "is_remote",
    "listing_digest",
    "read_source",
    "suffix_of",
]
