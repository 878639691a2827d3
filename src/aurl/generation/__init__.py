"""From a trained run to new music: sampling under the grammar with a key/value cache."""
