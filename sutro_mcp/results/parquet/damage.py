"""The two ways in which a file is not read here."""


class DamagedError(ValueError):
    """The file contradicts itself or the format; nobody should read it."""


class UnsupportedError(ValueError):
    """The file may be sound, but it needs a full reader: give the whole of it to one."""
