"""A comparison as an HTML page of one file."""

from collections.abc import Iterable

from cnnjax.compare.model import Timing
from cnnjax.compare.table import (
    HEADINGS,
    LEGEND,
    Section,
    describe_timing,
    row_texts,
    summary,
)
from cnnjax.streams import printable

TEMPLATE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{ title }}</title>
<style>
  body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem;
         padding: 0 1rem; color: #222; }
  table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
  th, td { padding: .25rem .6rem; text-align: right; white-space: nowrap;
           border-bottom: 1px solid #ddd; }
  th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; }
  td:first-child { font-family: ui-monospace, monospace; font-size: 13px; }
  .ok td:last-child { color: #17692f; }
  .off { background: #fdecea; } .off td:last-child { color: #b3261e; font-weight: 600; }
  .verdict { padding: .6rem 1rem; border-radius: .4rem; white-space: pre-line; }
  .verdict.ok { background: #e6f4ea; color: #17692f; }
  .verdict.off { background: #fdecea; color: #b3261e; }
  .legend { color: #555; font-size: 13px; }
</style>
<h1>{{ title }}</h1>
<p class="verdict {{ 'ok' if ok else 'off' }}">{{ summary }}</p>
{% if timing %}<p>{{ timing }}</p>{% endif %}
{% for section, rows in sections %}
<h2>{{ section }}</h2>
<table>
<tr>{% for heading in headings %}<th>{{ heading }}</th>{% endfor %}</tr>
{% for ok, texts in rows %}
<tr class="{{ 'ok' if ok else 'off' }}">
{%- for text in texts %}<td>{{ text }}</td>{% endfor %}</tr>
{% endfor %}
</table>
{% endfor %}
<p class="legend">{{ legend }}</p>
</html>
"""


def page(title: str, sections: Iterable[Section], timing: Timing | None) -> str:
    """The page as text; names are escaped."""
    import jinja2

    sections = list(sections)
    return (
        jinja2.Environment(autoescape=True)
        .from_string(TEMPLATE)
        .render(
            title=printable(title),
            ok=all(row.ok for _, rows in sections for row in rows),
            summary=summary(sections),
            timing=describe_timing(timing) if timing else "",
            headings=HEADINGS,
            legend=LEGEND,
            sections=[
                (printable(name), [(row.ok, row_texts(row)) for row in rows])
                for name, rows in sections
            ],
        )
    )
