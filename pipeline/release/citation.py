"""How a release is cited: `CITATION.cff` (Citation File Format 1.2.0), with the DOI once it has one."""

from typing import Any

import yaml

from csmv.pipeline.release.release_folder import About

FILE = "CITATION.cff"


def citation_cff(about: About) -> str:
    """The file; of authors that nobody named, it says that they are the dataset's."""
    title = about.title or about.name
    authors = [{"name": name} for name in about.authors] or [{"name": f"The authors of {title}"}]
    said: dict[str, Any] = {
        "cff-version": "1.2.0",
        "message": "If you use this dataset, please cite it as below.",
        "type": "dataset",
        "title": title,
        "authors": authors,
        "version": about.version,
        "doi": about.doi or None,
        "url": about.homepage or None,
        "date-released": about.day,
        "license": about.license if " " not in about.license else None,
    }
    filled = {name: value for name, value in said.items() if value is not None}
    return str(yaml.safe_dump(filled, sort_keys=False, allow_unicode=True, width=120))
