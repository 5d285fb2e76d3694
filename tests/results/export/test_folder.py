"""The export folder: whatever the name and whoever plays with links, nothing beside it is written or read."""

import errno
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from sutro_mcp.errors import InvalidArgumentError, SettingsError, SutroError
from sutro_mcp.results.export.file_names import chosen_file, export_name, joinable_name
from sutro_mcp.results.export.folder_files import Folder, check_folder, discard, open_folder
from sutro_mcp.results.request_models import ExportFormat
from sutro_mcp.untrusted_text import visible
from tests.results.support import files_of_at_most

TEMPORARY = ".sutro-export-0.part"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links, umask and FIFOs are made here")

LONG = "a" * 146
PATHS = (  # noqa: SIM905
    r". .. ../victim.csv a/../../victim.csv ..\victim.csv /etc/victim.csv sub/new.csv linked/victim.csv "
    r"name.csv/ ~/victim.csv ~root C:victim.csv C:\victim.csv \\host\share\victim.csv name.csv:hidden"
).split()
DEVICES = ["CON", "nul.csv", "aux .csv", "COM1.parquet", "lpt¹.csv", "conin$.csv"]
EDGES = ["", ".bashrc", ".csv", "-rf.csv", " name.csv", "name.csv ", "name.csv.", "\u2800.csv"]
# Controls, marks that turn or hide text, blanks, halves of pairs, what is private or not assigned, and
# what is reserved on Windows.
WITHIN = '\0\n\t\x1b\x85\u202e\u200b\ufeff\ufe0f\xad\u2028\xa0\u3000\U000e0041\ud800\ue000\U000e1000*?"|>'
HOSTILE = [
    *PATHS,
    *DEVICES,
    *EDGES,
    *(f"a{char}b.csv" for char in WITHIN),
    *("a" * 300 + ".csv", "é" * 80 + ".csv", LONG + "a"),
]
HARMLESS = ["%2e%2e%2fvictim.csv", "a.csv.parquet", "victim.sh", "a..b.csv", "$(id);`id`.csv", LONG + ".csv"]
ODD = ["a／..／a.csv", "Résumé (final) 结果 🎉.csv"]
IN_THE_WAY = ["link.csv", "dangling.csv", "hardlink.csv", "fifo.csv", "folder.csv", "there.csv", "free.csv"]


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file beside the export folder that nothing may touch."""
    path = tmp_path / "victim.csv"
    path.write_text("untouched")
    return path


@pytest.fixture
def exports(tmp_path: Path, victim: Path) -> Path:
    """An export folder full of traps, with a sibling of a longer name."""
    folder = tmp_path / "exports"
    folder.mkdir(0o700)
    (tmp_path / "exports-evil").mkdir()
    (folder / "linked").symlink_to(tmp_path)
    (folder / "link.csv").symlink_to(victim)
    (folder / "dangling.csv").symlink_to(tmp_path / "made-by-link.csv")
    (folder / "hardlink.csv").hardlink_to(victim)
    os.mkfifo(folder / "fifo.csv")
    (folder / "folder.csv").mkdir()
    (folder / "there.csv").write_text("old")
    return folder


@pytest.fixture(params=[True, False], ids=["descriptors", "paths"])
def descriptors(request: pytest.FixtureRequest) -> bool:
    """Whether the folder is reached by descriptors or, as on Windows, by its path."""
    return bool(request.param)


def write(folder: Folder, name: str, content: bytes = b"new", *, overwrite: bool = False) -> None:
    """One file, as an export makes it."""
    with folder.new_file(name, TEMPORARY, overwrite=overwrite) as file:
        file.write(content)


def names(folder: Path) -> set[str]:
    """All entries."""
    return {path.name for path in folder.iterdir()}


def outside(folder: Path) -> dict[str, object]:
    """Everything beside the folder: names, kinds and contents."""
    found: dict[str, object] = {}
    for path in sorted(folder.parent.rglob("*")):
        if not path.is_relative_to(folder):
            found[str(path)] = path.read_bytes() if path.is_file() else stat.S_IFMT(path.lstat().st_mode)
    return found


@pytest.mark.hostile
@pytest.mark.parametrize("overwrite", [False, True], ids=["keep", "overwrite"])
@pytest.mark.parametrize("name", [*HOSTILE, *HARMLESS, *ODD, *IN_THE_WAY], ids=ascii)
def test_every_name_stays_inside_or_is_refused(
    exports: Path, name: str, overwrite: bool, descriptors: bool
) -> None:
    """Everything beside the folder is as it was; nothing temporary is left."""
    before, inside = outside(exports), names(exports)
    refusal = ""
    with open_folder(exports, descriptors=descriptors) as folder:
        try:
            write(folder, export_name(name, "csv")[0], overwrite=overwrite)
        except InvalidArgumentError as error:
            refusal = str(error)
    assert outside(exports) == before
    assert refusal or name not in HOSTILE
    assert visible(refusal) == refusal
    new = names(exports) - inside
    assert len(new) == (0 if refusal or name in IN_THE_WAY[:-1] else 1)
    assert not [entry for entry in new if entry.startswith(".")]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_hostile_name_is_refused_whatever_the_format(name: str) -> None:
    """Without looking at any disk, and the same to read from."""
    forms: tuple[ExportFormat | None, ...] = (None, "parquet", "csv", "jsonl")
    for form in forms:
        with pytest.raises(InvalidArgumentError):
            export_name(name, form)
    with pytest.raises(InvalidArgumentError):
        joinable_name(name)


@pytest.mark.parametrize(
    ("name", "wanted", "chosen"),
    [
        ("a", None, ("a.parquet", "parquet")),
        ("a.csv", None, ("a.csv", "csv")),
        ("A.CSV", None, ("A.CSV", "csv")),
        ("a.jsonl", None, ("a.jsonl", "jsonl")),
        ("a.json", None, ("a.json.parquet", "parquet")),
        ("a.csv", "parquet", ("a.csv.parquet", "parquet")),
        ("a.csv", "csv", ("a.csv", "csv")),
        ("a.b", "jsonl", ("a.b.jsonl", "jsonl")),
        ("a.zip", "csv", ("a.zip.csv", "csv")),
    ],
)
def test_the_ending_and_the_format_agree(
    name: str, wanted: ExportFormat | None, chosen: tuple[str, str]
) -> None:
    """The ending says the format unless the caller does; a missing one is added."""
    assert export_name(name, wanted) == chosen


def test_only_csv_and_parquet_can_be_joined_with() -> None:
    """By their endings."""
    assert joinable_name("a.CSV") == ("a.CSV", "csv")
    assert joinable_name("a.parquet") == ("a.parquet", "parquet")
    for name in ("a.jsonl", "a.txt", "a"):
        with pytest.raises(InvalidArgumentError, match="Put a CSV or Parquet file"):
            joinable_name(name)


def test_a_file_that_is_named_by_its_path_has_an_ending_that_tells_the_format(tmp_path: Path) -> None:
    """A folder is none, whatever its name."""
    (tmp_path / "folder.csv").mkdir()
    for good in (tmp_path / "a.csv", tmp_path / "A.JSONL", "a/b.parquet"):
        assert chosen_file(good) == Path(good)
    for bad, problem in (
        (f"{tmp_path}/folder.csv", "it is a folder"),
        ("new.csv/", "it is a folder"),
        ("a.txt", r"its name does not end in \.parquet, \.csv or \.jsonl"),
        ("x" * 201, r"x{186}… \[201 chars\]\": its name does not end"),
        ("x" * 200, r"x{200}\": its name does not end"),
    ):
        with pytest.raises(InvalidArgumentError, match=problem):
            chosen_file(bad)


def test_a_regular_file_is_replaced_only_when_asked_for(exports: Path, descriptors: bool) -> None:
    """The refusal says what to do."""
    with open_folder(exports, descriptors=descriptors) as folder:
        with pytest.raises(
            InvalidArgumentError, match=r"exists\. Choose another name, or pass overwrite=true"
        ):
            write(folder, "there.csv")
        assert (exports / "there.csv").read_text() == "old"
        write(folder, "there.csv", overwrite=True)
    assert (exports / "there.csv").read_text() == "new"


def test_overwriting_a_hard_link_leaves_the_other_file(
    exports: Path, victim: Path, descriptors: bool
) -> None:
    """The name is replaced, not what it leads to."""
    with open_folder(exports, descriptors=descriptors) as folder:
        write(folder, "hardlink.csv", overwrite=True)
    assert ((exports / "hardlink.csv").read_text(), victim.read_text()) == ("new", "untouched")


@pytest.mark.parametrize("name", ["link.csv", "dangling.csv", "fifo.csv", "folder.csv"])
def test_what_is_no_regular_file_is_neither_replaced_nor_read(
    exports: Path, name: str, descriptors: bool
) -> None:
    """Even when overwriting is allowed; a FIFO makes nobody wait."""
    with open_folder(exports, descriptors=descriptors) as folder:
        for overwrite in (False, True):
            with pytest.raises(InvalidArgumentError, match="not a regular file"):
                folder.check_free(name, overwrite=overwrite)
            with pytest.raises(InvalidArgumentError, match="not a regular file"):
                write(folder, name, overwrite=overwrite)
        with pytest.raises(InvalidArgumentError, match="not a regular file"):
            folder.read(name)
    assert TEMPORARY not in names(exports)


def test_a_file_is_read(exports: Path, descriptors: bool) -> None:
    """One that is missing or cannot be opened is said to be so."""
    with open_folder(exports, descriptors=descriptors) as folder:
        with folder.read("there.csv") as file:
            assert file.read() == b"old"
        with pytest.raises(InvalidArgumentError, match="no such file"):
            folder.read("missing.csv")
        with pytest.raises(InvalidArgumentError, match="cannot be opened"):
            folder.read("a" * 300)
        os.truncate(exports / "there.csv", 50 * 2**30)
        with pytest.raises(InvalidArgumentError, match="larger than 4 GiB"):
            folder.read("there.csv")


def test_the_entry_that_is_meant_is_found_however_its_accents_are_composed(
    exports: Path, descriptors: bool
) -> None:
    """The very name goes before one that looks the same; one that is new stays as it is."""
    composed, parts = "R\u00e9sum\u00e9.csv", "Re\u0301sume\u0301.csv"
    with open_folder(exports, descriptors=descriptors) as folder:
        found = [folder.entry(composed)]
        (exports / parts).touch()
        found += [
            folder.entry(composed),
            folder.entry(parts),
            folder.entry("there.csv"),
            folder.entry("A.csv"),
        ]
        (exports / composed).touch()
        found += [folder.entry(composed), folder.entry(parts)]
    assert found == [composed, parts, parts, "there.csv", "A.csv", composed, parts]


def test_a_folder_that_could_be_made_is_in_order_and_is_not_made(tmp_path: Path, victim: Path) -> None:
    """One that is a file, or in one, is not."""
    for path in (tmp_path, tmp_path / "new", tmp_path / "new" / "exports"):
        check_folder(path)
    assert names(tmp_path) == {"victim.csv"}
    for path in (victim, victim / "exports"):
        with pytest.raises(SettingsError, match="not a folder"):
            check_folder(path)


def test_a_refusal_quotes_the_start_of_a_long_name(exports: Path) -> None:
    """Whatever asked for it."""
    name = "x" * 149
    (exports / name).touch()
    with open_folder(exports) as folder:
        for ask in (
            lambda: folder.check_free(name, overwrite=False),
            lambda: folder.read(f"{name[1:]}y"),
            lambda: export_name(f"*{name[1:]}", "csv"),
            lambda: joinable_name(name),
        ):
            with pytest.raises(InvalidArgumentError) as caught:
                ask()
            assert re.search(r"\"[*x]x{46}… \[149 chars\]", str(caught.value))


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_folders_are_0700_and_files_0600_whatever_the_umask(
    tmp_path: Path, umask: int, descriptors: bool
) -> None:
    """Also those above, which are made as well. One that exists is left as it is."""
    loose = tmp_path / "loose"
    loose.mkdir()
    loose.chmod(0o755)
    old = os.umask(umask)
    try:
        for path in (tmp_path / "new" / "exports", loose):
            with open_folder(path, descriptors=descriptors) as folder:
                write(folder, "a.csv")
    finally:
        os.umask(old)
    made = tmp_path / "new" / "exports"
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert stat.S_IMODE((made / "a.csv").stat().st_mode) == 0o600
    assert stat.S_IMODE(loose.stat().st_mode) == 0o755
    if descriptors:
        assert stat.S_IMODE(made.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("at", ["exports", "above"])
def test_a_link_in_the_path_is_not_followed(tmp_path: Path, at: str, descriptors: bool) -> None:
    """The engine resolves the path once; what appears there later is an error."""
    (tmp_path / "elsewhere" / "exports").mkdir(parents=True)
    if at == "exports":
        (tmp_path / "above").mkdir()
        (tmp_path / "above" / "exports").symlink_to(tmp_path / "elsewhere")
    else:
        (tmp_path / "above").symlink_to(tmp_path / "elsewhere")
    with (
        pytest.raises(SettingsError, match=r"replaced by a link; no file was written\. Ask the user"),
        open_folder(tmp_path / "above" / "exports", descriptors=descriptors) as folder,
    ):
        write(folder, "a.csv")
    assert list((tmp_path / "elsewhere").rglob("*.csv")) == []


def test_a_folder_replaced_by_a_link_while_writing_leads_nowhere(tmp_path: Path, descriptors: bool) -> None:
    """With descriptors the file is in the folder that was opened; without, nothing appears."""
    exports, moved, elsewhere = tmp_path / "exports", tmp_path / "moved", tmp_path / "elsewhere"
    elsewhere.mkdir()
    outcome = "done"
    try:
        with (
            open_folder(exports, descriptors=descriptors) as folder,
            folder.new_file("a.csv", TEMPORARY, overwrite=False) as file,
        ):
            file.write(b"new")
            exports.rename(moved)
            exports.symlink_to(elsewhere)
    except SettingsError as error:
        outcome = str(error)
    assert outcome == "done" if descriptors else "replaced by a link" in outcome
    assert names(elsewhere) == set()
    assert ("a.csv" in names(moved)) is descriptors


def swapping(
    call: Callable[..., Any], is_reached: Callable[[], bool], place: Path, target: Path
) -> Callable[..., Any]:
    """`call`, before which a link to `target` takes the place of what is there, if it is time."""

    def swap_first(*given: Any, **named: Any) -> Any:
        if is_reached():
            if os.path.lexists(place):
                place.rename(place.with_name("aside"))
            place.symlink_to(target)
        return call(*given, **named)

    return swap_first


SYSTEM_CALLS = ("open", "stat", "fstat", "mkdir", "link", "replace", "unlink", "fsync")


@pytest.mark.parametrize("overwrite", [False, True], ids=["keep", "overwrite"])
@pytest.mark.parametrize("swapped", ["a.csv", TEMPORARY, "the folder"])
@pytest.mark.parametrize("target", ["a.csv", "made.csv", ""], ids=["file", "dangling", "folder"])
def test_a_link_that_appears_at_any_moment_of_an_export_leads_nowhere(
    tmp_path: Path, swapped: str, target: str, overwrite: bool
) -> None:
    """Just before each call to the system in turn, until there are no more."""
    for moment in count():
        outer, exports = tmp_path / f"{moment}" / "outside", tmp_path / f"{moment}" / "exports"
        for folder in (outer, exports):
            folder.mkdir(parents=True)
        (outer / "a.csv").write_text("untouched")
        place = exports if swapped == "the folder" else exports / swapped
        calls = count()

        def is_reached(calls: Iterator[int] = calls, moment: int = moment) -> bool:
            return next(calls) == moment

        with pytest.MonkeyPatch.context() as patch, suppress(SutroError):
            for name in SYSTEM_CALLS:
                patch.setattr(os, name, swapping(getattr(os, name), is_reached, place, outer / target))
            with open_folder(exports, create=False) as folder:
                write(folder, "a.csv", overwrite=overwrite)
        assert (names(outer), (outer / "a.csv").read_text()) == ({"a.csv"}, "untouched")
        if next(calls) <= moment:
            assert (exports / "a.csv").read_text() == "new"
            break


def test_a_name_taken_while_writing_is_not_replaced(exports: Path, descriptors: bool) -> None:
    """By a file, or by a link to one outside."""

    def write_and_take(target: Path) -> None:
        with (
            open_folder(exports, descriptors=descriptors) as folder,
            folder.new_file("a.csv", TEMPORARY, overwrite=False) as file,
        ):
            file.write(b"new")
            (exports / target.name).rename(exports / "a.csv")

    for name, content in (("there.csv", "old"), ("link.csv", "untouched")):
        with pytest.raises(InvalidArgumentError, match="Choose another name"):
            write_and_take(exports / name)
        assert (exports / "a.csv").read_text() == content
    assert TEMPORARY not in names(exports)


def test_a_name_taken_at_the_last_moment_is_not_replaced(
    exports: Path, monkeypatch: pytest.MonkeyPatch, descriptors: bool
) -> None:
    """After the last look, the system itself refuses."""

    def see_nothing(*_: object, **__: object) -> None:
        pass

    monkeypatch.setattr(Folder, "check_free", see_nothing)
    with (
        open_folder(exports, descriptors=descriptors) as folder,
        pytest.raises(InvalidArgumentError, match="Choose another name"),
    ):
        write(folder, "there.csv")
    assert (exports / "there.csv").read_text() == "old"


def test_something_else_under_the_new_name_is_an_error(
    exports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Success is never reported of a file that is not there."""
    replace = os.replace

    def replace_and_swap(old: str, new: str, **where: int) -> None:
        replace(old, new, **where)
        (exports / new).unlink()
        (exports / new).touch()

    monkeypatch.setattr(os, "replace", replace_and_swap)
    with pytest.raises(SettingsError, match="moved or replaced"), open_folder(exports) as folder:
        write(folder, "there.csv", overwrite=True)


