"""The SDK's environment is made once, completely, and again when it has to be."""

import shutil
from pathlib import Path

import pytest

from .environment import python_of, ready_environment


class Installer:
    """Makes an environment that holds nothing but its interpreter, and counts."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, environment: Path, requirements: Path) -> None:
        self.calls += 1
        python_of(environment).parent.mkdir(parents=True)
        python_of(environment).write_text(requirements.read_text())


class Interrupted(Installer):
    """Stops with half of the work done."""

    def __call__(self, environment: Path, requirements: Path) -> None:
        super().__call__(environment, requirements)
        raise KeyboardInterrupt


@pytest.fixture
def requirements(tmp_path: Path) -> Path:
    """A requirement file."""
    path = tmp_path / "requirements.txt"
    path.write_text("sutro==1")
    return path


def test_an_environment_is_made_once(tmp_path: Path, requirements: Path) -> None:
    """The second run finds what the first has made, and nothing else is left in the cache."""
    install = Installer()

    made = [ready_environment(requirements, tmp_path / "cache", install) for _ in range(2)]

    assert install.calls == 1
    assert list((tmp_path / "cache").iterdir()) == [made[0]] == [made[1]]
    assert python_of(made[0]).read_text() == "sutro==1"


def test_other_requirements_get_another_environment(tmp_path: Path, requirements: Path) -> None:
    """So that a changed pin cannot be missed."""
    first = ready_environment(requirements, tmp_path / "cache", Installer())
    requirements.write_text("sutro==2")

    assert ready_environment(requirements, tmp_path / "cache", Installer()) != first


def test_an_interrupted_run_leaves_nothing_that_counts(tmp_path: Path, requirements: Path) -> None:
    """The next run starts over."""
    with pytest.raises(KeyboardInterrupt):
        ready_environment(requirements, tmp_path / "cache", Interrupted())
    install = Installer()

    ready_environment(requirements, tmp_path / "cache", install)

    assert install.calls == 1


def test_an_environment_without_its_interpreter_is_made_again(tmp_path: Path, requirements: Path) -> None:
    """As after the Python it was made with has been removed."""
    environment = ready_environment(requirements, tmp_path / "cache", Installer())
    python_of(environment).unlink()

    assert python_of(ready_environment(requirements, tmp_path / "cache", Installer())).exists()


def test_the_environment_of_another_run_is_as_good(tmp_path: Path, requirements: Path) -> None:
    """Two runs at once: the one that comes second takes what is there."""
    cache = tmp_path / "cache"

    def install_beside_another_run(environment: Path, wanted: Path) -> None:
        Installer()(environment, wanted)
        shutil.copytree(environment, ready_environment(requirements, tmp_path / "other", Installer()) / "x")
        other = next((tmp_path / "other").iterdir())
        shutil.copytree(other, cache / other.name)

    environment = ready_environment(requirements, cache, install_beside_another_run)

    assert (environment / "x").is_dir()
