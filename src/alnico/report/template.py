"""Templates of pages: filled in, every text escaped, the style inside."""

from jinja2 import Environment, PackageLoader, StrictUndefined


def filled(name: str, **values: object) -> str:
    """The template of this name with these values in it, as HTML."""
    templates = Environment(
        loader=PackageLoader("alnico.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return templates.get_template(name).render(**values)
