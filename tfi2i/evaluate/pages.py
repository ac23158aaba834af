"""Pages of HTML from the templates of this package."""

from typing import Any


def rendered(template: str, **values: Any) -> str:
    """The page that a file in templates/ makes of values; all of them stand there as text."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tfi2i.evaluate"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template(template).render(values)
    # A file name that is not UTF-8 arrives with halves of surrogate pairs, which no file can hold.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
