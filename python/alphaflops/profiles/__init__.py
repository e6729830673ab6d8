"""Device profiles: the JSON files that hold everything needed to predict on a device.

The file is documented in docs/profile.md. The core reads what it predicts with; this module reads
the rest (where the profile came from, how good it is) and checks that the two agree.
"""

from __future__ import annotations

import copy
import difflib
import json
import os
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias

from alphaflops import _core
from alphaflops.errors import IoError, ProfileError
from alphaflops.files import write_text

__all__ = [
    "Profile",
    "ProfileLike",
    "as_profile",
    "as_profiles",
    "load_profile",
    "shipped_profiles",
]

_ERROR_FIELDS = ("mape", "mdape", "within_10pct", "spearman", "coverage_90", "n")


class Profile:
    """A device profile.

    Attributes
    ----------
    core : alphaflops._core.Profile
        What the core predicts with.
    """

    def __init__(self, text: str, origin: str = "profile") -> None:
        """Read a profile from JSON text; `origin` is named in errors.

        Raises
        ------
        ProfileError
            The text is no profile, of another version, or contradicts itself.
        """
        try:
            text.encode()
        except UnicodeEncodeError as e:
            raise ProfileError(f"{origin}: not valid JSON: it holds half a surrogate pair") from e
        self.core = _core.Profile.parse(text, origin)
        try:
            data = json.loads(text)
        except ValueError as e:
            raise ProfileError(f"{origin}: not valid JSON: {e}") from e
        _check(data, origin)
        self._data: dict[str, Any] = data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], origin: str = "profile") -> Profile:
        """Make a profile from the dictionary that its JSON file holds.

        Raises
        ------
        ProfileError
            As for a file; also for a value that JSON cannot hold, such as NaN.
        """
        try:
            text = json.dumps(dict(data), allow_nan=False, ensure_ascii=True)
        except (TypeError, ValueError, RecursionError) as e:
            raise ProfileError(f"{origin}: cannot be written as JSON: {e}") from e
        return cls(text, origin)

    @property
    def data(self) -> dict[str, Any]:
        """The whole file, as a copy."""
        return copy.deepcopy(self._data)

    @property
    def name(self) -> str:
        """The name it goes by in reports."""
        return self.core.name

    @property
    def description(self) -> str:
        """What it describes, in a sentence; may be empty."""
        return str(self._data.get("description", ""))

    @property
    def device_name(self) -> str:
        """The device's own name; the profile's where it does not say."""
        return str(self._data.get("device", {}).get("name") or self.name)

    @property
    def assumptions(self) -> list[str]:
        """What was taken for granted, in sentences."""
        return list(self._data.get("assumptions", []))

    @property
    def mode(self) -> str:
        """Which operators shared a launch when it was measured: fused, fused_relu or eager.

        fused where the profile does not say.
        """
        return self.core.mode

    @property
    def kinds(self) -> tuple[str, ...]:
        """The operator kinds it prices, in the order of the file."""
        return tuple(dict.fromkeys(model["kind"] for model in self._data["models"]))

    @property
    def operators(self) -> dict[str, frozenset[str]]:
        """By kind, the operators that were timed; without kinds of which it is not known."""
        found: dict[str, frozenset[str]] = {}
        for model in self._data["models"]:
            if model.get("operators") is not None:
                kind = model["kind"]
                found[kind] = found.get(kind, frozenset()).union(model["operators"])
        return found

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON file, whole or not at all.

        Raises
        ------
        IoError
            The file cannot be written.
        """
        write_text(path, json.dumps(self._data, indent=2, ensure_ascii=False) + "\n")

    def __eq__(self, other: object) -> bool:
        return self._data == other._data if isinstance(other, Profile) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # compares by content

    def __reduce__(self) -> tuple[Any, ...]:
        return Profile, (json.dumps(self._data), self.name)

    def __repr__(self) -> str:
        return f"Profile({self.name!r}, backend {self.core.backend!r}, {', '.join(self.kinds)})"


#: A profile, a shipped one's name, or a path.
ProfileLike: TypeAlias = Profile | str | os.PathLike[str]


def as_profile(profile: ProfileLike) -> Profile:
    """Return a profile as it is, or the one of a shipped name or a path, as `load_profile` does."""
    return profile if isinstance(profile, Profile) else load_profile(profile)


def as_profiles(profiles: ProfileLike | Iterable[ProfileLike]) -> list[Profile]:
    """Return one profile or several as a list, each as of `as_profile`."""
    if isinstance(profiles, Iterable) and not isinstance(profiles, str):
        return [as_profile(profile) for profile in profiles]
    return [as_profile(profiles)]


def shipped_profiles() -> list[str]:
    """Return the names of the profiles that come with the package."""
    folder = resources.files(__name__)
    names = [entry.name for entry in folder.iterdir()]
    return sorted(name.removesuffix(".json") for name in names if name.endswith(".json"))


def load_profile(name_or_path: str | os.PathLike[str]) -> Profile:
    """Load a profile by its shipped name, or from a file.

    Parameters
    ----------
    name_or_path
        A name of ``shipped_profiles()``; or a path, which has a separator, ends in ``.json`` or
        exists.

    Raises
    ------
    ProfileError
        No such profile is shipped, or the file is no profile.
    IoError
        The file cannot be read.
    """
    if not isinstance(name_or_path, (str, os.PathLike)):
        raise ProfileError(
            f"{name_or_path!r:.60} is no profile; give a Profile, a shipped one's name or a path"
        )
    text = os.fsdecode(name_or_path)
    shipped = shipped_profiles()
    if isinstance(name_or_path, str) and text in shipped:
        resource = resources.files(__name__).joinpath(f"{text}.json")
        return Profile(resource.read_text(encoding="utf-8"), text)
    looks_like_path = (
        not isinstance(name_or_path, str)
        or any(s in text for s in (os.sep, os.altsep) if s)
        or text.endswith(".json")
    )
    if looks_like_path or ("\0" not in text and os.path.exists(text)):
        return Profile(_read(text), text)
    close = difflib.get_close_matches(text.lower(), shipped, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'? " if close else ""
    raise ProfileError(
        f"no profile is called {text!r}; {hint}shipped are {', '.join(shipped)}; "
        "a profile of your own is named by its path, such as my-cpu.json"
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as e:
        raise ProfileError(
            f"{path}: this is no device profile (byte {e.start} is not UTF-8 text)"
        ) from e
    except (OSError, ValueError) as e:
        why = e.strerror if isinstance(e, OSError) else e
        raise IoError(f"{path}: cannot read this profile: {why}; name a profile file") from e


def _check(data: dict[str, Any], origin: str) -> None:
    """Check what the core does not read."""
    for field, kind, called in (
        ("description", str, "a string"),
        ("device", dict, "an object"),
        ("provenance", dict, "an object"),
        ("errors", dict, "an object"),
        ("standard_errors", dict, "an object"),
        ("assumptions", list, "an array of strings"),
    ):
        if not isinstance(data.get(field, kind()), kind):
            raise ProfileError(f'{origin}: "{field}" must be {called}')
    if not all(isinstance(text, str) for text in data.get("assumptions", [])):
        raise ProfileError(f'{origin}: "assumptions" must be an array of strings')
    for kind_name, errors in data.get("errors", {}).items():
        if not isinstance(errors, dict) or not set(errors) <= set(_ERROR_FIELDS):
            raise ProfileError(
                f"{origin}: errors.{kind_name} must be an object of {', '.join(_ERROR_FIELDS)}"
            )
