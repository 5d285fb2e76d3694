"""Questions about each kind of objects: for us, and for DuckDB over the text of the outputs."""

_LABELS = "SELECT label, count(*) AS n, avg(score) FROM results GROUP BY label ORDER BY n DESC"
_CONTENT = (
    'SELECT "content.label", count(*) AS n, avg("content.score") FROM results GROUP BY 1 ORDER BY n DESC'
)
_COMPANIES = "SELECT company.name, count(*) AS n, avg(total) FROM results GROUP BY 1 ORDER BY n DESC LIMIT 10"
# `r` has the outputs that are JSON.
_BY_HAND = """SELECT json_extract_string({0}, '$.{1}'), count(*) AS n,
    avg(CAST(json_extract({0}, '$.{2}') AS DOUBLE)) FROM {3} GROUP BY 1 ORDER BY n DESC LIMIT 10"""
_INSIDE = """(SELECT CASE WHEN json_valid(c) THEN c END AS c
    FROM (SELECT json_extract_string(outputs, '$.content') AS c FROM r))"""
QUESTIONS = {
    "labels": (_LABELS, _BY_HAND.format("outputs", "label", "score", "r")),
    "reasoned": (_LABELS, _BY_HAND.format("outputs", "label", "score", "r")),
    "nested": (_COMPANIES, _BY_HAND.format("outputs", "company.name", "total", "r")),
    "envelope": (_CONTENT, _BY_HAND.format("c", "label", "score", _INSIDE)),
}
_CHANGED = "SELECT count(*) FROM results r JOIN before b USING (row) WHERE r.{0} IS DISTINCT FROM b.{0}"
TWO_JOBS = {
    "labels": _CHANGED.format("label"),
    "reasoned": _CHANGED.format("label"),
    "nested": _CHANGED.format("total"),
    "envelope": _CHANGED.format('"content.label"'),
}
