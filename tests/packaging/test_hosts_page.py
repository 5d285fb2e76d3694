"""docs/hosts.md says what was seen of each client, and nothing that was not."""

from interop import page
from interop.environments import HERE, clients
from sutro_mcp.hosts.config_snippets import HOSTS


def test_the_page_is_what_the_record_says() -> None:
    """A version that is raised without a run, or a row that is edited by hand, shows here."""
    assert page.PAGE.read_text("utf-8") == page.page()
    runs = {(client.id, client.version, transport) for client in clients() for transport in page.TRANSPORTS}
    assert {(seen["client"], seen["version"], seen["transport"]) for seen in page.read().values()} == runs


def test_each_client_is_pinned_and_has_a_script() -> None:
    """The versions installed tomorrow are those that were run."""
    for client in clients():
        assert (HERE / "clients" / client.script).is_file()
        assert all(
            package.rpartition("@" if client.npm else "==")[1] for package in (*client.pypi, *client.npm)
        )


def test_a_format_that_is_called_tried_was_taken_by_the_host_over_both_transports() -> None:
    """`sutro-mcp config` says of each format whether its host has seen it."""
    took = [seen["client"] for seen in page.read().values() if seen.get("config_taken")]
    assert {name for name in took if took.count(name) == len(page.TRANSPORTS)} == {
        name for name, host in HOSTS.items() if host.is_tried
    }
