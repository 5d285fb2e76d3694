"""Questions about short columns are answered from a table of them, and all others as if it were not there."""

from pathlib import Path

import pytest

from sutro_mcp.errors import InvalidArgumentError, QueryMemoryError
from sutro_mcp.results.request_models import QueryRequest, SqlTable
from sutro_mcp.results.sql import lazy_engine, profile_file
from sutro_mcp.results.sql.narrow_table import make_narrow
from sutro_mcp.results.sql.profile_file import prepare
from tests.results.support import objects

ROWS = [
    {
        "label": "ab"[n % 2],
        "score": n / 4,
        "at": {"x": n},
        "tags": ["t", None],
        "reason": f"{n} " + "long " * 30,
    }
    for n in range(50)
]


@pytest.fixture
def narrow(tmp_path: Path) -> SqlTable:
    """Fifty objects with one long text each."""
    return make_narrow(prepare(objects(tmp_path, *ROWS)))


def answer(table: SqlTable, sql: str) -> object:
    """The page, or what is wrong with the SQL."""
    tables = lazy_engine.load({"results": table})
    try:
        return lazy_engine.run(tables, QueryRequest(sql=sql))
    except InvalidArgumentError as error:
        return error.happened, error.next_step
    finally:
        tables.close()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT label, count(*), sum(score), max(at.x) FROM results GROUP BY label ORDER BY label",
        "SELECT count(*) FROM results WHERE tags[2] IS NULL",
        "SELECT * FROM results ORDER BY row DESC",
        "SELECT row FROM results WHERE reason LIKE '7 %' OR label = 'a'",
        "SELECT count(reason), max(length(inference_result)) FROM results",
        "SELECT TRY(CAST(reason AS INTEGER)) IS NULL, TRY(length(reason)) FROM results LIMIT 1",
        "SELECT TRY/**/(length(reason)) FROM results LIMIT 1",
        "SELECT TRY_CAST(reason AS INTEGER), coalesce(reason, 'x') FROM results LIMIT 1",
        "SELECT label, CASE WHEN score > 9 THEN reason END FROM results",
        "SELECT count(*) FROM (SELECT reason, label FROM results)",
        "SELECT r.label, s.reason FROM results r JOIN results s ON r.row = s.row + 1",
        "SELECT label FROM results WHERE EXISTS (SELECT 1 FROM results s WHERE s.reason = '')",
        "DESCRIBE results",
        "SUMMARIZE results",
        "SELECT reson FROM results",
        "SELECT CAST(label AS INTEGER) FROM results",
        "SELECT 100000 * 100000 * at.x FROM results LIMIT 2",
        "SELECT error('x') FROM results",
    ],
)
def test_the_answer_is_the_same_with_and_without_it(narrow: SqlTable, sql: str) -> None:
    """Whether the SQL needs a long column or not."""
    assert answer(narrow, sql) == answer(narrow.model_copy(update={"narrow_file": None}), sql)


def test_short_columns_are_read_from_it_alone(narrow: SqlTable, tmp_path: Path) -> None:
    """Another file in its place changes the answer to what needs no more, and to nothing else."""
    (tmp_path / "other").mkdir()
    other = make_narrow(prepare(objects(tmp_path / "other", *({**row, "score": 1} for row in ROWS))))
    mixed = narrow.model_copy(update={"narrow_file": other.narrow_file})
    tables = lazy_engine.load({"results": mixed})
    assert lazy_engine.run(tables, QueryRequest(sql="SELECT sum(score) FROM results")).rows == [[50.0]]
    told = lazy_engine.run(tables, QueryRequest(sql="SELECT sum(score), count(reason) FROM results"))
    assert told.rows == [[306.25, 50]]
    tables.close()


def test_it_is_made_once(narrow: SqlTable) -> None:
    """And found by whoever prepares the artifact again."""
    assert narrow.narrow_file is not None
    written = Path(narrow.narrow_file).stat()
    again = prepare(narrow.artifact)
    assert again == narrow == make_narrow(again)
    assert Path(narrow.narrow_file).stat() == written


def test_outputs_that_are_too_long_are_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With less memory than there is, so that they need not be so long."""
    monkeypatch.setattr(profile_file, "LONG_OBJECTS_MIB", 160)
    artifact = objects(tmp_path, *({"label": "a", "essay": f"{n} words " * 3_000} for n in range(2_100)))
    with pytest.raises(QueryMemoryError, match="too long for the memory") as caught:
        make_narrow(prepare(artifact))
    assert "unpack_json=false" in caught.value.next_step
