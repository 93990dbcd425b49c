"""The exceptions a user can do something about; the command line prints each as one line and exits 2."""


def printable(text: str) -> str:
    """Return the text without anything that a terminal would obey: names come from outside."""
    return "".join(c if c.isprintable() else " " if c.isspace() else f"\\x{ord(c):02x}" for c in text)


class MuecaError(Exception):
    """Base of all: the message names the file or setting, its value, and the way out, on one line."""


class InputError(MuecaError):
    """A file or folder that was given can't be used."""


class FaceChoiceError(InputError):
    """The face that was asked for is in no picture; whoever knows the file puts its name in front."""


class OutputError(MuecaError):
    """A result can't be written where it was asked for."""


class SettingsError(MuecaError):
    """A setting is unknown, of the wrong kind, out of range, or contradicts another."""


class FieldsError(SettingsError):
    """A record has a field too many or one too few: another version wrote it."""


class ModelFileError(MuecaError):
    """A detector's or predictor's file can't be had or isn't the one it should be."""
