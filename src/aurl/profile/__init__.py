"""TOML → one frozen profile: everything that decides what is prepared, built, trained and generated."""

from aurl.profile.faults import Fault, ProfileError
from aurl.profile.load import Profile, known_keys, load_profile, overlay, read_resolved
from aurl.profile.model_sections import Discriminator, Latent, Model
from aurl.profile.sections import Controls, Data, Generation, Prepare, Tokens
from aurl.profile.sources import SIZES, Listed, list_profiles, user_folder
from aurl.profile.template import KeyDescription, KindDescription, describe_keys, describe_kinds, template
from aurl.profile.training_sections import Loss, Training
from aurl.profile.watching_sections import Watching

__all__ = [
    "SIZES",
    "Controls",
    "Data",
    "Discriminator",
    "Fault",
    "Generation",
    "KeyDescription",
    "KindDescription",
    "Latent",
    "Listed",
    "Loss",
    "Model",
    "Prepare",
    "Profile",
    "ProfileError",
    "Tokens",
    "Training",
    "Watching",
    "describe_keys",
    "describe_kinds",
    "known_keys",
    "list_profiles",
    "load_profile",
    "overlay",
    "read_resolved",
    "template",
    "user_folder",
]
