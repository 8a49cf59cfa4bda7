"""Templates of pages: filled in, every text escaped, the style inside."""

from jinja2 import Environment, PackageLoader, StrictUndefined


def filled(package: str, name: str, /, **values: object) -> str:
    """The template of this name under ``templates/`` of a package with these values in it, as HTML."""
    templates = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return templates.get_template(name).render(**values)