@pytest.fixture
def no_hard_links(exports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system like FAT; none can be mounted here."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "no hard links")

    monkeypatch.setattr(os, "link", refuse)


@pytest.mark.usefixtures("no_hard_links")
def test_a_file_system_without_hard_links_serves_as_well(exports: Path) -> None:
    """The name is claimed, then replaced by the whole file."""
    with open_folder(exports) as folder:
        write(folder, "a.csv")
        with pytest.raises(InvalidArgumentError, match="exists"):
            write(folder, "a.csv", b"other")
    assert (exports / "a.csv").read_text() == "new"


@pytest.mark.usefixtures("no_hard_links")
def test_a_claim_that_cannot_be_replaced_is_given_up(exports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left, not even the empty file."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "broken")

    before = names(exports)
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(SettingsError, match="Input/output error"), open_folder(exports) as folder:
        write(folder, "a.csv")
    assert names(exports) == before


def test_a_full_disk_is_a_clear_error_and_leaves_nothing(exports: Path, descriptors: bool) -> None:
    """Said by whatever part of the writing meets it."""
    before = names(exports)
    with (
        files_of_at_most(4096),
        pytest.raises(SettingsError, match=r"no room left; no file was written\. Ask the user to free some"),
        open_folder(exports, descriptors=descriptors) as folder,
    ):
        write(folder, "a.csv", b"x" * 10_000)
    assert names(exports) == before


@pytest.mark.skipif(sys.platform != "linux", reason="/sys lets nobody write, not even root")
def test_a_folder_that_may_not_be_written_is_a_clear_error(descriptors: bool) -> None:
    """Permissions, or a disk that is mounted to read from."""
    for path in (Path("/sys/kernel"), Path("/sys/kernel/exports")):
        with (
            pytest.raises(SettingsError, match=r"not allowed; no file .* SUTRO_MCP_EXPORT_DIR"),
            open_folder(path, descriptors=descriptors) as folder,
        ):
            write(folder, "a.csv")


def test_a_file_in_place_of_the_folder_is_a_clear_error(victim: Path) -> None:
    """Not a folder, or one inside something that is none."""
    for path in (victim, victim / "exports"):
        with pytest.raises(SettingsError, match="not a folder"), open_folder(path):
            pass


@pytest.mark.parametrize("mode", [0o777, 0o1777], ids=oct)
def test_a_folder_that_others_may_write_is_refused_and_stays_as_it_is(
    exports: Path, mode: int, descriptors: bool
) -> None:
    """They could put their file in the place of an export, or of one to join with."""
    exports.chmod(mode)
    before = names(exports)
    with (
        pytest.raises(
            SettingsError, match=r"other users may write there; no file was written\. Ask the user to"
        ),
        open_folder(exports, descriptors=descriptors),
    ):
        pytest.fail("it was opened")
    assert (stat.S_IMODE(exports.stat().st_mode), names(exports)) == (mode, before)


def test_tidying_up_after_a_dead_worker_never_fails(exports: Path, tmp_path: Path) -> None:
    """Nothing to remove, nowhere to look: it makes no folder either."""
    (exports / TEMPORARY).touch()
    discard(exports, TEMPORARY)
    discard(exports, TEMPORARY)
    discard(tmp_path / "nowhere" / "exports", TEMPORARY)
    assert TEMPORARY not in names(exports)
    assert not (tmp_path / "nowhere").exists()
