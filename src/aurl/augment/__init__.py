"""Variety on the fly: each kind maps a passage of ids to another that is as good as music."""
