"""The ways in which a file is not read here."""


class HostileError(ValueError):
    """The file is made so, or damaged so, that a full reader would crash: nobody should read it."""


class DamagedError(ValueError):
    """The file contradicts itself or the format, as far as it is read here. A full reader may be content."""


class UnsupportedError(ValueError):
    """The file may be sound, but it needs a full reader: give the whole of it to one."""
