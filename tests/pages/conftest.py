"""The pages in this process, without a browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.oidc import Provider
from tests.kit.pages import Site
from tests.kit.traffic import Traffic


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


@pytest.fixture
def traffic(site: Site) -> Traffic:
    """Writes events and deliveries to the store of the pages."""
    return Traffic(site.database, site.vault)


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as made:
        yield made


@pytest.fixture
def openid(site: Site, provider: Provider) -> Site:
    """Pages where people sign in at the provider, too."""
    site.use(openid=provider.client())
    return site
