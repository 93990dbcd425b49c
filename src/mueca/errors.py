"""The exceptions a user can do something about; the command line prints each as one line and exits 2."""


class MuecaError(Exception):
    """Base of all: the message names the file or setting, its value, and the way out, on one line.

    A value may be as long as a file: of a message beyond LONGEST_MESSAGE the middle is left out.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(_shortened(message))


LONGEST_MESSAGE = 1000
"""Characters."""


def _shortened(message: str) -> str:
    if len(message) <= LONGEST_MESSAGE:
        return message
    return f"{message[: LONGEST_MESSAGE - 305]} ... {message[-300:]}"


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
